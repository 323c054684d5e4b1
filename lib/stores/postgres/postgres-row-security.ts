import { concatMap, defer, map, of, type Observable } from 'rxjs';
import { environment } from '../../core/environment.js';
import { SluiceError } from '../../core/errors.js';
import type { Connections } from './postgres-connection.js';
import type { PostgresCall } from './postgres-errors.js';
import { qualified } from './postgres-names.js';
import { runStatement } from './postgres-statement.js';

/**
 * SQL for a JSON list of those of SELECT, INSERT, UPDATE and DELETE for which row-level security leaves rows out for the user of the
 * connection. A policy leaves none out where it applies to the user and says no more than `true`, and none beside it restricts it.
 * @internal
 */
export function hiddenSql(oid: string): string {
  const reads = `pg_get_expr(p.polqual, p.polrelid)`;
  const writes = `coalesce(pg_get_expr(p.polwithcheck, p.polrelid), ${reads})`;
  const applies = `p.polrelid = ${oid} AND p.polcmd IN ('*', wanted.polcmd) AND EXISTS (
        SELECT FROM unnest(p.polroles) AS r (role) WHERE CASE WHEN r.role = 0 THEN true ELSE pg_has_role(r.role, 'USAGE') END
      )`;
  const isOpen = `(wanted.polcmd = 'a' OR coalesce(${reads} = 'true', false))
      AND (wanted.polcmd IN ('r', 'd') OR coalesce(${writes} = 'true', false))`;
  return `(
      SELECT coalesce(json_agg(wanted.command), '[]')
      FROM (VALUES ('SELECT', 'r'), ('INSERT', 'a'), ('UPDATE', 'w'), ('DELETE', 'd')) AS wanted (command, polcmd)
      WHERE row_security_active(${oid}) AND (
        NOT EXISTS (SELECT FROM pg_policy AS p WHERE ${applies} AND p.polpermissive AND ${isOpen})
        OR EXISTS (SELECT FROM pg_policy AS p WHERE ${applies} AND NOT p.polpermissive AND NOT (${isOpen}))
      )
    )`;
}

const AGAIN_MS = 60_000;

/**
 * Errors where row-level security hides rows of the table, at the first call and about once a minute: to read nothing would be
 * taken for having nothing to do. Emits once, otherwise.
 * @internal
 */
export function visibleRows(connections: Connections, call: PostgresCall, timeoutMs: number): Observable<null> {
  const { owner, names, table } = call;
  let next = -Infinity;
  const sql = `SELECT ${hiddenSql('c.oid')}::text AS hidden FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2`;
  return defer(() => {
    if (environment.now() < next) return of(null);
    return runStatement(connections, call, timeoutMs, sql, [names.schema, names[table]]).pipe(
      concatMap(([row]) => {
        // No row: a table that is missing tells of itself.
        const hidden = JSON.parse((row as { readonly hidden: string } | undefined)?.hidden ?? '[]') as string[];
        if (hidden.length > 0) throw hiddenRows(owner, qualified(names, table), hidden);
        next = environment.now() + AGAIN_MS;
        return of(null);
      }),
      map(() => null),
    );
  });
}

/** The end of a sentence: what somebody has to decide. @internal */
export const SHOW_ROWS =
  'It has to see all of them: give that user BYPASSRLS, or a policy FOR ALL USING (true) WITH CHECK (true) of its own.';

function hiddenRows(owner: string, where: string, hidden: readonly string[]): SluiceError {
  return new SluiceError(
    'not-authorized',
    `${owner}: row-level security hides rows of ${where} from the user of the pool (${hidden.join(', ')}). ${SHOW_ROWS}`,
    { details: { owner, table: where, hidden } },
  );
}
