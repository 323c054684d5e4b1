import { Observable } from 'rxjs';
import {
  isKysely,
  type PostgresKyselyLike,
  type PostgresLike,
  type PostgresPoolClientLike,
  type PostgresPoolLike,
} from './postgres-client.js';
import { kyselyConnection, proofOf } from './postgres-kysely-connection.js';

/** One connection, ours until it is released. @internal */
export interface PostgresConnection {
  query(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]>;
  /** `broken`: not fit for another statement. `cancel`: what ends the one that is under way, elsewhere. */
  release(broken: boolean, cancel?: CancelStatement): void;
}

/** `over`: with `true` it has ended by itself. @internal */
export type CancelStatement = (over?: Promise<boolean>) => Promise<unknown>;

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
  const release = (broken: boolean, cancel?: CancelStatement): void => {
    client.removeListener('error', ignore);
    client.release(broken);
    void cancel?.();
  };
  if (isLeftOpen(client)) {
    await client.query('ROLLBACK').catch((error: unknown) => {
      release(true);
      throw error;
    });
  }
  return {
    // An empty list would make it a prepared statement of pg-native.
    query: async (text, values) =>
      (await (values.length === 0 ? client.query(text) : client.query(text, [...values]))).rows,
    release,
  };
}

/** Somebody has given the connection back without an end to their transaction, and the client knows. @internal */
export function isLeftOpen(client: Pick<PostgresPoolClientLike, 'getTransactionStatus'>): boolean {
  const status = client.getTransactionStatus?.();
  return status === 'T' || status === 'E';
}

// Of kysely a connection cannot be closed.
const MAX_STUCK = 2;

/**
 * A connection of kysely whose statement is stuck stays ours until that has ended: given back it would have the application's next
 * statement wait behind it, or join what is open there. There are few of these at once.
 */
function kyselyConnections(db: PostgresKyselyLike): () => Promise<PostgresConnection> {
  const stuck = new Set<Promise<unknown>>();
  return async () => {
    while (stuck.size >= MAX_STUCK) await Promise.race(stuck);
    const connection = await kyselyConnection(db.withoutPlugins());
    return {
      query: connection.query,
      release: (broken, cancel) => {
        if (!broken) {
          connection.release();
          return;
        }
        const answered = proofOf(connection);
        const cancelled = cancel?.(answered);
        // Before that it would hit the statement of who has the connection next.
        const proof = answered.then((isClean) => (isClean ? cancelled : null));
        stuck.add(proof);
        void proof.then(() => stuck.delete(proof));
        connection.release(proof);
      },
    };
  };
}
