import { cutText } from '../core/cut-text.js';
import { partOf, type DeliveryNode } from '../core/delivery-node.js';
import { jsonOfBytes } from '../core/json-of-bytes.js';
import type { Message, MessageHeaders } from '../core/message.js';
import { messageInfo } from '../core/telemetry.js';

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
const PART = 'dead-letter-part';
const MAX_STACK_BYTES = 4_096;
const MAX_TEXT_BYTES = 1_024;

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
  const { name, message, stack } = describe(letter.reason);
  const added: Record<string, string> = {
    'dead-letter-error-class': name,
    'dead-letter-error-message': message,
    'dead-letter-attempts': String(letter.attempts),
    'dead-letter-first-failure-at': new Date(letter.firstFailureAt).toISOString(),
    'dead-letter-last-failure-at': new Date(letter.lastFailureAt).toISOString(),
  };
  if (trim < 2 && stack !== '') added[STACK] = stack;
  const part = partOf(delivery).slice(1);
  if (part !== '') added[PART] = part;
  // Where it first came from stays, also when a redriven message fails again.
  if (own['dead-letter-source-topic'] === undefined) {
    added['dead-letter-source-topic'] = epoch.topic;
    added['dead-letter-source-partition'] = String(epoch.partition);
    added['dead-letter-source-position'] = epoch.session.shape.positionText(delivery.root.ref);
    if (epoch.session.group !== null) added['dead-letter-group'] = epoch.session.group;
  }
  return added;
}

function asJson(letter: DeadLetter, value: Uint8Array | null): string {
  const { name, message, stack } = describe(letter.reason);
  const { topic, partition } = messageInfo(letter.delivery);
  const position = letter.delivery.epoch.session.shape.positionText(letter.delivery.root.ref);
  return JSON.stringify({
    original: jsonOfBytes(value),
    error: {
      class: name,
      message,
      ...(letter.trim < 2 && stack !== '' ? { stack } : {}),
      attempts: letter.attempts,
      source: { topic, partition, position },
    },
    failed_at: new Date(letter.lastFailureAt).toISOString(),
  });
}

// A redriven message must not keep what another error may not replace.
function withoutLast({ [STACK]: _stack, [PART]: _part, ...headers }: MessageHeaders): MessageHeaders {
  return headers;
}

interface Description {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}

// Whatever was thrown must not keep a dead letter back: getters may throw, a stack may be no text.
function describe(reason: unknown): Description {
  if (!(reason instanceof Error)) {
    return { name: reason === undefined ? 'none' : typeof reason, message: textOf(reason), stack: '' };
  }
  const constructor = read(reason, 'constructor') as { name?: unknown } | undefined;
  const name = [constructor?.name, read(reason, 'name')].find((each) => typeof each === 'string' && each !== '');
  const stack = read(reason, 'stack');
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: textOf(read(reason, 'message')),
    stack: typeof stack === 'string' ? cutText(stack, MAX_STACK_BYTES) : '',
  };
}

function read(error: Error, property: 'constructor' | keyof Error): unknown {
  try {
    return error[property];
  } catch {
    return undefined;
  }
}

function textOf(reason: unknown): string {
  if (reason === undefined) return 'nacked without a reason';
  if (typeof reason === 'string') return cutText(reason, MAX_TEXT_BYTES);
  const plain = reason === null || typeof reason === 'number' || typeof reason === 'boolean';
  return plain ? String(reason) : `a ${typeof reason}`;
}
