import { environment } from '../../core/environment.js';
import { SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import { bytesHere, isBytes } from '../../core/is-bytes.js';
import { jsonPieceOf, textOrBase64 } from '../../core/json-of-bytes.js';
import { kindOf } from '../../core/kind-of.js';
import type { HeaderValue, Message, MessageBytes, MessageHeaders } from '../../core/message.js';
import { wrongHeaders } from '../../core/own-message.js';
import { parseHashKey } from './hash-key.js';

/** A message as it is stored. @internal */
export interface KinesisOutgoing {
  /** The partition key; one that was made up is nobody's order. */
  readonly key: string;
  readonly keyless: boolean;
  /** Decides the shard in the place of the key. */
  readonly hashKey: string | undefined;
  readonly data: Uint8Array;
  /** What counts against the limit of a record. */
  readonly bytes: number;
}

/** @internal */
export interface EncodeOptions {
  readonly partitionKey: ((message: Message) => string | undefined) | undefined;
  readonly hashKey: ((message: Message, partitionKey: string) => string | undefined) | undefined;
  readonly headers: 'drop' | 'json';
  readonly maxRecordBytes: number;
}

const MOST_KEY_CHARACTERS = 256;
// 11 digits: some 2 ** 52 keys, which spread over the shards by their hash.
const MADE_UP_KEYS = 36 ** 10;
const HALF_PAIR = /\p{Surrogate}/u;
const HALF_PAIRS = /\p{Surrogate}/gu;

/** Throws `publish-failed`, or `invalid-key`, for what can be no record. @internal */
export function encodeMessage(message: Message, options: EncodeOptions): KinesisOutgoing {
  if (message.partition !== undefined) {
    throw refused('a shard has no number, so no partition can be given; hashKey chooses one');
  }
  if (message.timestamp !== undefined) throw refused('Kinesis gives each record its time itself, so none can be given');
  const given = keyOf(message, options.partitionKey);
  const key = given ?? madeUpKey();
  const hashKey = hashKeyFor(message, key, options.hashKey);
  const data = bytesHere(options.headers === 'json' ? jsonOf(message) : bytesOf(message.value));
  const bytes = data.length + textBytes(key);
  if (bytes > options.maxRecordBytes) {
    throw refused(`${bytes} bytes are more than maxRecordBytes, ${options.maxRecordBytes}`);
  }
  return { key, keyless: given === null, hashKey, data, bytes };
}

function keyOf(message: Message, partitionKey: EncodeOptions['partitionKey']): string | null {
  const key =
    partitionKey === undefined ? (message.key ?? null) : (ask(() => partitionKey(message), 'partitionKey') ?? null);
  if (key === null) return null;
  const text = isBytes(key) ? textOf(key) : key;
  if (typeof text !== 'string') throw invalidKey(`a key must be text, bytes or null, not ${kindOf(text)}`);
  if (text === '') throw invalidKey('a key must not be empty');
  if (text.length > MOST_KEY_CHARACTERS && [...text].length > MOST_KEY_CHARACTERS) {
    throw invalidKey(`a key has at most ${MOST_KEY_CHARACTERS} characters`);
  }
  // As UTF-8 has it; a service may refuse the whole request for one.
  return HALF_PAIR.test(text) ? text.replaceAll(HALF_PAIRS, '\ufffd') : text;
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw invalidKey('a key must be text, and these bytes are no UTF-8; partitionKey can make text of them');
  }
}

function hashKeyFor(message: Message, key: string, hashKey: EncodeOptions['hashKey']): string | undefined {
  const given = hashKey === undefined ? undefined : ask(() => hashKey(message, key), 'hashKey');
  if (given === undefined) return undefined;
  if (typeof given !== 'string' || !/^(0|[1-9]\d*)$/.test(given) || parseHashKey(given) === null) {
    throw invalidKey('hashKey must give a whole number from 0 to 2 ** 128 - 1, in decimal, as text');
  }
  return given;
}

// A function of the user's fails its own message, never the call.
function ask(give: () => unknown, option: string): unknown {
  try {
    return give();
  } catch (error) {
    throw refused(`${option} threw`, { cause: error });
  }
}

function madeUpKey(): string {
  return Math.floor((1 + environment.random()) * MADE_UP_KEYS).toString(36);
}

function bytesOf(value: MessageBytes): Uint8Array {
  if (typeof value === 'string') return new TextEncoder().encode(value);
  if (isBytes(value)) return value;
  if (value === null)
    throw refused("Kinesis has no tombstones: a value must be bytes or text, or take headers: 'json'");
  throw refused(`a value must be bytes or text, not ${kindOf(value)}`);
}

function jsonOf({ value, headers = {} }: Message): Uint8Array {
  const { json } = jsonPieceOf(value === null ? null : bytesOf(value));
  return new TextEncoder().encode(`{"headers":${JSON.stringify(jsonHeaders(headers))},"value":${json}}`);
}

function jsonHeaders(headers: MessageHeaders): Record<string, unknown> {
  const wrong = wrongHeaders(headers);
  if (wrong !== null) throw refused(wrong);
  const told: [string, unknown][] = [];
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined) continue;
    told.push([name, Array.isArray(value) ? value.map(jsonHeader) : jsonHeader(value as HeaderValue)]);
  }
  return Object.fromEntries(told);
}

function jsonHeader(value: HeaderValue): unknown {
  if (typeof value === 'string') return value;
  if (isBytes(value)) return textOrBase64(value);
  throw refused(`a header must be bytes or text, not ${kindOf(value)}`);
}

// How long a text is in UTF-8.
function textBytes(text: string): number {
  // eslint-disable-next-line no-control-regex
  return /^[\x00-\x7f]*$/.test(text) ? text.length : new TextEncoder().encode(text).length;
}

/** A message that will never be taken. @internal */
export function refused(
  why: string,
  { code = 'publish-failed', cause }: { readonly code?: SluiceErrorCode; readonly cause?: unknown } = {},
): SluiceError {
  return new SluiceError(code, `kinesisPublisher: ${why}.`, cause === undefined ? {} : { cause });
}

function invalidKey(why: string): SluiceError {
  return refused(why, { code: 'invalid-key' });
}
