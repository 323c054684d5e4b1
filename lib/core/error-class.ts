import { readSafely } from './read-safely.js';

// What stands for many kinds of failure; the error's own name says which.
const GENERIC: ReadonlySet<unknown> = new Set(['Error', 'DOMException', 'Object']);

/**
 * The name of an error's class, or the error's own where the class says nothing: that of a time-out of `AbortSignal.timeout` is
 * `TimeoutError`, and not `DOMException`. @internal
 */
export function errorClass(error: Error): string {
  const names = [readSafely(readSafely(error, 'constructor'), 'name'), readSafely(error, 'name')].filter(isName);
  return names.find((name) => !GENERIC.has(name)) ?? names[0] ?? 'Error';
}

function isName(name: unknown): name is string {
  return typeof name === 'string' && name !== '';
}
