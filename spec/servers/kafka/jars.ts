import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
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
  try {
    await run('mvn', ['-B', '-q', '-f', pom, ...goal], { timeout: FETCH_TIMEOUT_MS });
    await rename(partial, jars).catch((error: unknown) => {
      if (!existsSync(jars)) throw error;
    });
  } catch (cause) {
    const { code, stdout = '', message } = cause as { code?: unknown; stdout?: string; message: string };
    if (code === 'ENOENT') throw new Error('Maven (mvn) is missing', { cause });
    throw new Error(`Maven could not fetch its jars: ${stdout.trim() || message}`, { cause });
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/** Holds a lock file for as long as this process lives, or returns empty-handed once `done`. A dead owner's lock is taken over. */
async function lock(path: string, done: () => boolean): Promise<() => Promise<void>> {
  while (!done()) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(String(process.pid));
      await file.close();
      return () => rm(path, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => ''));
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
