import { concatMap, defer, from, map, toArray, type Observable } from 'rxjs';
import { checkOptions } from '../../core/options.js';
import { catalogueOf, catalogueSql } from './postgres-catalogue.js';
import { CALL_RULES } from './postgres-call-options.js';
import type { PostgresLike } from './postgres-client.js';
import { connectionsOf } from './postgres-connection.js';
import type { PostgresSchemaOptions } from './postgres-migrations.js';
import { resolveTables, type PostgresTable } from './postgres-names.js';
import { problemsOf, type PostgresProblem } from './postgres-problems.js';
import { noticeOf, snapshotsSql, type PostgresNotice } from './postgres-snapshots.js';
import { runStatement } from './postgres-statement.js';

/** What `postgresDoctor` found. @public */
export interface PostgresReport {
  /** Whether there is no problem. */
  readonly healthy: boolean;
  /** In the order in which to mend them. */
  readonly problems: readonly PostgresProblem[];
  /** Findings to look at, though the tables are as they should be: they have no part in `healthy`. */
  readonly notices: readonly PostgresNotice[];
  /** The SQL that mends what can be mended by SQL alone; empty where there is none. */
  readonly sql: string;
}

const OWNER = 'postgresDoctor';
const TIMEOUT_MS = 10_000;

/**
 * Compares the tables as they are with what this version expects, writes nothing, and emits one report: what is missing
 * or different, the migration that makes it, and the SQL to run. Beside that it notices transactions that have been open for long.
 * Errors are those of the connection.
 *
 * ```ts
 * const { healthy, problems, sql } = await firstValueFrom(postgresDoctor(db, { tables: ['processedEvents'] }));
 * ```
 * @public
 */
export function postgresDoctor(db: PostgresLike, options: PostgresSchemaOptions = {}): Observable<PostgresReport> {
  const { names, tables } = resolveTables(OWNER, options);
  checkOptions(OWNER, { db }, CALL_RULES);
  return defer(() => {
    const connections = connectionsOf(db);
    const ask = (table: PostgresTable, sql: string, parameters: readonly unknown[]): Observable<readonly unknown[]> =>
      runStatement(connections, { owner: OWNER, names, table }, TIMEOUT_MS, sql, parameters);
    return from(tables).pipe(
      concatMap((table) =>
        ask(table, catalogueSql, [names.schema, names[table]]).pipe(
          map(([row]) => problemsOf(names, table, catalogueOf(row))),
        ),
      ),
      toArray(),
      concatMap((found) =>
        ask('outbox', snapshotsSql, []).pipe(map((held) => reportOf(found.flat(), held.map(noticeOf)))),
      ),
    );
  });
}

function reportOf(problems: readonly PostgresProblem[], notices: readonly PostgresNotice[]): PostgresReport {
  const distinct = problems.filter(
    ({ message }, index) => problems.findIndex((other) => other.message === message) === index,
  );
  const sql = distinct.flatMap(({ run }) => (run === null ? [] : [run]));
  return {
    healthy: distinct.length === 0,
    problems: distinct,
    notices,
    sql: sql.map((statement) => `${statement}\n`).join(''),
  };
}
