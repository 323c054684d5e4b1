import type { Observable } from 'rxjs';
import {
  isKysely,
  type PostgresExecutorLike,
  type PostgresIsolation,
  type PostgresKyselyLike,
  type PostgresKyselyOf,
  type PostgresPoolClientLike,
  type PostgresPoolOf,
} from './postgres-client.js';
import { execute, requestsOf, type Connections } from './postgres-connection.js';
import { isBroken } from './postgres-errors.js';

/** A transaction on a connection of its own, until `commit` has ended or `rollBack` is called. @internal */
export interface OpenTransaction<Tx> {
  readonly tx: Tx;
  /** The first statement: one without parameters may go with BEGIN. */
  begin(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]>;
  /** In the order of the calls, those by `tx` included. */
  query(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]>;
  /** Statements that need no answer; `again`: there is a savepoint of that name. */
  savepoint(name: string, again: boolean): Promise<unknown>;
  /** Runs a last statement without parameters, gives its rows, and commits. Where that fails, all is rolled back. */
  commit(last: string | null): Promise<readonly unknown[]>;
  /** `broken`: the connection is stuck. Never fails. */
  rollBack(broken: boolean): Promise<unknown>;
}

/** @internal */
export type TransactionsOf<Tx> = PostgresKyselyOf<Tx> | PostgresPoolOf<Tx>;

/** Emits an open transaction for each who subscribes. @internal */
export function openTransactions<Tx>(
  db: TransactionsOf<Tx>,
  isolation: PostgresIsolation | undefined,
  connections: Connections,
): Observable<OpenTransaction<Tx>> {
  const open = isKysely(db)
    ? () => kyselyTransaction<Tx>(db as PostgresKyselyOf<Tx>, isolation, connections)
    : () => poolTransaction<Tx>(db as PostgresPoolOf<Tx>, isolation);
  return requestsOf(open, (transaction) => void transaction.rollBack(false));
}

interface PgResult {
  readonly rows: readonly unknown[];
}

async function poolTransaction<Tx>(
  pool: PostgresPoolOf<Tx>,
  isolation: PostgresIsolation | undefined,
): Promise<OpenTransaction<Tx>> {
  const tx = await pool.connect();
  const client = tx as PostgresPoolClientLike;
  const ignore = (): void => undefined; // the statement fails with it
  client.on('error', ignore);
  let released = false;
  const release = (broken: boolean): void => {
    if (released) return;
    released = true;
    client.removeListener('error', ignore);
    client.release(broken);
  };
  // Several statements without parameters are several results.
  const results = async (text: string, values: readonly unknown[] = []): Promise<readonly PgResult[]> => {
    const given = (await client.query({ text, values: values as unknown[] })) as PgResult | readonly PgResult[];
    return Array.isArray(given) ? (given as readonly PgResult[]) : [given as PgResult];
  };
  const run = async (text: string, values?: readonly unknown[]): Promise<readonly unknown[]> =>
    ((await results(text, values))[0] as PgResult).rows;
  const begin = isolation === undefined ? 'BEGIN' : `BEGIN ISOLATION LEVEL ${isolation.toUpperCase()}`;
  const rollBack = (): Promise<void> =>
    run('ROLLBACK').then(
      () => release(false),
      () => release(true),
    );
  return {
    tx,
    begin: async (sql, parameters) => {
      if (parameters.length === 0) return ((await results(`${begin}; ${sql}`))[1] as PgResult).rows;
      await run(begin);
      return run(sql, parameters);
    },
    query: run,
    savepoint: (name, again) => run(`${again ? `RELEASE SAVEPOINT ${name}; ` : ''}SAVEPOINT ${name}`),
    commit: async (last) => {
      try {
        const rows = await run(last === null ? 'COMMIT' : `${last}; COMMIT`);
        release(false);
        return rows;
      } catch (error) {
        if (isBroken(error)) release(true);
        else await rollBack();
        throw error;
      }
    },
    rollBack: async (broken) => {
      if (broken) release(true);
      else await rollBack();
    },
  };
}

const CANCEL_MS = 5_000;

/** kysely begins and ends a transaction around a callback. */
function kyselyTransaction<Tx>(
  db: PostgresKyselyOf<Tx>,
  isolation: PostgresIsolation | undefined,
  connections: Connections,
): Promise<OpenTransaction<Tx>> {
  return new Promise((resolve, reject) => {
    const builder = db.transaction();
    const ended = (isolation === undefined ? builder : builder.setIsolationLevel(isolation)).execute(
      (tx) =>
        new Promise<void>((commit, rollBack) => {
          const executor = (tx as PostgresKyselyLike).withoutPlugins();
          const query = (sql: string, parameters: readonly unknown[] = []): Promise<readonly unknown[]> =>
            execute(executor as PostgresExecutorLike, sql, parameters);
          const undo = (why: unknown): Promise<unknown> => {
            rollBack(why);
            return ended.catch(() => undefined);
          };
          let pid: number | null = null;
          resolve({
            tx,
            begin: async (sql, parameters) => {
              const rows = await query(sql, parameters);
              pid = pidOf(rows) ?? null;
              return rows;
            },
            query,
            // Not every dialect takes two statements at once; those of one name stack up, and end with the transaction.
            savepoint: (name) => query(`SAVEPOINT ${name}`),
            commit: async (last) => {
              const rows =
                last === null
                  ? []
                  : await query(last).catch(async (error: unknown) => {
                      await undo(error);
                      throw error;
                    });
              commit();
              await ended;
              return rows;
            },
            rollBack: async (broken) => {
              if (broken && pid !== null) await cancel(connections, pid);
              const undone = undo(new Error('rolled back'));
              // It waits for the statement that is stuck; nobody else need.
              if (!broken) await undone;
            },
          });
        }),
    );
    ended.catch(reject);
  });
}

function pidOf([row]: readonly unknown[]): number | undefined {
  return (row as { readonly pid?: number } | undefined)?.pid;
}

// Not ended, for nobody listens to the error of a connection that kysely has lent: that would end the process.
function cancel(connections: Connections, pid: number): Promise<unknown> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(subscription.unsubscribe()), CANCEL_MS);
    const end = (): void => {
      clearTimeout(timer);
      resolve(null);
    };
    const subscription = connections.subscribe({
      next: (connection) => {
        const ended = (): void => {
          connection.release(false);
          end();
        };
        connection.query('SELECT pg_cancel_backend($1)', [pid]).then(ended, ended);
      },
      error: end,
    });
  });
}
