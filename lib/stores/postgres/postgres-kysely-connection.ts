import { exponential } from '../../core/backoff.js';
import type { PostgresExecutorLike, PostgresKyselyLike, PostgresRawQuery } from './postgres-client.js';
import { isGone } from './postgres-faults.js';
import { inFrontOf } from './postgres-lent.js';

/** A connection as kysely's drivers have it. @internal */
export interface KyselyDriverConnection extends PostgresExecutorLike {
  streamQuery?(...given: unknown[]): AsyncIterableIterator<unknown>;
}

/** The kysely of one connection, as `connection()` gives it. @internal */
export interface KyselyOfOne extends PostgresExecutorLike {
  getExecutor?(): KyselyExecutor;
  transaction?(): { execute(work: (tx: unknown) => Promise<unknown>): Promise<unknown> };
}

/** It says on which connection the kysely runs its statements. @internal */
export interface KyselyExecutor {
  provideConnection<R>(consumer: (connection: KyselyDriverConnection) => Promise<R>): Promise<R>;
}

/** A connection of kysely, ours until it is released. @internal */
export interface KyselyConnection {
  readonly kysely: KyselyOfOne;
  readonly driver: KyselyDriverConnection;
  query(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]>;
  /** Gives it back. `proof`: only after that, for nobody knows what the connection is at. */
  release(proof?: Promise<unknown>): void;
}

/**
 * Takes a connection out of kysely's pool, until it is released. kysely itself, before 0.29.9, gives one back whatever became of its
 * ROLLBACK: whoever begins a transaction there next would join the one that is still open.
 * @internal
 */
export function kyselyConnection(db: PostgresKyselyLike): Promise<KyselyConnection> {
  return new Promise((resolve, reject) => {
    db.connection()
      .execute(async (kysely: KyselyOfOne) => {
        const driver = (await kysely.getExecutor?.().provideConnection((own) => Promise.resolve(own))) ?? kysely;
        await new Promise<void>((giveBack) => {
          resolve({
            kysely,
            driver,
            query: (sql, parameters) => execute(driver, sql, parameters),
            release: (proof = Promise.resolve()) => void proof.then(() => giveBack()),
          });
        });
      })
      .catch(reject);
  });
}

const proofWait = { initialMs: 100, maxMs: 5_000 };
// After some minutes nobody waits any more, and the server is asked now and then: a network may be gone for longer.
const OFTEN = 100;
const SELDOM_MS = 30_000;

/**
 * Ends once the connection has no transaction open and no statement under way, with `true`, or is gone, with `false`. pg forgets a
 * statement that waits for its turn for longer than the `query_timeout` of the pool, a ROLLBACK too, so only one that was answered proves
 * anything. Never fails. Until something proves it, it does not end, however long that takes: better one connection less than one that
 * loses messages, and better late than a pool that has none left.
 * @internal
 */
export async function proofOf(connection: KyselyConnection): Promise<boolean> {
  await discard(connection);
  const backoff = exponential(proofWait);
  for (let failures = 1; ; failures++) {
    try {
      await connection.query('ROLLBACK', []);
      return true;
    } catch (error) {
      if (isGone(error)) return false;
    }
    await new Promise<void>((again) => {
      const timer = setTimeout(again, failures < OFTEN ? backoff(failures) : SELDOM_MS);
      // It keeps no process alive.
      if (failures >= OFTEN) (timer as { unref?(): unknown }).unref?.();
    });
  }
}

/**
 * kysely 0.29.9 closes a connection whose ROLLBACK has failed, when it is given back, and runs nothing there until then. So one is made
 * to fail that was never sent. Those before take no notice.
 */
async function discard({ kysely, driver }: KyselyConnection): Promise<void> {
  const executor = kysely.getExecutor?.();
  if (executor === undefined) return;
  let begun = false;
  const executeQuery = (): Promise<unknown> => {
    if (begun) return Promise.reject(new Error('not sent'));
    begun = true;
    return Promise.resolve({ rows: [] });
  };
  executor.provideConnection = (consumer) => consumer(inFrontOf(driver, { executeQuery }));
  await kysely
    .transaction?.()
    .execute(() => Promise.reject(new Error('to be closed')))
    .catch(() => undefined);
}

/** Runs one statement by kysely, as text. @internal */
export async function execute(
  executor: PostgresExecutorLike,
  sql: string,
  parameters: readonly unknown[] = [],
): Promise<readonly unknown[]> {
  const query: PostgresRawQuery = {
    sql,
    parameters,
    query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
    queryId: { queryId: 'rxsluice' },
  };
  return (await executor.executeQuery(query)).rows;
}
