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

function isAbortSignal(signal: object): signal is AbortSignal {
  return 'aborted' in signal && 'addEventListener' in signal;
}
