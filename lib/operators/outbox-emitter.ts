import type { DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { permanent } from '../core/failures.js';
import type { MessageHeaders } from '../core/message.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import { ownMessage } from '../core/own-message.js';

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
  const refuse = (why: string, cause?: unknown): never => {
    throw permanent(
      new SluiceError('invalid-emit', `withOutbox: emit, for ${delivery.id}: ${why}.`, {
        details: { id: delivery.id },
        ...(cause === undefined ? {} : { cause }),
      }),
    );
  };
  return {
    messages,
    emit: (message) => {
      if (ended) refuse('the handler has ended, so the message would be lost. Await what emits');
      if (messages.length >= maxMessages) refuse(`more than maxEmits = ${maxMessages} messages`);
      const own = ownMessage(message, refuse);
      const trace = traceOf(delivery.headers, own.headers);
      messages.push(trace === null ? own : { ...own, headers: { ...trace, ...own.headers } });
    },
    end: () => {
      ended = true;
    },
  };
}

function traceOf(from: MessageHeaders, own: MessageHeaders = {}): MessageHeaders | null {
  if (from['traceparent'] === undefined || own['traceparent'] !== undefined) return null;
  return Object.fromEntries(TRACE_HEADERS.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
}
