import { isPromiseLike } from '../../core/deferred.js';
import { conditionOf, placesOf } from './postgres-conditions.js';
import { sqlStateOf } from './postgres-errors.js';

const FAILED_BEFORE = '25P02';

/**
 * Keeps the first error of a transaction, for the statements of ours that meet its consequence. The server tells it once: to the
 * handler, which may pass over it, or to nobody, as it closes a connection that is idle. Later errors say only that there was one.
 * @internal
 */
// Made once a message: see docs/decisions/0004.
export class TransactionTroubles {
  private first: unknown = null;
  private end: unknown = null;

  /** The answer to a statement of a handler, with what is behind its error. */
  watch<T>(answer: T): T {
    if (typeof answer !== 'object' || answer === null || !isPromiseLike(answer)) return answer;
    return answer.then(
      (result: unknown) => {
        this.answered();
        return result;
      },
      (error: unknown) => {
        throw this.explain(error);
      },
    ) as T;
  }

  /** A statement has worked, so the transaction is not aborted (any more). */
  answered(): void {
    this.first = null;
  }

  /** The connection has ended. */
  ended(error: unknown): void {
    this.end ??= error;
  }

  /** An error of a statement: one that is no more than a consequence gets its cause, or is told by it. */
  explain(error: unknown): unknown {
    const sqlState = sqlStateOf(error);
    if (sqlState === undefined) return sqlStateOf(this.end) === undefined ? error : this.end;
    if (sqlState !== FAILED_BEFORE) this.first ??= error;
    else if (this.first !== null) (error as { cause?: unknown }).cause ??= toldOf(this.first);
    return error;
  }
}

/** Not the error itself: it is the handler's, and shows rows. */
function toldOf(error: unknown): Error {
  const sqlState = sqlStateOf(error) as string;
  const told = new Error(`Postgres says ${conditionOf(sqlState, error)}.`);
  return Object.assign(told, { code: sqlState, ...placesOf(error) });
}
