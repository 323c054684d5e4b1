import { from, map, type Observable } from 'rxjs';
import { isPromiseLike } from '../core/deferred.js';
import { SluiceError } from '../core/errors.js';
import { permanent } from '../core/failures.js';
import type { Codec } from './decode.js';
import { jsonFault } from './json-fault.js';
import { checkSchema, issuesError, type StandardResult, type StandardSchemaV1 } from './standard-schema.js';

/**
 * A codec for JSON in UTF-8, checked by a Standard Schema (Zod, Valibot, ArkType, …) where one is given. A tombstone is
 * `null` to the schema. What cannot be parsed or does not match is a permanent failure; its message names positions
 * and paths, never content.
 *
 * @example
 * ```ts
 * orders.pipe(decode(json(z.object({ id: z.string(), cents: z.number() }))));
 * ```
 * @public
 */
export function json(): Codec<unknown>;
/** A codec for JSON in UTF-8 that a Standard Schema checks. @public */
export function json<T>(schema: StandardSchemaV1<unknown, T>): Codec<T>;
export function json(schema?: StandardSchemaV1<unknown, unknown>): Codec<unknown> {
  checkSchema('json', schema);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return (bytes) => {
    const value = bytes === null ? null : parse(decoder, bytes);
    return schema === undefined ? value : validate(schema, value);
  };
}

/** What a schema makes of a value. @internal */
export function validate(schema: StandardSchemaV1<unknown, unknown>, value: unknown): unknown {
  const result = schema['~standard'].validate(value);
  return isPromiseLike(result) ? checked(result) : valueOf(result);
}

function checked(result: PromiseLike<StandardResult<unknown>>): Observable<unknown> {
  return from(result).pipe(map(valueOf));
}

function valueOf(result: StandardResult<unknown>): unknown {
  if (result.issues !== undefined) throw issuesError(result.issues);
  return result.value;
}

function parse(decoder: TextDecoder, bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw undecodable(`${bytes.length} bytes that are not UTF-8`);
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw undecodable(`${bytes.length} bytes that are not JSON${placeOf(jsonFault(bytes), bytes.length)}`);
  }
}

function placeOf(fault: number | null, length: number): string {
  if (fault === null || length === 0) return '';
  return fault === length ? ': the end is missing' : ` from byte ${fault} on`;
}

function undecodable(what: string): Error {
  return permanent(new SluiceError('undecodable', `The value is ${what}.`));
}
