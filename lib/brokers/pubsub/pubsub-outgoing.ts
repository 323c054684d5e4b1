import { SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import { bytesHere, isBytes } from '../../core/is-bytes.js';
import { kindOf } from '../../core/kind-of.js';
import type { HeaderValue, Message, MessageBytes, MessageHeaders } from '../../core/message.js';
import { wrongHeaders } from '../../core/own-message.js';
import { MOST_REQUEST_BYTES } from './pubsub-most-bytes.js';
import type { PubSubMessageLike } from './pubsub-publisher-client.js';

/** A message as it is sent. @internal */
export interface PubSubOutgoing {
  /** The ordering key; `null`: its order is nobody's. */
  readonly key: string | null;
  readonly message: PubSubMessageLike;
  /** What it takes of a request, never less than it will. */
  readonly bytes: number;
}

/** @internal */
export interface EncodeOptions {
  readonly orderingKey: ((message: Message) => string | undefined) | undefined;
  readonly attributes: ((message: Message) => MessageHeaders) | undefined;
}

// The name of a topic in a request; names of a project and of a topic are far shorter.
const MOST_NAME_BYTES = 1_024;
const MOST_MESSAGE_BYTES = MOST_REQUEST_BYTES - MOST_NAME_BYTES;
// https://cloud.google.com/pubsub/quotas, "Resource limits".
const MOST_KEY_BYTES = 1_024;
const MOST_ATTRIBUTES = 100;
const MOST_NAME = 256;
const MOST_VALUE = 1_024;
// Tags and lengths of protobuf, at their largest.
const MESSAGE_OVERHEAD_BYTES = 16;
const ATTRIBUTE_OVERHEAD_BYTES = 9;

// What is no text in UTF-8, which strings of protobuf are; the client would send it all the same.
const HALF_PAIR = /\p{Surrogate}/u;

const TRACE = ['traceparent', 'tracestate'];
// What the client libraries add stands below this, and is the only part of `goog` that others may write.
const CLIENT_PREFIX = 'googclient_';
// The service says by it how it checked the message against the schema of its topic, at each delivery.
const SCHEMA_PREFIX = 'googclient_schema';

/** Throws `publish-failed`, or `invalid-key`, for what Pub/Sub will never take. @internal */
export function encodeMessage(message: Message, { orderingKey, attributes: own }: EncodeOptions): PubSubOutgoing {
  if (message.partition !== undefined) throw refused('Pub/Sub has no partitions, so none can be given');
  if (message.timestamp !== undefined)
    throw refused('Pub/Sub gives each message its time itself, so none can be given');
  const key = keyOf(message, orderingKey);
  const data = bytesHere(bytesOf(message.value));
  const attributes = attributesOf(own === undefined ? (message.headers ?? {}) : askAttributes(() => own(message)));
  const names = Object.keys(attributes);
  if (data.length === 0 && names.length === 0) {
    throw refused('a message needs a value that is not empty, or a header: a tombstone alone cannot be stored');
  }
  if (names.length > MOST_ATTRIBUTES) throw refused(`${names.length} headers are more than ${MOST_ATTRIBUTES}`);
  let bytes = MESSAGE_OVERHEAD_BYTES + data.length + (key === null ? 0 : textBytes(key));
  for (const name of names) bytes += attributeBytes(name, attributes[name] as string);
  if (bytes > MOST_MESSAGE_BYTES) throw refused(`${bytes} bytes are more than the ${MOST_MESSAGE_BYTES} of a request`);
  return {
    key,
    message: {
      ...(data.length === 0 ? {} : { data }),
      ...(names.length === 0 ? {} : { attributes }),
      ...(key === null ? {} : { orderingKey: key }),
    },
    bytes,
  };
}

function keyOf(message: Message, orderingKey: EncodeOptions['orderingKey']): string | null {
  const key =
    orderingKey === undefined ? (message.key ?? null) : (ask('orderingKey', () => orderingKey(message)) ?? null);
  if (key === null) return null;
  const text = isBytes(key) ? keyText(key) : key;
  if (typeof text !== 'string') throw invalidKey(`a key must be text, bytes or null, not ${kindOf(text)}`);
  if (HALF_PAIR.test(text)) throw invalidKey('a key must be text, and half of a surrogate pair is none');
  if (text === '') throw invalidKey('a key must not be empty: null is no key');
  const bytes = textBytes(text);
  if (bytes > MOST_KEY_BYTES) throw invalidKey(`the ${bytes} bytes of a key are more than ${MOST_KEY_BYTES}`);
  return text;
}

function keyText(bytes: Uint8Array): string {
  const text = textOf(bytes);
  if (text === null)
    throw invalidKey('a key must be text, and these bytes are no UTF-8; orderingKey can make text of them');
  return text;
}

// A function of the user's fails its own message, never the call.
function ask(name: 'orderingKey' | 'attributes', give: () => unknown): unknown {
  try {
    return give();
  } catch (error) {
    throw refused(`${name} threw`, { cause: error });
  }
}

function askAttributes(give: () => unknown): MessageHeaders {
  const given = ask('attributes', give);
  if (typeof given !== 'object' || given === null) throw refused('attributes must give an object, with texts by name');
  return given as MessageHeaders;
}

function attributesOf(headers: MessageHeaders): Record<string, string> {
  const wrong = wrongHeaders(headers);
  if (wrong !== null) throw refused(wrong);
  const attributes = new Map<string, string>();
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined || name.startsWith(SCHEMA_PREFIX)) continue;
    if (name === '') throw refused('a header must have a name');
    if (HALF_PAIR.test(name)) throw refused('the name of a header must be text, and half of a surrogate pair is none');
    if (name.startsWith('goog') && !name.startsWith(CLIENT_PREFIX)) {
      throw refused(`header ${name}: names that begin with goog are reserved for the service`);
    }
    attributes.set(name, headerText(name, value));
  }
  // By these the client of a consumer continues the trace.
  for (const name of TRACE) {
    const value = attributes.get(name);
    if (value !== undefined) attributes.set(`${CLIENT_PREFIX}${name}`, value);
  }
  return Object.fromEntries(attributes);
}

