import { base64Of, jsonPieceOf } from '../core/json-of-bytes.js';
import { partOf, type DeliveryNode } from '../core/delivery-node.js';
import type { Message, MessageBytes, MessageHeaders } from '../core/message.js';
import { sha256 } from '../core/sha256.js';
import { claimedOrigin, sourceHeaders, timestampOf, withoutOurs } from './dead-letter-source.js';
import { toldOf, type LetterError } from './dead-letter-error.js';

/** A message that is given up, with what is known of its failure. @internal */
export interface DeadLetter {
  readonly delivery: DeliveryNode;
  readonly reason: unknown;
  readonly attempts: number;
  /** Milliseconds since 1970. */
  readonly firstFailureAt: number;
  readonly lastFailureAt: number;
  /** How much is left out since it could not be published. */
  trim: Trim;
  /** How often it was refused or failed to be published. */
  refusals: number;
  /** Why it could not be published with more in it. */
  refusedFor?: unknown;
  /** The SHA-256 of the value, once it was asked for. */
  digest?: string;
}

/** How a dead letter is written. @public */
export type DeadLetterFormat = 'headers' | 'json';

/**
 * What a dead letter leaves out that cannot be published, step by step.
 *
 * - 0: nothing.
 * - 1: the partition, which the other topic may not have.
 * - 2: the stack and the causes.
 * - 3: the envelope of `format: 'json'`: the raw value needs no more room than it had at its source.
 * - 4: every header that we add.
 * - 5: the key and the headers of the original. Those that say where it came from are there again.
 * - 6: the value: its size and digest are written instead.
 * @internal
 */
export type Trim = 0 | 1 | 2 | 3 | 4 | 5 | 6;

const NO_PARTITION = 1;
const NO_STACK = 2;
const NO_ENVELOPE = 3;
const NO_ADDED_HEADERS = 4;
const NO_OWN_HEADERS = 5;
const NO_VALUE = 6;

const REFUSED: Readonly<Record<DeadLetterFormat, readonly Trim[]>> = {
  headers: [NO_PARTITION, NO_STACK, NO_ADDED_HEADERS, NO_OWN_HEADERS, NO_VALUE],
  json: [NO_PARTITION, NO_STACK, NO_ENVELOPE, NO_ADDED_HEADERS, NO_OWN_HEADERS, NO_VALUE],
};
// Each step may take as long as a client tries by itself, so these are fewer.
const FAILED: readonly Trim[] = [NO_STACK, NO_ADDED_HEADERS, NO_VALUE];
const MOST_KEY_BYTES = 256;

/** @internal */
export interface TrimOptions {
  readonly format: DeadLetterFormat;
  /** The value may be left out, too. */
  readonly digest: boolean;
}

/**
 * Leaves out more of a letter, since the publisher refused it or since calls with it fail. Answers whether there was something
 * to be left out.
 * @internal
 */
export function trimFurther(letter: DeadLetter, why: 'refused' | 'failed', { format, digest }: TrimOptions): boolean {
  const steps = why === 'refused' ? REFUSED[format] : FAILED;
  const next = steps.find((step) => step > letter.trim) ?? letter.trim;
  const most = digest ? NO_VALUE : NO_OWN_HEADERS;
  const trim = Math.min(next, most) as Trim;
  if (trim === letter.trim) return false;
  letter.trim = trim;
  return true;
}

/** The same letter with size and digest of the value alone. @internal */
export function smallestOf(letter: DeadLetter): DeadLetter {
  digestOf(letter);
  return { ...letter, trim: NO_VALUE };
}

/** @internal */
export function hasNoValue({ trim }: DeadLetter): boolean {
  return trim === NO_VALUE;
}

/**
 * The message that is published for a dead letter: raw key, value and headers, and what happened. What cannot be made of it is left
 * out, so that no letter can fail the call that it shares with others.
 * @internal
 */
export function deadLetterMessage(letter: DeadLetter, options: TrimOptions): Message {
  for (;;) {
    try {
      return messageOf(letter, options.format);
    } catch (error) {
      letter.refusedFor = error;
      if (!trimFurther(letter, 'refused', options)) throw error;
    }
  }
}

