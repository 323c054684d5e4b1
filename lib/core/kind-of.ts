import { isBytes } from './is-bytes.js';
import { isDate } from './is-date.js';
import { isError } from './is-error.js';
import { readSafely } from './read-safely.js';

/**
 * Names the kind of something that was given in the place of something else, with its article, to end "…, not ": `an object`,
 * `a string`, `undefined`. It shows nothing of what is in it, and never throws.
 * @internal
 */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Number.isNaN(value)) return 'NaN';
  return typeof value === 'object' ? kindOfObject(value) : `a ${typeof value}`;
}

function kindOfObject(value: object): string {
  if (isBytes(value)) return 'bytes';
  if (isDate(value)) return 'a Date';
  if (isError(value)) return 'an Error';
  if (typeof readSafely(value, 'then') === 'function') return 'a Promise';
  return isArray(value) ? 'an array' : 'an object';
}

function isArray(value: object): boolean {
  try {
    return Array.isArray(value);
  } catch {
    // A Proxy that is revoked.
    return false;
  }
}
