import { asyncScheduler } from 'rxjs';
import { SluiceError } from './errors.js';
import type { Session } from './session.js';

// Some 100 KB: an unsubscribe on its way up a pipeline needs a part of it, and code that runs for the first time is compiled there too.
const FRAMES_NEEDED = 1_000;

const MESSAGES = ['Maximum call stack size exceeded', 'Maximum call stack size exceeded.', 'too much recursion'];

/** Whether so little of the call stack is left that the next calls may fail anywhere. Not for a hot path. @internal */
export function isStackLow(): boolean {
  try {
    return deeper(FRAMES_NEEDED) !== FRAMES_NEEDED;
  } catch {
    return true;
  }
}

/**
 * Tells the error of an engine whose call stack is used up: V8 and JavaScriptCore throw a RangeError, SpiderMonkey an
 * InternalError. No regular expression: where V8 has no stack left to compile one, it ends the process.
 * @internal
 */
export function isStackOverflow(error: unknown): boolean {
  try {
    // No call of ours, for which nothing may be left; and of whichever realm, as that of the function that was called last.
    return (
      typeof error === 'object' && error !== null && MESSAGES.includes((error as Partial<Error>).message as string)
    );
  } catch (failure) {
    // The error threw as it was read. Or it was the stack again: then a caller further out asks once more.
    if (isStackLow()) throw failure;
    return false;
  }
}

/** @internal */
export const STACK_OVERFLOW =
  'The call stack is used up: an operator of RxJS called itself once for each delivery that waited in it, as mergeMap(n) and ' +
  'concatMap do where inner Observables end at once. What was out comes again. Use handle, or settling as the inner ' +
  'Observable (docs/operators-and-plain-rxjs.md).';

/** @internal */
export function stackOverflow(cause: unknown): SluiceError {
  return new SluiceError('stack-overflow', STACK_OVERFLOW, { cause });
}

/**
 * Has the session end on a fresh stack. So little may be left of this one that not even a timer can be started: then the next
 * run of the pump, or the watchdog, starts it.
 * @internal
 */
export function noteOverflow(session: Session, cause: unknown): void {
  session.overflow = cause;
  session.overflowed = true;
  try {
    session.failing ??= asyncScheduler.schedule(session.onOverflow);
  } catch {
    // Remembered.
  }
}

function deeper(frames: number): number {
  return frames === 0 ? 0 : 1 + deeper(frames - 1);
}
