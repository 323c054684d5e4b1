import { defer, last, timeout, type Observable, type ObservableInput } from 'rxjs';

/** One call of a lease store; one that gives no answer in time has failed. @internal */
export function boundedCall<R>(timeoutMs: number, call: () => ObservableInput<R>): Observable<R | undefined> {
  return defer(call).pipe(last(null, undefined as R | undefined), timeout(timeoutMs));
}
