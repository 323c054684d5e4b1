import { isSluiceError, nameOf, SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import { readSafely } from '../../core/read-safely.js';
import { conditionOf, meaningOf } from './postgres-conditions.js';
import { qualified, type PostgresTable, type ResolvedNames } from './postgres-names.js';
import { SHAPES } from './postgres-schema.js';

/** What a call was about, for its error. @internal */
export interface PostgresCall {
  readonly owner: string;
  readonly names: ResolvedNames;
  readonly table: PostgresTable;
}

// No name of a system error, such as EPIPE.
const SQL_STATE = /^(?!E)[0-9A-Z]{5}$/;
// No such table, schema or column; no such unique key; another type.
const SCHEMA_STATES = new Set(['42P01', '3F000', '42703', '42P10', '42804', '42883']);
const ROLLED_BACK = new Set(['40001', '40P01']);
// Shutting down, starting, killed by an administrator or for being idle, out of disk, memory or connections, a standby.
const OUT_STATES = new Set(['57P01', '57P02', '57P03', '57P05', '53100', '53200', '53300', '25006', '25P03', '25P04']);
// `statement_timeout` and `lock_timeout`.
const CUT_OFF = new Set(['57014', '55P03']);
// What the server tells of rows, that is, of keys and payloads.
const TELLING = ['detail', 'where', 'internalQuery'];

/** The server gave it up for the sake of another transaction: it may simply be run again. @internal */
export function isRolledBack(error: unknown): boolean {
  return ROLLED_BACK.has(sqlStateOf(error) ?? '');
}

/** The server took too long for the settings of the database: most often it waited for a lock. @internal */
export function isCutOff(error: unknown): boolean {
  return CUT_OFF.has(sqlStateOf(error) ?? '');
}

/** Whether the connection can be of no more use. @internal */
export function isBroken(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state === undefined || state.startsWith('08') || OUT_STATES.has(state);
}

/** A failure of pg, of a statement of ours, as a typed error; what it says of itself, but of rows, is the `cause`. @internal */
export function postgresError({ owner, names, table }: PostgresCall, error: unknown): SluiceError {
  if (isSluiceError(error)) return error;
  const sqlState = sqlStateOf(error);
  const code = codeOf(error);
  const where = qualified(names, table);
  const { migration } = SHAPES[table];
  const next: Partial<Record<SluiceErrorCode, string>> = {
    'schema-mismatch':
      `The table ${where} is missing or older than this version: run the migration ${migration}, by ` +
      'postgresMigrations or the SQL of postgresSchema. postgresDoctor says what is missing.',
    'connection-failed':
      'There is no connection to Postgres, or it was lost. Look at the server, whose log says why it ended one, and at the settings of the pool.',
    'authentication-failed': 'Postgres refused the credentials. Look at the settings of the pool.',
    'not-authorized': `Grant SELECT, INSERT, UPDATE and DELETE on ${where} to the user of the pool.`,
  };
  if (sqlState !== undefined) for (const name of TELLING) Reflect.deleteProperty(error as object, name);
  const told = sqlState === undefined ? driverText(error) : `Postgres says ${conditionOf(sqlState, error)}`;
  const meaning = sqlState === undefined ? undefined : meaningOf(sqlState);
  const first = firstFailureOf(error);
  const parts = [
    first === null ? told : `${told}. Before that ${first}`,
    meaning ?? next[code] ?? 'Look at the log of the server, which has the whole of it',
  ];
  return new SluiceError(code, `${owner}: ${parts.join('. ').replace(/\.?$/, '.')}`, {
    cause: error,
    details: { owner, table: where, ...(sqlState && { sqlState }), ...(code === 'schema-mismatch' && { migration }) },
  });
}

/** The error that a handler passed over, where a statement of ours met only its consequence; see `TransactionTroubles`. */
function firstFailureOf(error: unknown): string | null {
  const cause = readSafely(error, 'cause');
  const sqlState = sqlStateOf(cause);
  return sqlState === undefined ? null : `Postgres says ${conditionOf(sqlState, cause)}`;
}

// The driver's own, word by word, about its connections. What only begins like one may go on with anything: "Connection string …".
const OF_DRIVER = [
  /^Connection (terminated|ended)( unexpectedly| due to connection timeout)?$/,
  /^Client (was closed|has encountered a connection error) and is not queryable$/,
  /^(timeout expired|timeout exceeded when trying to connect|Query read timeout)$/,
  /^Cannot use a pool after calling end on the pool$/,
  /^(The server does not support SSL connections|There was an error establishing an SSL connection)$/,
  /^SASL: SCRAM-[A-Z-]{1,32}: [a-z -]{1,64}$/,
];

function driverText(error: unknown): string {
  const message = readSafely(error, 'message');
  return typeof message === 'string' && OF_DRIVER.some((text) => text.test(message)) ? message : nameOf(error);
}

/** Nothing answered in time. @internal */
export function tooLate({ owner }: PostgresCall, timeoutMs: number): SluiceError {
  return new SluiceError(
    'connection-failed',
    `${owner}: no answer within ${timeoutMs} ms. Either the pool has no free connection, or Postgres is slow.`,
    { details: { owner, timeoutMs } },
  );
}

function codeOf(error: unknown): SluiceErrorCode {
  const state = sqlStateOf(error);
  if (state === undefined) return 'connection-failed';
  if (SCHEMA_STATES.has(state)) return 'schema-mismatch';
  if (state.startsWith('28')) return 'authentication-failed';
  if (state === '42501') return 'not-authorized';
  return isBroken(error) ? 'connection-failed' : 'store-failed';
}

/** @internal */
export function sqlStateOf(error: unknown): string | undefined {
  const code = readSafely(error, 'code');
  return typeof code === 'string' && SQL_STATE.test(code) ? code : undefined;
}
