import type { Observable } from 'rxjs';
import { endBackend, endStatement, named, type Backend } from './postgres-backend.js';
import {
  isKysely,
  type PostgresIsolation,
  type PostgresKyselyLike,
  type PostgresKyselyOf,
  type PostgresPoolClientLike,
  type PostgresPoolOf,
} from './postgres-client.js';
import { execute, requestsOf, type Connections } from './postgres-connection.js';
import { isBroken } from './postgres-errors.js';
import { lentClient } from './postgres-lent-client.js';

/** A transaction on a connection of its own, until `commit` has ended or `rollBack` is called. @internal */
export interface OpenTransaction<Tx> {
  /** For a handler, which cannot use it any more once it `isOver`. */
  lend(isOver: () => boolean): Tx;
  /** The first statement: one without parameters may go with BEGIN. */
  begin(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]>;
  /** In the order of the calls, those by `tx` included. */
  query(sql: string, parameters: readonly unknown[]): Promise<readonly unknown[]>;
  /** `again`: there is a savepoint of that name, whose work is kept. */
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
    ? () => kyselyTransaction<Tx>(db, isolation, connections)
    : () => poolTransaction<Tx>(db, isolation, connections);
  return requestsOf(open, (transaction) => void transaction.rollBack(false));
}

interface PgResult {
  readonly rows: readonly unknown[];
}

async function poolTransaction<Tx>(
  pool: PostgresPoolOf<Tx>,
  isolation: PostgresIsolation | undefined,
  connections: Connections,
): Promise<OpenTransaction<Tx>> {
  const tx = await pool.connect();
  const client = tx as PostgresPoolClientLike;
  const ignore = (): void => undefined; // the statement fails with it
  client.on('error', ignore);
  let released = false;
  // Of no more use, as one to a server that is a standby by now.
  let unfit = false;
  let first = '';
  let backend: Backend | null = null;
  const release = (broken: boolean): void => {
    if (released) return;
    released = true;
    client.removeListener('error', ignore);
    client.release(broken);
  };
  // Several statements without parameters are several results.
  const results = async (text: string, values: readonly unknown[] = []): Promise<readonly PgResult[]> => {
    const query = values.length === 0 ? { text } : { text, values: values as unknown[] };
    const given = (await client.query(query).catch((error: unknown) => {
      unfit ||= isBroken(error);
      throw error;
    })) as PgResult | readonly PgResult[];
    return Array.isArray(given) ? (given as readonly PgResult[]) : [given as PgResult];
  };
  const run = async (text: string, values?: readonly unknown[]): Promise<readonly unknown[]> =>
    ((await results(text, values))[0] as PgResult).rows;
  const begin = isolation === undefined ? 'BEGIN' : `BEGIN ISOLATION LEVEL ${isolation.toUpperCase()}`;
  const rollBack = (): Promise<void> =>
    run('ROLLBACK').then(
      () => release(unfit),
      () => release(true),
    );
  return {
    lend: (isOver) => lentClient(tx as Tx & object, isOver),
    begin: async (sql, parameters) => {
      if (parameters.length > 0) await run(begin);
      first = named(parameters.length > 0 ? sql : `${begin}; ${sql}`);
      const rows = parameters.length > 0 ? await run(first, parameters) : ((await results(first))[1] as PgResult).rows;
      backend = backendOf(rows);
      return rows;
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
      if (!broken) await rollBack();
      else {
        release(true);
        // A server does not look at a connection while a statement runs, and keeps the locks until then.
        if (backend !== null) await endBackend(connections, 'pg_terminate_backend', backend);
        else if (first !== '') await endStatement(connections, first);
      }
    },
  };
}

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
            execute(executor, sql, parameters);
          const undo = (why: Error): Promise<unknown> => {
            rollBack(why);
            return ended.catch(() => undefined);
          };
          let first = '';
          let backend: Backend | null = null;
          resolve({
            // kysely refuses by itself what comes after the end.
            lend: () => tx,
            begin: async (sql, parameters) => {
              first = named(sql);
              const rows = await query(first, parameters);
              backend = backendOf(rows);
              return rows;
            },
            query,
            // Not every dialect takes two statements at once.
            savepoint: async (name, again) => {
              if (again) await query(`RELEASE SAVEPOINT ${name}`);
              return query(`SAVEPOINT ${name}`);
            },
            commit: async (last) => {
              const rows =
                last === null
                  ? []
                  : await query(last).catch(async (error: unknown) => {
                      await undo(error as Error);
                      throw error;
                    });
              commit();
              await ended;
              return rows;
            },
            rollBack: async (broken) => {
              // Not ended, for nobody listens to the error of a connection that kysely has lent: that would end the process.
              if (broken && backend !== null) await endBackend(connections, 'pg_cancel_backend', backend);
              else if (broken && first !== '') await endStatement(connections, first);
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

function backendOf([row]: readonly unknown[]): Backend | null {
  return (row as Backend | undefined) ?? null;
}
