import { isPromiseLike } from './deferred.js';
import { defer, observable, type ObservableInput, type Subscription } from 'rxjs';

/** Calls `stop` once when an abort signal or the first value or completion of an input says so. @internal */
export function listenForStop(
  signal: AbortSignal | ObservableInput<unknown>,
  stop: () => void,
  fail: (error: unknown) => void,
): () => void {
  if (isAbortSignal(signal)) {
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
    return () => signal.removeEventListener('abort', stop);
  }
  const subscription: Subscription = defer(() => signal).subscribe({ next: stop, error: fail, complete: stop });
  return () => subscription.unsubscribe();
}

/**
 * Whether it may have fired before and can only say so later: a Promise, an async iterable or a stream. An abort signal and an
 * Observable say so at once.
 * @internal
 */
export function answersLater(signal: AbortSignal | ObservableInput<unknown>): boolean {
  return isPromiseLike(signal) || Symbol.asyncIterator in signal || 'getReader' in signal;
}

function isAbortSignal(signal: object): signal is AbortSignal {
  return 'aborted' in signal && 'addEventListener' in signal;
}

/** Whether it can say when to stop. @internal */
export function isStopInput(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const input = value as Readonly<Record<PropertyKey, unknown>>;
  return isAbortSignal(value) || 'length' in value || INPUTS.some((member) => typeof input[member] === 'function');
}

/** What RxJS knows an input by. */
const INPUTS: readonly PropertyKey[] = [observable, 'then', 'getReader', Symbol.iterator, Symbol.asyncIterator];
