import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, cp, lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { describeIf } from './describe-if.js';
import { describeOwnPostgres } from './describe-own-postgres.js';
import { describePostgres } from './describe-postgres.js';
import { isAlive } from './is-alive.js';
import { openPostgres } from './open-postgres.js';
import { libraryPath, postgresBinaries } from './postgres/binaries.js';
import { startPostgres } from './postgres.js';
import { postgresTestClient } from './postgres-test-client.js';
import { repositoryFile } from './repository.js';
import { whyNoPostgres } from './why-no-postgres.js';

const run = promisify(execFile);
const SHARED = 'the Postgres that the specs share';

describePostgres(SHARED, (postgres) => {
  it('answers to pg and to kysely', async () => {
    expect(await postgres().query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    const { rows } = await sql<{ two: number }>`SELECT 2 AS two`.execute(postgres().newKysely());
    expect(rows).toEqual([{ two: 2 }]);
  });

  it('is cleaned of what a client made when that closes', async () => {
    const client = postgresTestClient(postgres());
    const schema = await client.createSchema();
    await client.query(`CREATE TABLE ${schema}.leftover (id int)`);
    await client.close();
    expect(await postgres().query('SELECT FROM pg_namespace WHERE nspname = $1', [schema])).toEqual([]);
  });
});

describeOwnPostgres('a Postgres that a spec has for itself', (server) => {
  it('keeps port and what was committed over a fast restart and over an immediate one', async () => {
    const client = postgresTestClient(server());
    await client.query('CREATE TABLE kept (word text)');
    const pids = [server().pid];
    for (const how of ['fast', 'immediate'] as const) {
      await client.query('INSERT INTO kept VALUES ($1)', [`before ${how}`]);
      await server().end(how);
      await expect(client.query('SELECT')).rejects.toThrow();
      expect(isAlive(server().pid)).toBe(false);
      await server().restart(how);
      pids.push(server().pid);
    }
    expect(await client.query('SELECT word FROM kept')).toEqual([
      { word: 'before fast' },
      { word: 'before immediate' },
    ]);
    expect(new Set(pids).size).toBe(3);
    await client.close();
  });

  it('leaves no process, no folder and no shared memory when it stops', async () => {
    const { pid, folder } = server();
    expect([isAlive(pid), existsSync(folder)]).toEqual([true, true]);
    const before = await sharedMemory();
    if (before !== '') expect(before).toContain(String(pid));
    await server().stop();
    expect([isAlive(pid), existsSync(folder)]).toEqual([false, false]);
    expect(await sharedMemory()).not.toContain(String(pid));
    await server().stop();
  });
});

describeIf('a start of Postgres', await whyNoPostgres(), () => {
  let temp: string;
  const before = process.env['TMPDIR'];

  beforeEach(async () => {
    temp = await mkdtemp(join(tmpdir(), 'rxsluice-temp-'));
    process.env['TMPDIR'] = temp;
    // The account that the server runs as must reach its folder.
    await chmod(temp, 0o755);
  });
  afterEach(async () => {
    if (before === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = before;
    await rm(temp, { recursive: true });
  });

  it('that fails says why, from the log of the server, and leaves nothing', async () => {
    const config = { shared_buffers: 'many' };
    await expect(startPostgres({ config })).rejects.toThrow(/did not start: exit code 1\n[^]*shared_buffers/);
    expect(await readdir(temp)).toEqual([]);
  });

  it('that takes too long is ended', async () => {
    await expect(startPostgres({ startTimeoutMs: 1 })).rejects.toThrow(
      'Postgres did not start: it took more than 1 ms',
    );
    expect(await readdir(temp)).toEqual([]);
  });

  it('needs no install script: it makes the links to the libraries that npm packs none of', async () => {
    const binaries = postgresBinaries();
    if (binaries === undefined) throw new Error('There is no Postgres.');
    const native = join(temp, 'package/native');
    const isLink = async (path: string): Promise<boolean> => (await lstat(path)).isSymbolicLink();
    await cp(binaries.native, native, { recursive: true, filter: async (path) => !(await isLink(path)) });
    const bare = { native, initdb: join(native, 'bin/initdb'), postgres: join(native, 'bin/postgres') };

    const env = await libraryPath(bare, join(temp, 'lib'));
    const { stdout } = await run(bare.initdb, ['--version'], { env: { ...process.env, ...env } });
    expect(stdout).toContain('PostgreSQL');
  });

  it('ends with the process that asked for it, though that is killed', async () => {
    const start = `import { startPostgres } from './spec/servers/postgres.ts';
      const { pid } = await startPostgres();
      console.log(pid);
      setInterval(() => {}, 1_000);`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', start];
    const starter = spawn(process.execPath, args, { cwd: repositoryFile('.'), stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(createInterface(starter.stdout), 'line')) as [string];
    const postgres = Number(line);
    expect(isAlive(postgres)).toBe(true);

    starter.kill('SIGKILL');
    while (isAlive(postgres) || (await readdir(temp)).length > 0) await sleep(20);
  });

  it('is none where DATABASE_URL names a server', async () => {
    const given = process.env['DATABASE_URL'];
    process.env['DATABASE_URL'] = 'postgres://127.0.0.1:1/none';
    try {
      const postgres = await openPostgres();
      expect(postgres.url).toBe('postgres://127.0.0.1:1/none');
      await postgres.stop();
    } finally {
      if (given === undefined) delete process.env['DATABASE_URL'];
      else process.env['DATABASE_URL'] = given;
    }
  });
});

/** The System V segments of this machine with the processes that made them; nothing where there is no such list. */
function sharedMemory(): Promise<string> {
  return readFile('/proc/sysvipc/shm', 'utf8').catch(() => '');
}
