import { defer, type Observable, type ObservableInput } from 'rxjs';
import type { Marbles } from './marbles.js';

/** A call to a client as the library makes it; a fake answers with an Observable, in virtual time. */
export function call<T>(make: () => ObservableInput<T>): Observable<T> {
  return defer(make);
}

/** What came first in so much virtual time: the value, or the name of the error. */
export function within<T>(
  { drive, advanceTo, now }: Marbles,
  ms: number,
  answer: Observable<T>,
): T | string | undefined {
  const driven = drive(answer);
  advanceTo(now() + ms);
  return driven.error === undefined ? driven.values[0] : (driven.error as Error).name;
}
