import { SluiceError } from '../../core/errors.js';
import { inFrontOf, usedTooLate, type BeforeStatement, type Loan } from './postgres-lent.js';
import type { TransactionTroubles } from './postgres-troubles.js';

type Query = (...given: unknown[]) => unknown;

/**
 * Lends a client of pg to a handler. Once that has ended it runs nothing more: what a handler has left behind, as `Promise.all` does
 * where one of several fails, would be a part of the next message's transaction, or of none. It is not the handler's to release.
 * @internal
 */
export function poolLoan<Tx extends object>(
  client: Tx,
  before: BeforeStatement,
  troubles: TransactionTroubles,
): Loan<Tx> {
  let over = false;
  // From then on each keeps its place behind it.
  let waiting: Promise<unknown> | null = null;
  const send: Query = (...given) =>
    over ? refuse(given) : troubles.watch((client as { query: Query }).query(...given));
  const query: Query = (...given) => {
    if (over) return refuse(given);
    waiting = before(textOf(given[0])) ?? waiting;
    // Callbacks and cursors cannot wait.
    return waiting === null || !givesPromise(given) ? send(...given) : waiting.then(() => send(...given));
  };
  const release = (): never => {
    throw new SluiceError('transaction-ended', 'withOutbox: tx is released by its handler. Leave that to withOutbox.');
  };
  return {
    tx: inFrontOf(client, { query, release }),
    end: () => {
      over = true;
    },
  };
}

function givesPromise(given: readonly unknown[]): boolean {
  return typeof given.at(-1) !== 'function' && !isCursor(given[0]);
}

function isCursor(query: unknown): boolean {
  return typeof (query as { readonly submit?: unknown } | null)?.submit === 'function';
}

/** In the way in which pg tells of a statement that failed. */
function refuse(given: readonly unknown[]): unknown {
  const error = usedTooLate();
  const callback = given.at(-1);
  if (typeof callback === 'function') {
    void Promise.resolve().then(() => (callback as (error: Error) => void)(error));
    return undefined;
  }
  if (isCursor(given[0])) throw error;
  return Promise.reject(error);
}

/** pg takes text, a config with it, or a cursor that has it. */
function textOf(query: unknown): string {
  const { text = query } = (query ?? {}) as { readonly text?: unknown };
  return typeof text === 'string' ? text : '';
}
