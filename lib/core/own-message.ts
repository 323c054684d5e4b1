import { cutText } from './cut-text.js';
import { isSluiceError, nameOf } from './errors.js';
import { isBytes } from './is-bytes.js';
import { kindOf } from './kind-of.js';
import type { HeaderValue, MessageBytes, MessageHeaders } from './message.js';
import type { OutboxMessage } from './outbox-message.js';
import { safeWord } from './safe-word.js';

/** Says why something is no message, in words that finish "…: ", by throwing an error of ours. @internal */
export type Refuse = (why: string, cause?: unknown) => never;

// A number of a partition is 32 bits wide, in Kafka and in a table.
const MAX_PARTITION = 2 ** 31 - 1;
const MAX_SHOWN_BYTES = 64;
const HALF_PAIR = /\p{Surrogate}/u;

/**
 * A message for an outbox, as it is at this moment: bytes are copied, since it is stored later and whoever gives it may use its
 * buffers again. Each store takes what passes here, so what is refused is refused by all of them, and at once: a message that only
 * the database refuses would undo a whole group at its commit.
 * @internal
 */
export function ownMessage(given: unknown, refuse: Refuse): OutboxMessage {
  try {
    return checkedMessage(given, refuse);
  } catch (error) {
    if (isSluiceError(error)) throw error;
    // A getter of it throws, or it is a Proxy.
    return refuse(`the message cannot be read: ${nameOf(error)}`, error);
  }
}

function checkedMessage(given: unknown, refuse: Refuse): OutboxMessage {
  if (typeof given !== 'object' || given === null) return refuse('a message is an object with topic and value');
  const { topic, value, key, headers, partition, timestamp } = given as Readonly<Record<string, unknown>>;
  if (typeof topic !== 'string' || topic === '') return refuse('topic must be text that is not empty');
  if (!isStorableText(topic)) return refuse('topic must be text without NUL and without half of a surrogate pair');
  if (!isMessageBytes(value)) return refuse('value must be a Uint8Array, text, or null for a tombstone');
  if (key !== undefined && !isMessageBytes(key)) return refuse('key must be a Uint8Array, text, or null');
  const own: { -readonly [K in keyof OutboxMessage]: OutboxMessage[K] } = { topic, value: ownBytes(value) };
  if (key !== undefined) own.key = ownBytes(key);
  if (headers !== undefined) own.headers = checkedHeaders(headers, refuse);
  if (partition !== undefined) {
    if (!isCount(partition, MAX_PARTITION))
      return refuse(`partition must be a whole number from 0 to ${MAX_PARTITION}`);
    own.partition = partition;
  }
  if (timestamp !== undefined) {
    if (!isCount(timestamp, Number.MAX_SAFE_INTEGER)) return refuse('timestamp must be whole milliseconds since 1970');
    own.timestamp = timestamp;
  }
  return own;
}

/** Bytes that nobody else has; text is such already. @internal */
export function ownBytes<B extends MessageBytes>(bytes: B): B {
  return isBytes(bytes) ? (new Uint8Array(bytes) as Uint8Array as B) : bytes;
}

/** Headers that nobody else has. @internal */
export function ownHeaders(headers: MessageHeaders): MessageHeaders {
  const own: [string, HeaderValue | HeaderValue[]][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    own.push([
      name,
      Array.isArray(value) ? (value as readonly HeaderValue[]).map(ownBytes) : ownBytes(value as HeaderValue),
    ]);
  }
  // Also one that is called `__proto__`.
  return Object.fromEntries(own);
}

/** Why these can be no headers of a message, in words that finish "…: "; `null`: they can. Their values are not looked at. @internal */
export function wrongHeaders(headers: unknown): string | null {
  // A Map, Headers of fetch or a list would be published as nothing, or as something else.
  const kind = Object.prototype.toString.call(headers).slice(8, -1);
  if (kind === 'Object') return null;
  return `headers must be an object, with bytes or text by name, not ${safeWord(kind) ?? 'something else'}`;
}

/** Whether the columns of a database, and the names of most brokers, can hold the text. @internal */
export function isStorableText(text: string): boolean {
  return !text.includes('\0') && !HALF_PAIR.test(text);
}

function checkedHeaders(headers: unknown, refuse: Refuse): MessageHeaders {
  const wrong = wrongHeaders(headers);
  if (wrong !== null) return refuse(wrong);
  // A copy first, so that what is checked is what is stored.
  const own = ownHeaders(headers as MessageHeaders);
  for (const [name, value] of Object.entries(own)) {
    for (const each of (Array.isArray(value) ? value : [value]) as readonly unknown[]) {
      if (typeof each === 'string' || isBytes(each)) continue;
      const shown = cutText(name, MAX_SHOWN_BYTES);
      return refuse(`header ${shown} must be bytes or text, or a list of them, not ${kindOf(each)}`);
    }
  }
  return own;
}

function isMessageBytes(value: unknown): value is MessageBytes {
  return value === null || typeof value === 'string' || isBytes(value);
}

function isCount(value: unknown, most: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= most;
}
