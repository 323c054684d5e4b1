import { asyncScheduler, from, Subscription } from 'rxjs';
import { deferredOf } from '../core/deferred.js';
import { abortSignal, type DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import type { Grouped } from '../core/grouped-calls.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { OutboxPart } from '../core/outbox-transaction.js';
import { outboxEmitter } from './outbox-emitter.js';
import type { OutboxContext } from './outbox-handler.js';

/** One message for a transaction. @internal */
export interface OutboxWork extends Grouped {
  readonly consumer: string;
  readonly key: string;
  /** How often the connection was lost while its handler ran. */
  losses: number;
}

/** @internal */
export interface OutboxWorkOptions {
  readonly handler: (value: unknown, context: OutboxContext<unknown>) => unknown;
  /** 0: never. */
  readonly timeoutMs: number;
  readonly maxEmits: number;
}

/** A handler did not end in time: what it has under way on the connection is unknown. @internal */
export class OutboxTimeout extends Error {
  constructor(readonly failure: SluiceError) {
    super(failure.message);
  }
}

/** @internal */
export interface OutboxWorkEnd {
  done(result: unknown, emitted: readonly OutboxMessage[]): void;
  failed(error: unknown): void;
}

/** Runs the handler in its part of the transaction, and calls one of `end` once; unsubscribed, it calls none. @internal */
export function runHandler(
  { handler, timeoutMs, maxEmits }: OutboxWorkOptions,
  { delivery }: OutboxWork,
  part: OutboxPart<unknown>,
  end: OutboxWorkEnd,
): Subscription | null {
  const emitter = outboxEmitter(delivery, maxEmits);
  const context: OutboxContext<unknown> = {
    get tx() {
      return part.tx;
    },
    emit: emitter.emit,
    delivery,
  };
  let result: unknown;
  let deferred: ReturnType<typeof deferredOf>;
  try {
    result = handler(delivery.value, context);
    deferred = deferredOf(result);
  } catch (error) {
    emitter.end();
    end.failed(error);
    return null;
  }
  if (deferred === null) {
    emitter.end();
    end.done(result, emitter.messages);
    return null;
  }
  const running = new Subscription();
  const over = (): void => {
    emitter.end();
    running.unsubscribe();
  };
  let value: unknown;
  running.add(
    from(deferred).subscribe({
      next: (next) => (value = next),
      error: (error: unknown) => {
        over();
        end.failed(error);
      },
      complete: () => {
        over();
        end.done(value, emitter.messages);
      },
    }),
  );
  if (timeoutMs > 0 && !running.closed) {
    running.add(
      asyncScheduler.schedule(() => {
        over();
        end.failed(tooLate(delivery, timeoutMs));
      }, timeoutMs),
    );
  }
  running.add(emitter.end);
  return running;
}

function tooLate(delivery: DeliveryNode, timeoutMs: number): OutboxTimeout {
  const { id } = delivery;
  const failure = new SluiceError(
    'handler-timeout',
    `withOutbox: no result for ${id} after ${timeoutMs} ms. Its transaction is rolled back.`,
    { details: { id, timeoutMs } },
  );
  abortSignal(delivery, failure);
  return new OutboxTimeout(failure);
}
