import { from, isObservable, noop, type InteropObservable, type Observable } from 'rxjs';

/**
 * What a callback may return for work that is not done at once. A string, an array, bytes, a Map or a Set is a value,
 * never a stream of its elements.
 * @public
 */
export type Deferred<R> = PromiseLike<R> | Observable<R> | AsyncIterable<R>;

/** What to wait for, or `null` where the result is the value itself. @internal */
export function deferredOf(result: unknown): Observable<unknown> | PromiseLike<unknown> | null {
  if (typeof result !== 'object' || result === null || ArrayBuffer.isView(result)) return null;
  if (isPromiseLike(result)) return result;
  if (isObservable(result)) return result;
  return isInterop(result) ? from(result) : null;
}

/**
 * `then`, which may throw: that of a query builder which must not be awaited does.
 * @internal
 */
export function whenSettled(
  promise: PromiseLike<unknown>,
  onValue: (value: unknown) => void,
  onError: (error: unknown) => void,
): void {
  try {
    promise.then(onValue, onError);
  } catch (error) {
    onError(error);
  }
}

/** For a result that nobody waits for: a promise that rejects must not be unhandled. @internal */
export function ignore(deferred: Observable<unknown> | PromiseLike<unknown> | null): void {
  if (deferred !== null && isPromiseLike(deferred)) whenSettled(deferred, noop, noop);
}

/** @internal */
export function isPromiseLike(value: object): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown }).then === 'function';
}

function isInterop(value: object): value is InteropObservable<unknown> {
  const { [Symbol.asyncIterator]: iterate, '@@observable': observe } = value as Record<PropertyKey, unknown>;
  const key: unknown = (Symbol as { observable?: symbol }).observable;
  return (
    typeof iterate === 'function' ||
    typeof observe === 'function' ||
    (typeof key === 'symbol' && typeof (value as Record<symbol, unknown>)[key] === 'function')
  );
}
