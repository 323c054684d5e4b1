import { SluiceError } from '../../core/errors.js';
import { isBytes } from '../../core/is-bytes.js';

// Who has told pg to leave values as the text that the server sends must not have a claim of another taken for a repeat.

/** @internal */
export function isTrue(value: unknown): boolean {
  return value === true || value === 't' || value === 'true';
}

/** A `bytea`, also as the text in which the server sends it. @internal */
export function bytesOf(value: unknown): Uint8Array | null {
  if (value === null || isBytes(value)) return value;
  if (typeof value === 'string' && value.startsWith('\\x')) return new Uint8Array(Buffer.from(value.slice(2), 'hex'));
  throw new SluiceError(
    'store-failed',
    'pg gives values of the type bytea as something else than bytes: look at its type parsers.',
  );
}
