import { isPromiseLike } from './deferred.js';
import { defer, type ObservableInput, type Subscription } from 'rxjs';

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
