import { readSafely } from '../../core/read-safely.js';

/** The names that PostgreSQL has for the errors that are met here; else that of the class, by its first two characters. */
const NAMES: Readonly<Record<string, string>> = {
  '08': 'connection_exception',
  '22': 'data_exception',
  '22001': 'string_data_right_truncation',
  '22003': 'numeric_value_out_of_range',
  '22021': 'character_not_in_repertoire',
  '22P02': 'invalid_text_representation',
  '23': 'integrity_constraint_violation',
  '23502': 'not_null_violation',
  '23503': 'foreign_key_violation',
  '23505': 'unique_violation',
  '23514': 'check_violation',
  '23P01': 'exclusion_violation',
  '25': 'invalid_transaction_state',
  '25001': 'active_sql_transaction',
  '25006': 'read_only_sql_transaction',
  '25P01': 'no_active_sql_transaction',
  '25P02': 'in_failed_sql_transaction',
  '25P03': 'idle_in_transaction_session_timeout',
  '25P04': 'transaction_timeout',
  '28': 'invalid_authorization_specification',
  '28P01': 'invalid_password',
  '3D000': 'invalid_catalog_name',
  '3F000': 'invalid_schema_name',
  '40': 'transaction_rollback',
  '40001': 'serialization_failure',
  '40P01': 'deadlock_detected',
  '42': 'syntax_error_or_access_rule_violation',
  '42501': 'insufficient_privilege',
  '42601': 'syntax_error',
  '42703': 'undefined_column',
  '42804': 'datatype_mismatch',
  '42883': 'undefined_function',
  '42P01': 'undefined_table',
  '42P10': 'invalid_column_reference',
  '53': 'insufficient_resources',
  '53100': 'disk_full',
  '53200': 'out_of_memory',
  '53300': 'too_many_connections',
  '54': 'program_limit_exceeded',
  '55': 'object_not_in_prerequisite_state',
  '55P03': 'lock_not_available',
  '57': 'operator_intervention',
  '57014': 'query_canceled',
  '57P01': 'admin_shutdown',
  '57P02': 'crash_shutdown',
  '57P03': 'cannot_connect_now',
  '57P05': 'idle_session_timeout',
  '58': 'system_error',
  P0: 'plpgsql_error',
  XX: 'internal_error',
};

/** The meaning of an error where this library meets it, and what to do. */
const MEANINGS: Readonly<Record<string, string>> = {
  '23': 'A constraint of your own on the table, or a trigger, does not take what we write.',
  '25006': 'The server takes no writes: it is a standby, or the database is read-only. Connect to the primary.',
  '25P02':
    'A statement of the transaction failed before, and its error was passed over: nothing more runs in such a transaction. Let ' +
    'the error pass, or put the statement that may fail in a savepoint, or write it so that it does not (ON CONFLICT DO NOTHING).',
  '25P03':
    'Postgres ended the connection, since its transaction was idle for longer than idle_in_transaction_session_timeout. In a ' +
    'handler await nothing but statements of tx, or raise that setting.',
  '25P04': 'Postgres ended the connection, since its transaction took longer than transaction_timeout.',
  '53': 'Postgres is out of something: disk, memory or connections (max_connections, of all pools together).',
  '54': 'A limit of Postgres is passed.',
  '55P03': 'It waited for a lock for longer than lock_timeout.',
  '57014': 'It took longer than statement_timeout, or somebody has cancelled it.',
  '57P01': 'The server shuts down, or somebody has ended the connection (pg_terminate_backend).',
  '57P02': 'The server has crashed, and ends all connections.',
  '57P03': 'The server starts, stops or recovers, and takes no connections meanwhile.',
  '57P05': 'Postgres ended the connection, which was idle for longer than idle_session_timeout.',
  '58': 'A fault of the server or of its disk: look at its log.',
  P0: 'A trigger or a function of your own has raised it.',
  XX: 'A fault of the server: look at its log.',
};

/** An error of the server in words: its code, its name, and the names that it gives, none of which is data. @internal */
export function conditionOf(sqlState: string, error: unknown): string {
  const name = NAMES[sqlState] ?? NAMES[sqlState.slice(0, 2)];
  const where = Object.entries(placesOf(error)).map(([place, named]) => `${place} "${named}"`);
  return [`${sqlState}${name === undefined ? '' : ` (${name})`}`, ...where].join(', ');
}

/** The names that an error of the server gives. @internal */
export function placesOf(error: unknown): Partial<Record<(typeof PLACES)[number], string>> {
  return Object.fromEntries(
    PLACES.flatMap((place) => {
      const named = readSafely(error, place);
      return typeof named === 'string' && NAME.test(named) ? [[place, named]] : [];
    }),
  );
}

/** Its meaning and what to do, where there is something to be said. @internal */
export function meaningOf(sqlState: string): string | undefined {
  return MEANINGS[sqlState] ?? MEANINGS[sqlState.slice(0, 2)];
}

const PLACES = ['constraint', 'column', 'table'] as const;
// A name of a length that PostgreSQL takes. A trigger that raises an error may give it any text for a name.
const NAME = /^[\p{L}_][\p{L}\p{M}\d_$-]{0,62}$/u;