function headerText(name: string, given: HeaderValue | readonly HeaderValue[]): string {
  const values: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (values.length !== 1) throw refused(`header ${name}: attributes are not repeated, and there are ${values.length}`);
  const [value] = values;
  const text = isBytes(value) ? textOf(value) : value;
  if (text === null) throw refused(`header ${name}: attributes are text, and these bytes are no UTF-8`);
  if (typeof text === 'string' && HALF_PAIR.test(text))
    throw refused(`header ${name}: attributes are text, and half of a surrogate pair is none`);
  if (typeof text !== 'string') throw refused(`header ${name} must be bytes or text, not ${kindOf(text)}`);
  return text;
}

function attributeBytes(name: string, value: string): number {
  const [ofName, ofValue] = [textBytes(name), textBytes(value)];
  if (ofName > MOST_NAME) throw refused(`the ${ofName} bytes of a header's name are more than ${MOST_NAME}`);
  if (ofValue > MOST_VALUE) throw refused(`header ${name}: its ${ofValue} bytes are more than ${MOST_VALUE}`);
  return ATTRIBUTE_OVERHEAD_BYTES + ofName + ofValue;
}

function bytesOf(value: MessageBytes): Uint8Array {
  if (value === null) return new Uint8Array(0);
  if (typeof value === 'string') return new TextEncoder().encode(value);
  if (isBytes(value)) return value;
  throw refused(`a value must be bytes, text or null, not ${kindOf(value)}`);
}

function textOf(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
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
  return new SluiceError(code, `pubsubPublisher: ${why}.`, cause === undefined ? {} : { cause });
}

function invalidKey(why: string): SluiceError {
  return refused(why, { code: 'invalid-key' });
}
