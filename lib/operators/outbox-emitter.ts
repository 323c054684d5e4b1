import type { DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { permanent } from '../core/failures.js';
import type { MessageHeaders } from '../core/message.js';
import type { OutboxMessage } from '../core/outbox-message.js';

/** Gathers what a handler emits. @internal */
export interface OutboxEmitter {
  readonly messages: readonly OutboxMessage[];
  emit(message: OutboxMessage): void;
  /** What is emitted from now on would be lost: it throws. */
  end(): void;
}

const TRACE_HEADERS = ['traceparent', 'tracestate'] as const;

/** @internal */
export function outboxEmitter(delivery: DeliveryNode, maxMessages: number): OutboxEmitter {
  const messages: OutboxMessage[] = [];
  let ended = false;
  const refuse = (why: string): never => {
    throw permanent(
      new SluiceError('invalid-emit', `withOutbox: emit, for ${delivery.id}: ${why}.`, {
        details: { id: delivery.id },
      }),
    );
  };
  return {
    messages,
    emit: (message) => {
      if (ended) refuse('the handler has ended, so the message would be lost. Await what emits');
      if (messages.length >= maxMessages) refuse(`more than maxEmits = ${maxMessages} messages`);
      const wrong = whatIsWrongWith(message);
      if (wrong !== null) refuse(wrong);
      const trace = traceOf(delivery.headers, message.headers);
      // A copy: the handler may use its object again.
      messages.push({ ...message, ...(trace !== null && { headers: { ...trace, ...message.headers } }) });
    },
    end: () => {
      ended = true;
    },
  };
}

function whatIsWrongWith(message: unknown): string | null {
  if (typeof message !== 'object' || message === null) return 'a message is an object with topic and value';
  const { topic, value, key, partition, timestamp } = message as Readonly<Record<string, unknown>>;
  if (typeof topic !== 'string' || topic === '') return 'topic must be text that is not empty';
  if (!isBytes(value)) return 'value must be a Uint8Array, text, or null for a tombstone';
  if (key !== undefined && !isBytes(key)) return 'key must be a Uint8Array, text, or null';
  if (partition !== undefined && !isCount(partition)) return 'partition must be a whole number from 0';
  if (timestamp !== undefined && !isCount(timestamp)) return 'timestamp must be whole milliseconds since 1970';
  return null;
}

function isBytes(value: unknown): boolean {
  return value === null || typeof value === 'string' || value instanceof Uint8Array;
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function traceOf(from: MessageHeaders, own: MessageHeaders = {}): MessageHeaders | null {
  if (from['traceparent'] === undefined || own['traceparent'] !== undefined) return null;
  return Object.fromEntries(TRACE_HEADERS.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
}
