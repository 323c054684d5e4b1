import { SluiceError } from '../core/errors.js';
import { permanent } from '../core/failures.js';
import type { Codec } from './decode.js';
import { validate } from './json.js';
import { checkSchema, type StandardSchemaV1 } from './standard-schema.js';

/**
 * A codec for text in UTF-8, checked by a Standard Schema where one is given; a tombstone is `null`, to the schema too. Other
 * bytes, and text that does not match, are a permanent failure.
 *
 * @example
 * ```ts
 * ids.pipe(decode(text(z.uuid())));
 * ```
 * @public
 */
export function text(): Codec<string | null>;
/** A codec for text in UTF-8 that a Standard Schema checks. @public */
export function text<T>(schema: StandardSchemaV1<unknown, T>): Codec<T>;
export function text(schema?: StandardSchemaV1<unknown, unknown>): Codec<unknown> {
  checkSchema('text', schema);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return (bytes) => {
    const value = bytes === null ? null : textOf(decoder, bytes);
    return schema === undefined ? value : validate(schema, value);
  };
}

function textOf(decoder: TextDecoder, bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw permanent(new SluiceError('undecodable', `The value is ${bytes.length} bytes that are not UTF-8.`));
  }
}
