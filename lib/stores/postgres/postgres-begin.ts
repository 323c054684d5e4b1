import type { PostgresIsolation } from './postgres-client.js';
import { sqlStateOf } from './postgres-errors.js';

// A transaction is open in which something has run, or has failed.
const INSIDE = new Set(['25001', '25P02']);

/**
 * BEGIN that joins no transaction which somebody has left open on the connection. A plain BEGIN does, with no more than a warning, and
 * then our COMMIT commits what is not ours, or a ROLLBACK that comes late takes ours along. Once a transaction has run
 * anything, Postgres refuses to have DEFERRABLE set in it, to whatever value. It means nothing for one that writes.
 * @internal
 */
export function beginSql(isolation: PostgresIsolation | undefined): string {
  const level = isolation === undefined ? '' : ` ISOLATION LEVEL ${isolation.toUpperCase()}`;
  return `BEGIN${level} NOT DEFERRABLE`;
}

/** That BEGIN met what somebody has left open. It is nobody's any more: roll it back, and begin again. @internal */
export function isInside(error: unknown): boolean {
  return INSIDE.has(sqlStateOf(error) ?? '');
}
