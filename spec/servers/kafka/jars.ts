import { execFile, type ExecFileException } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readlink, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify, stripVTControlCharacters } from 'node:util';
import { repositoryFile } from '../repository.js';

const run = promisify(execFile);
const FETCH_TIMEOUT_MS = 300_000;

/**
 * The folder of Kafka's jars. Maven fetches them once for each state of the `pom.xml`; further calls, also in other
 * processes, wait for that or find them.
 */
export async function kafkaJars(): Promise<string> {
  const pom = repositoryFile('spec/servers/kafka/pom.xml');
  const version = createHash('sha256')
    .update(await readFile(pom))
    .digest('hex');
  const cache = repositoryFile('node_modules/.cache/rxsluice-kafka');
  const jars = join(cache, version.slice(0, 12));
  if (existsSync(jars)) return jars;

  await mkdir(cache, { recursive: true });
  const unlock = await lock(`${jars}.lock`, () => existsSync(jars));
  try {
    if (!existsSync(jars)) await fetchJars(pom, jars);
  } finally {
    await unlock();
  }
  return jars;
}

/** Maven's copy gets its name when it is whole, so that a folder of that name is always complete. */
async function fetchJars(pom: string, jars: string): Promise<void> {
  const partial = `${jars}.${randomUUID()}`;
  const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', `-DoutputDirectory=${partial}`];
  const options = ['-B', '-q', '-f', pom];
  try {
    const failure = await run('mvn', [...options, ...goal], { timeout: FETCH_TIMEOUT_MS }).then(
      () => undefined,
      reason,
    );
    if (failure !== undefined) throw new Error(failure);
    await rename(partial, jars).catch((error: unknown) => {
      if (!existsSync(jars)) throw error;
    });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** One line of what Maven said, with the address of a mirror, but not the credentials in it. */
function reason({ code, stdout, message }: ExecFileException & { stdout?: string }): string {
  if (code === 'ENOENT') return 'Maven (mvn) is missing';
  const [first = ''] = stripVTControlCharacters(stdout?.trim() || message)
    .replace(/\/\/[^/@\s]*@/g, '//')
    .split('\n');
  return `Maven could not fetch its jars: ${first}`;
}

/** Holds a lock until it is released or this process ends, or returns empty-handed once `done`. A dead owner's lock is taken over. */
async function lock(path: string, done: () => boolean): Promise<() => Promise<void>> {
  while (!done()) {
    try {
      // A link and not a file: it comes into being with what it says.
      await symlink(String(process.pid), path);
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(await readlink(path).catch(() => ''));
    if (owner > 0 && !isAlive(owner)) await rm(path, { force: true });
    else await sleep(200);
  }
  return () => Promise.resolve();
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
