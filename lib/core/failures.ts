import { nameOf, SluiceError } from './errors.js';
import { isError } from './is-error.js';
import { readSafely } from './read-safely.js';

/**
 * What a failure means for the next step. `permanent`: no retry can help (undecodable, invalid). `transient`: try again,
 * it counts as an attempt. `unavailable`: a store, a publisher or a back end is out; hold, probe, count nothing.
 * @public
 */
export type FailureClass = 'permanent' | 'transient' | 'unavailable';

const MARK = Symbol.for('rxsluice.failure');
const MAX_CAUSES = 8;

/**
 * Marks an error as permanent: it skips the retries. An `Error`, of whichever realm, is marked itself and stays what it is; what cannot
 * be marked (a frozen error, or something that is no `Error`) becomes the `cause` of the `SluiceError` that is returned. @public
 */
export function permanent(error: unknown): Error {
  return mark(error, 'permanent');
}

/** Marks an error as transient, also where one of its causes is marked otherwise. @public */
export function transient(error: unknown): Error {
  return mark(error, 'transient');
}

/**
 * Marks an error as the outage of something that the work needs: the delivery is held and tried again with backoff,
 * and no attempt is counted, so that an outage never empties a topic into the dead letters.
 * @public
 */
export function unavailable(error: unknown): Error {
  return mark(error, 'unavailable');
}

/**
 * The mark of an error or of the nearest marked one in its `cause` chain, eight deep; an unmarked one is transient. It never throws,
 * whatever it is given. @public
 */
export function classifyFailure(error: unknown): FailureClass {
  return failureMark(error) ?? 'transient';
}

/** The same, or `undefined` for an unmarked one. @internal */
export function failureMark(error: unknown): FailureClass | undefined {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && typeof current === 'object' && current !== null; depth++) {
    const marked = readSafely(current, MARK);
    if (isFailureClass(marked)) return marked;
    current = readSafely(current, 'cause');
  }
  return undefined;
}

/** @internal */
export function isFailureClass(value: unknown): value is FailureClass {
  return value === 'permanent' || value === 'transient' || value === 'unavailable';
}

function mark(error: unknown, failure: FailureClass): Error {
  if (isError(error) && takesMark(error, failure)) return error;
  const text = `Marked as ${failure}: ${nameOf(error)}. The cause is what was thrown.`;
  const wrapper = new SluiceError('failed', text, { cause: error });
  takesMark(wrapper, failure);
  return wrapper;
}

/** Puts the mark on. False where that fails: a frozen error takes none, and a Proxy may refuse it, or throw. */
function takesMark(error: Error, failure: FailureClass): boolean {
  try {
    const mark = { value: failure, configurable: true, writable: true };
    return Reflect.defineProperty(error, MARK, mark) && readSafely(error, MARK) === failure;
  } catch {
    return false;
  }
}