function messageOf(letter: DeadLetter, format: DeadLetterFormat): Message {
  const { delivery, trim } = letter;
  const { session, partition } = delivery.epoch;
  const error = toldOf(letter, trim < NO_STACK);
  const value = session.shape.value(delivery.root.ref);
  const isJson = format === 'json' && trim < NO_ENVELOPE;
  const message = {
    key: trim < NO_OWN_HEADERS ? delivery.key : null,
    value: trim === NO_VALUE ? digestJson(letter, error) : isJson ? letterJson(letter, error, value) : value,
    headers: headersOf(letter, error),
  };
  return trim < NO_PARTITION && typeof partition === 'number' ? { ...message, partition } : message;
}

function headersOf(letter: DeadLetter, error: LetterError): MessageHeaders {
  const { delivery, trim } = letter;
  if (trim >= NO_OWN_HEADERS) return leastHeaders(letter, error);
  const own = withoutOurs(delivery.headers);
  if (trim >= NO_ADDED_HEADERS) return own;
  const part = partOf(delivery).slice(1);
  return {
    ...own,
    'dead-letter-error-class': error.name,
    'dead-letter-error-message': error.message,
    ...(error.causes.length > 0 ? { 'dead-letter-error-causes': error.causes.join('\n') } : {}),
    ...(error.stack === '' ? {} : { 'dead-letter-error-stack': error.stack }),
    'dead-letter-attempts': String(letter.attempts),
    'dead-letter-first-failure-at': new Date(letter.firstFailureAt).toISOString(),
    'dead-letter-last-failure-at': new Date(letter.lastFailureAt).toISOString(),
    ...(part === '' ? {} : { 'dead-letter-part': part }),
    ...sourceHeaders(delivery),
    ...claimedOrigin(delivery.headers),
  };
}

/** For a letter without its key and its own headers. */
function leastHeaders(letter: DeadLetter, error: LetterError): MessageHeaders {
  const { delivery, attempts } = letter;
  return {
    'dead-letter-error-class': error.name,
    'dead-letter-attempts': String(attempts),
    ...sourceHeaders(delivery),
    ...keyHeader(delivery.key),
    ...(hasNoValue(letter)
      ? { 'dead-letter-value-bytes': String(valueOf(letter).length), 'dead-letter-value-sha256': digestOf(letter) }
      : {}),
  };
}

function keyHeader(key: MessageBytes): MessageHeaders {
  if (key === null) return {};
  const bytes = typeof key === 'string' ? new TextEncoder().encode(key) : key;
  return bytes.length > MOST_KEY_BYTES ? {} : { 'dead-letter-source-key': base64Of(bytes) };
}

function letterJson(letter: DeadLetter, error: LetterError, value: Uint8Array | null): string {
  const { json, encoding } = jsonPieceOf(value);
  const { name, message, causes, stack } = error;
  const told = { class: name, message, ...(causes.length > 0 && { causes }), ...(stack !== '' && { stack }) };
  return asJson(letter, `"original":${json},"encoding":"${encoding}"`, told);
}

function digestJson(letter: DeadLetter, { name }: LetterError): string {
  const about = `"original":null,"encoding":"digest","bytes":${valueOf(letter).length},"sha256":"${digestOf(letter)}"`;
  return asJson(letter, about, { class: name });
}

/** `original` is text of JSON already: the members of the object that are about the value. */
function asJson(letter: DeadLetter, original: string, told: Readonly<Record<string, unknown>>): string {
  const { delivery, attempts, lastFailureAt } = letter;
  const { topic, partition, session } = delivery.epoch;
  const timestamp = timestampOf(delivery);
  const position = session.shape.positionText(delivery.root.ref);
  const source = { topic, partition, position, ...(timestamp !== null && { timestamp }) };
  const error = JSON.stringify({ ...told, attempts, source });
  return `{${original},"error":${error},"failed_at":"${new Date(lastFailureAt).toISOString()}"}`;
}

function digestOf(letter: DeadLetter): string {
  return (letter.digest ??= sha256(valueOf(letter)));
}

function valueOf({ delivery }: DeadLetter): Uint8Array {
  return delivery.epoch.session.shape.value(delivery.root.ref) ?? new Uint8Array();
}
