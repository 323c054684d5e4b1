import { readFile } from 'node:fs/promises';

/** Who runs a server that refuses to run as root. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const NAMES = ['postgres', 'nobody'];

/** An account without rights, where this process is root; undefined where it is not, and can run a server itself. */
export async function unprivileged(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  for (const name of NAMES) {
    const [, , uid, gid] = accounts.find(([known]) => known === name) ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new Error(`Postgres does not run as root, and there is no account ${NAMES.join(' or ')} to run it as`);
}
