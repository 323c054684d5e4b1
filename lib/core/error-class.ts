import { readSafely } from './read-safely.js';
import { safeWord } from './safe-word.js';

// These classes stand for many kinds of failure; the error's own name says which.
const GENERIC: ReadonlySet<unknown> = new Set(['Error', 'DOMException', 'Object']);

/**
 * The name of an error's class, or the error's own where the class says nothing: that of a time-out of `AbortSignal.timeout` is
 * `TimeoutError`, and not `DOMException`. @internal
 */
export function errorClass(error: Error): string {
  const ofConstructor = safeWord(readSafely(readSafely(error, 'constructor'), 'name'));
  const own = safeWord(readSafely(error, 'name'));
  return (
    [ofConstructor, own].find((name) => name !== undefined && !GENERIC.has(name)) ?? ofConstructor ?? own ?? 'Error'
  );
}
