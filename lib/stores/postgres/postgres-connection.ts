import { Observable } from 'rxjs';
import {
  isKysely,
  type PostgresExecutorLike,
  type PostgresKyselyLike,
  type PostgresLike,
  type PostgresPoolLike,
  type PostgresRawQuery,
} from './postgres-client.js';

/** One connection, ours until it is released. @internal */
export interface PostgresConnection {
  query(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]>;
  /** `broken`: not fit for another statement. */
  release(broken: boolean): void;
}

/** @internal */
export type Connections = Observable<PostgresConnection>;

interface Waiter<T> {
  readonly next: (value: T) => void;
  readonly error: (error: unknown) => void;
}

/** Emits a connection for each who subscribes. @internal */
export function connectionsOf(db: PostgresLike): Connections {
  return requestsOf(isKysely(db) ? kyselyConnections(db) : () => fromPool(db), (connection) =>
    connection.release(false),
  );
}

/**
 * Emits what `open` opens for each who subscribes. Who gives up waiting leaves a request behind in the pool, and the next
 * one takes it over: a pool that is exhausted for hours holds no more requests of ours than ever waited at once.
 * @internal
 */
export function requestsOf<T>(open: () => Promise<T>, giveBack: (opened: T) => void): Observable<T> {
  let waiting: Waiter<T>[] = [];
  let requests = 0;

  const request = (): void => {
    requests++;
    // A pool that throws at once is like one that rejects.
    Promise.resolve()
      .then(open)
      .then(
        (opened) => {
          requests--;
          const first = waiting.shift();
          if (first === undefined) giveBack(opened);
          else first.next(opened);
        },
        (error: unknown) => {
          requests--;
          waiting.shift()?.error(error);
        },
      );
  };

  return new Observable((subscriber) => {
    const waiter: Waiter<T> = {
      next: (opened) => {
        subscriber.next(opened);
        subscriber.complete();
      },
      error: (error) => subscriber.error(error),
    };
    waiting.push(waiter);
    if (requests < waiting.length) request();
    return () => {
      waiting = waiting.filter((other) => other !== waiter);
    };
  });
}

async function fromPool(pool: PostgresPoolLike): Promise<PostgresConnection> {
  const client = await pool.connect();
  const ignore = (): void => undefined; // the statement fails with it
  client.on('error', ignore);
  return {
    // An empty list would make it a prepared statement of pg-native.
    query: async (text, values) =>
      (await (values.length === 0 ? client.query(text) : client.query(text, [...values]))).rows,
    release: (broken) => {
      client.removeListener('error', ignore);
      client.release(broken);
    },
  };
}

// Of kysely a connection cannot be closed.
const MAX_STUCK = 2;

/**
 * kysely lends a connection for as long as a callback runs, and closes the broken ones by itself. One whose statement is stuck stays
 * ours until that ends: given back it would have the application's next statement wait behind it. There are few of these at once.
 */
function kyselyConnections(db: PostgresKyselyLike): () => Promise<PostgresConnection> {
  const stuck = new Set<Promise<unknown>>();
  return async () => {
    while (stuck.size >= MAX_STUCK) await Promise.race(stuck);
    return fromKysely(db, stuck);
  };
}

function fromKysely(db: PostgresKyselyLike, stuck: Set<Promise<unknown>>): Promise<PostgresConnection> {
  return new Promise((resolve, reject) => {
    db.withoutPlugins()
      .connection()
      .execute(
        (executor) =>
          new Promise<void>((giveBack) => {
            let running: Promise<unknown> = Promise.resolve();
            resolve({
              query: (sql, parameters) => {
                const rows = execute(executor, sql, parameters);
                running = rows.catch(() => undefined);
                return rows;
              },
              release: (broken) => {
                if (!broken) {
                  giveBack();
                  return;
                }
                const last = running;
                stuck.add(last);
                void last.then(() => {
                  stuck.delete(last);
                  giveBack();
                });
              },
            });
          }),
      )
      .catch(reject);
  });
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
