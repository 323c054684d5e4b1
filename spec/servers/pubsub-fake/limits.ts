import type { PubsubMessage } from './entry.js';
import { refusal } from './status.js';

// The service's documented limits.
const REQUEST_BYTES = 10_000_000;
const REQUEST_MESSAGES = 1_000;
const ATTRIBUTES = 100;
const ATTRIBUTE_KEY_BYTES = 256;
const ATTRIBUTE_VALUE_BYTES = 1_024;
const ORDERING_KEY_BYTES = 1_024;
const ACK_REQUEST_BYTES = 524_288;
const RESOURCE_ID = /^[A-Za-z][\w.~+%-]{2,254}$/;

/** Throws what the service refuses of a publish. */
export function checkMessages(messages: readonly PubsubMessage[]): void {
  if (messages.length === 0) throw invalid('The request contains no messages.');
  if (messages.length > REQUEST_MESSAGES) throw invalid(`A request has at most ${REQUEST_MESSAGES} messages.`);
  const key = messages[0]?.orderingKey ?? '';
  let bytes = 0;
  for (const message of messages) {
    if ((message.orderingKey ?? '') !== key)
      throw invalid('All messages of a request must have the same ordering key.');
    bytes += checkMessage(message);
  }
  if (bytes > REQUEST_BYTES) throw tooLarge(REQUEST_BYTES);
}

/** Throws where a message breaks a limit, and answers with its size. */
function checkMessage({ data, attributes, orderingKey }: PubsubMessage): number {
  const entries = Object.entries(attributes ?? {});
  if ((data?.length ?? 0) === 0 && entries.length === 0) {
    throw invalid('One or more messages in the publish request is empty: each has data or an attribute.');
  }
  if (entries.length > ATTRIBUTES) throw invalid(`A message has at most ${ATTRIBUTES} attributes.`);
  let bytes = data?.length ?? 0;
  for (const [key, value] of entries) {
    if (key === '') throw invalid('An attribute key must not be empty.');
    if (Buffer.byteLength(key) > ATTRIBUTE_KEY_BYTES) throw invalid('An attribute key is too long.');
    if (Buffer.byteLength(value) > ATTRIBUTE_VALUE_BYTES) throw invalid('An attribute value is too long.');
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  const keyBytes = Buffer.byteLength(orderingKey ?? '');
  if (keyBytes > ORDERING_KEY_BYTES) throw invalid('The ordering key is too long.');
  return bytes + keyBytes;
}

/** Throws where a request of acks or deadlines is too large. */
export function checkAckIds(ackIds: readonly string[]): void {
  if (ackIds.length === 0) throw invalid('No ack ids specified.');
  let bytes = 0;
  // Each has a tag and a length before it.
  for (const { length } of ackIds) bytes += length + (length < 128 ? 2 : 3);
  if (bytes > ACK_REQUEST_BYTES) throw tooLarge(ACK_REQUEST_BYTES);
}

/** Throws where a name is not `projects/…/topics/…` or `…/subscriptions/…`, as the service has them. */
export function checkName(name: string, kind: 'topics' | 'subscriptions'): void {
  const [projects, project, kindOf, id = '', ...rest] = name.split('/');
  const isName = projects === 'projects' && project !== '' && kindOf === kind && rest.length === 0;
  if (!isName || !RESOURCE_ID.test(id) || id.startsWith('goog'))
    throw invalid(`Invalid resource name given (name=${name}).`);
}

function invalid(details: string): Error {
  return refusal('INVALID_ARGUMENT', details);
}

function tooLarge(limit: number): Error {
  return invalid(`Request payload size exceeds the limit: ${limit} bytes.`);
}
