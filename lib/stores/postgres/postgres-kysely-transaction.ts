import { backendOf, endBackend, endStatement, named, type Backend } from './postgres-backend.js';
import type { PostgresIsolation, PostgresKyselyLike, PostgresKyselyOf } from './postgres-client.js';
import { execute, type Connections } from './postgres-connection.js';
import type { OpenTransaction, StatementResult } from './postgres-open-transaction.js';

const NOTHING: StatementResult = { rows: [], count: 0 };

/** kysely begins and ends a transaction around a callback. @internal */
export function kyselyTransaction<Tx>(
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
          const query = async (sql: string, parameters: readonly unknown[] = []): Promise<StatementResult> => {
            const rows = await execute(executor, sql, parameters);
            return { rows, count: rows.length };
          };
          const undo = (why: Error): Promise<unknown> => {
            rollBack(why);
            return ended.catch(() => undefined);
          };
          let first = '';
          let backend: Backend | null = null;
          const begin = async (sql: string, parameters: readonly unknown[]): Promise<StatementResult> => {
            first = named(sql);
            const result = await query(first, parameters);
            backend = backendOf(result);
            return result;
          };
          resolve({
            // kysely refuses by itself what comes after the end.
            lend: () => tx,
            begin,
            beginWith: ({ text }) => begin(text, []),
            query,
            // Not every dialect takes two statements at once.
            savepoint: async (name, again) => {
              if (again) await query(`RELEASE SAVEPOINT ${name}`);
              return query(`SAVEPOINT ${name}`);
            },
            commit: async (last) => {
              const result =
                last === null
                  ? NOTHING
                  : await query(last.text).catch(async (error: unknown) => {
                      await undo(error as Error);
                      throw error;
                    });
              commit();
              await ended;
              return result;
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
