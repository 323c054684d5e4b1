import { nameOf, SluiceError } from './errors.js';

/**
 * What a failure means for the next step. `permanent`: no retry can help (undecodable, invalid). `transient`: try again,
 * it counts as an attempt. `unavailable`: a store, a publisher or a back end is out; hold, probe, count nothing.
 * @public
 */
export type FailureClass = 'permanent' | 'transient' | 'unavailable';

const MARK = Symbol.for('rxsluice.failure');
const MAX_CAUSES = 8;

/** Marks an error as permanent: it skips the retries. An `Error` is marked itself and stays what it is. @public */
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

/** The mark of an error or of the nearest marked one in its `cause` chain; an unmarked one is transient. @public */
export function classifyFailure(error: unknown): FailureClass {
  return failureMark(error) ?? 'transient';
}

/** The same, or `undefined` for an unmarked one. @internal */
export function failureMark(error: unknown): FailureClass | undefined {
  let current = error;
  for (let depth = 0; depth < MAX_CAUSES && typeof current === 'object' && current !== null; depth++) {
    const marked = (current as { [MARK]?: FailureClass })[MARK];
    if (marked !== undefined) return marked;
    current = (current as { cause?: unknown }).cause;
  }
  return undefined;
}

function mark(error: unknown, failure: FailureClass): Error {
  const target =
    error instanceof Error && Object.isExtensible(error)
      ? error
      : new SluiceError('failed', `Marked as ${failure}: ${nameOf(error)}. The cause is what was thrown.`, {
          cause: error,
        });
  Object.defineProperty(target, MARK, { value: failure, configurable: true, writable: true });
  return target;
}
