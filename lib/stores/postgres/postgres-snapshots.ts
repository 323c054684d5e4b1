/** Something to look at that is no fault of the tables. @public */
export interface PostgresNotice {
  /**
   * The kind, for programs. `open-snapshot`: a transaction has been open for more than five minutes, so the server keeps all rows
   * that were published or processed since, and an idle relay walks past them with each claim.
   */
  readonly kind: 'open-snapshot';
  /** The same for people: who, for how long, what to do. */
  readonly message: string;
}

const OLD_S = 300;
const MOST = 5;

/**
 * The transactions that hold back what the server may clean up, the oldest first. Of other users one sees them with the rights of
 * `pg_read_all_stats` alone.
 * @internal
 */
export const snapshotsSql = `SELECT held.who, held.seconds::int AS seconds FROM (
    SELECT 'process ' || pid || coalesce(' (' || state || ')', '') AS who, extract(epoch FROM clock_timestamp() - xact_start) AS seconds
      FROM pg_stat_activity
      WHERE coalesce(backend_xmin, backend_xid) IS NOT NULL AND pid <> pg_backend_pid() AND coalesce(datname = current_database(), true)
    UNION ALL
    SELECT 'a prepared transaction' AS who, extract(epoch FROM clock_timestamp() - prepared) AS seconds
      FROM pg_prepared_xacts WHERE database = current_database()
  ) AS held WHERE held.seconds > ${OLD_S} ORDER BY held.seconds DESC LIMIT ${MOST}`;

/** @internal */
export function noticeOf(row: unknown): PostgresNotice {
  const { who, seconds } = row as { readonly who: string; readonly seconds: number };
  return {
    kind: 'open-snapshot',
    message:
      `A transaction of ${who} has been open for ${Math.round(Number(seconds) / 60)} minutes. Rows that were published or processed ` +
      'since stay in the tables, and each claim of an idle relay walks past them. End it (pg_terminate_backend, ROLLBACK PREPARED); ' +
      'idle_in_transaction_session_timeout and transaction_timeout keep it from coming again.',
  };
}
