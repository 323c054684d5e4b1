import { cutText } from '../core/cut-text.js';
import { partOf, type DeliveryNode } from '../core/delivery-node.js';
import { jsonOfBytes } from '../core/json-of-bytes.js';
import type { Message, MessageHeaders } from '../core/message.js';
import { messageInfo } from '../core/telemetry.js';
import { MOST_TOLD, tellError } from '../core/told-error.js';

/** A message that is given up, with what is known of its failure. @internal */
export interface DeadLetter {
  readonly delivery: DeliveryNode;
  readonly reason: unknown;
  readonly attempts: number;
  /** Milliseconds since 1970. */
  readonly firstFailureAt: number;
  readonly lastFailureAt: number;
  /** How much is left out since the publisher refused it. */
  trim: Trim;
  /** How often it was refused or failed to be published. */
  refusals: number;
}

/**
 * What a refused dead letter leaves out, step by step: nothing; the partition, which the other topic may not have; the
 * stack; every added header.
 * @internal
 */
export type Trim = 0 | 1 | 2 | 3;

/** @internal */
export const MOST_TRIM: Trim = 3;

/** How a dead letter is written. @public */
export type DeadLetterFormat = 'headers' | 'json';

const STACK = 'dead-letter-error-stack';
const CAUSES = 'dead-letter-error-causes';
const PART = 'dead-letter-part';
// The latest time that a Date can hold.
const LAST_DATE_MS = 8_640_000_000_000_000;

/** The message that is published for a dead letter: raw key, value and headers, and what happened. @internal */
export function deadLetterMessage(letter: DeadLetter, format: DeadLetterFormat): Message {
  const { delivery, trim } = letter;
  const { session, partition } = delivery.epoch;
  const { key, headers, root } = delivery;
  const value = session.shape.value(root.ref);
  const message = {
    key,
    value: format === 'json' ? asJson(letter, value) : value,
    headers: trim === MOST_TRIM ? withoutLast(headers) : { ...withoutLast(headers), ...addedHeaders(letter, headers) },
  };
  return trim === 0 && typeof partition === 'number' ? { ...message, partition } : message;
}

function addedHeaders(letter: DeadLetter, own: MessageHeaders): MessageHeaders {
  const { delivery, trim } = letter;
  const { epoch } = delivery;
  const { name, message, causes, stack } = tellError(letter.reason);
  const added: Record<string, string> = {
    'dead-letter-error-class': name,
    'dead-letter-error-message': message,
    'dead-letter-attempts': String(letter.attempts),
    'dead-letter-first-failure-at': new Date(letter.firstFailureAt).toISOString(),
    'dead-letter-last-failure-at': new Date(letter.lastFailureAt).toISOString(),
  };
  if (causes.length > 0) added[CAUSES] = cutText(causes.join('\n'), MOST_TOLD.messageBytes);
  if (trim < 2 && stack !== '') added[STACK] = stack;
  const part = partOf(delivery).slice(1);
  if (part !== '') added[PART] = part;
  // Where it first came from stays, also when a redriven message fails again.
  if (own['dead-letter-source-topic'] === undefined) {
    added['dead-letter-source-topic'] = epoch.topic;
    added['dead-letter-source-partition'] = String(epoch.partition);
    added['dead-letter-source-position'] = epoch.session.shape.positionText(delivery.root.ref);
    const timestamp = timestampOf(delivery);
    if (timestamp !== null) added['dead-letter-source-timestamp'] = timestamp;
    if (epoch.session.group !== null) added['dead-letter-group'] = epoch.session.group;
  }
  return added;
}

function asJson(letter: DeadLetter, value: Uint8Array | null): string {
  const { name, message, causes, stack } = tellError(letter.reason);
  const timestamp = timestampOf(letter.delivery);
  const { topic, partition } = messageInfo(letter.delivery);
  const position = letter.delivery.epoch.session.shape.positionText(letter.delivery.root.ref);
  return JSON.stringify({
    original: jsonOfBytes(value),
    error: {
      class: name,
      message,
      ...(causes.length > 0 ? { causes } : {}),
      ...(letter.trim < 2 && stack !== '' ? { stack } : {}),
      attempts: letter.attempts,
      source: { topic, partition, position, ...(timestamp === null ? {} : { timestamp }) },
    },
    failed_at: new Date(letter.lastFailureAt).toISOString(),
  });
}

// A redriven message must not keep what another error may not replace.
function withoutLast({
  [STACK]: _stack,
  [CAUSES]: _causes,
  [PART]: _part,
  ...headers
}: MessageHeaders): MessageHeaders {
  return headers;
}

/** ISO 8601, where it is a time at all; Kafka says -1 where a record has none. */
function timestampOf({ epoch, root }: DeliveryNode): string | null {
  const timestamp = epoch.session.shape.timestamp(root.ref);
  return timestamp >= 0 && timestamp <= LAST_DATE_MS ? new Date(timestamp).toISOString() : null;
}
