import { causeChain } from '../../core/cause-chain.js';
import { isSluiceError, type SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import type { OutboxFault } from '../../core/outbox-store.js';
import { readSafely } from '../../core/read-safely.js';
import { isBroken, isCutOff, isRolledBack, postgresError, sqlStateOf, type PostgresCall } from './postgres-errors.js';

/** Tells what errors of transactions mean, those that handlers pass on included. @internal */
export interface PostgresFaults {
  /** An error of a statement of ours, as it is to be told. */
  told(error: unknown): unknown;
  /** An error that says that another transaction is in the way. */
  busy(error: SluiceError): SluiceError;
  faultOf(error: unknown): OutboxFault;
}

const OUT_CODES: ReadonlySet<SluiceErrorCode> = new Set([
  'connection-failed',
  'schema-mismatch',
  'authentication-failed',
  'not-authorized',
] as const);
const LOST = /^(Connection terminated|Connection ended|Client was closed|Client has encountered a connection error)/;
// By kysely 0.29.9.
const DISCARDED = /connection has been discarded/;
const SOCKET = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ECONNREFUSED', 'ECONNABORTED']);
const MAX_CAUSES = 5;

/** @internal */
export function postgresFaults(call: PostgresCall): PostgresFaults {
  // A handler may fail with an error of another store of ours.
  const own = new WeakSet<object>();
  const inTheWay = new WeakSet<object>();
  return {
    told: (error) => {
      if (isRolledBack(error)) return error;
      const typed = postgresError(call, error);
      own.add(typed);
      return typed;
    },
    busy: (error) => {
      inTheWay.add(error);
      return error;
    },
    faultOf: (error) => {
      if (isSluiceError(error) && inTheWay.has(error)) return 'conflict';
      if (isSluiceError(error) && own.has(error)) {
        if (isCutOff(error.cause)) return 'conflict';
        return OUT_CODES.has(error.code) ? 'unavailable' : null;
      }
      // People wrap what they pass on.
      for (const each of causeChain(error).slice(0, MAX_CAUSES)) {
        if (isRolledBack(each)) return 'conflict';
        if (isLost(each)) return 'unavailable';
      }
      return null;
    },
  };
}

/** The connection is closed, or about to be: whoever gives it back gives back nothing. @internal */
export function isGone(error: unknown): boolean {
  const message = readSafely(error, 'message');
  return isLost(error) || (typeof message === 'string' && DISCARDED.test(message));
}

/** Nobody knows whether the statement still runs: it was not answered, and its connection is not gone. @internal */
export function isUnanswered(error: unknown): boolean {
  return sqlStateOf(error) === undefined && !isGone(error);
}

/** The connection of the handler's statement is gone: as pg says it, as the server does, or as the socket does. */
function isLost(error: unknown): boolean {
  if (sqlStateOf(error) !== undefined) return isBroken(error);
  const [message, code] = [readSafely(error, 'message'), readSafely(error, 'code')];
  if (typeof message === 'string' && LOST.test(message)) return true;
  return typeof code === 'string' && SOCKET.has(code) && typeof readSafely(error, 'syscall') === 'string';
}
