import type { InteropObservable, Observable, ObservableInput, ReadableStreamLike } from 'rxjs';

/**
 * A result of a function that may come later: a value `V`, a Promise of `A`, an Observable of `B`, an async iterable
 * of `C`, or any of these. Four types, since one would have to be the same for all, and is not where a cached value is returned or a
 * Promise of a fresh one.
 * @public
 */
export type Returned<V, A, B, C> =
  V | PromiseLike<A> | Observable<B> | InteropObservable<B> | AsyncIterable<C> | ReadableStreamLike<C>;

/** The type of the value that a `Returned` leads to. @public */
export interface Result<V, A, B, C> {
  /**
   * The value itself, or the last one. A function that is declared to return an `ObservableInput<R>` gives `R`; where that is an
   * array or another iterable after all, the whole of it is the value: wrap it in `from`.
   */
  readonly of:
    Exclude<Whole<V, B>, Exclude<ObservableInput<unknown>, ArrayLike<unknown> | Iterable<unknown>>> | A | B | C;
}

// For an ObservableInput this leaves out its arrays and iterables, which stand for their elements there.
type Whole<V, B> = [unknown] extends [V]
  ? V
  : [ArrayLike<never> | Iterable<never>] extends [V]
    ? [B] extends [never]
      ? V
      : never
    : V;
