import { defer, tap, throwError, timeout, type Observable, type ObservableInput } from 'rxjs';
import type { KinesisCallOptions } from './kinesis-client.js';

/** What a call fails with that was not answered in time. @internal */
export const CALL_TIMED_OUT = 'RxsluiceCallTimedOut';

/** One call of the client: cut off after `timeoutMs`, and where nobody waits for its answer any more. @internal */
export function callKinesis<R>(
  timeoutMs: number,
  call: (options: KinesisCallOptions) => ObservableInput<R>,
): Observable<R> {
  return defer(() => {
    const aborting = new AbortController();
    return defer(() => call({ abortSignal: aborting.signal })).pipe(
      tap({ unsubscribe: () => aborting.abort() }),
      timeout({ first: timeoutMs, with: () => throwError(() => timedOut(timeoutMs)) }),
    );
  });
}

/** @internal */
export function timedOut(timeoutMs: number): Error {
  return Object.assign(new Error(`no answer within ${timeoutMs} ms`), { name: CALL_TIMED_OUT });
}
