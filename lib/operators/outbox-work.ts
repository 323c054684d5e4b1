import { defer, finalize, from, last, map, mergeMap, of, race, throwError, timer, type Observable } from 'rxjs';
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

/** @internal */
export interface OutboxWorkResult {
  readonly result: unknown;
  readonly messages: readonly OutboxMessage[];
}

/** A handler did not end in time: what it has under way on the connection is unknown. @internal */
export class OutboxTimeout extends Error {
  constructor(readonly failure: SluiceError) {
    super(failure.message);
  }
}

/** Runs the handler in its part of the transaction; errors with what it failed with. @internal */
export function runHandler(
  { handler, timeoutMs, maxEmits }: OutboxWorkOptions,
  { delivery }: OutboxWork,
  part: OutboxPart<unknown>,
): Observable<OutboxWorkResult> {
  return defer(() => {
    const { messages, emit, end } = outboxEmitter(delivery, maxEmits);
    const context: OutboxContext<unknown> = {
      get tx() {
        return part.tx;
      },
      emit,
      delivery: delivery,
    };
    const result: unknown = handler(delivery.value, context);
    const deferred = deferredOf(result);
    const done = deferred === null ? of(result) : from(deferred).pipe(last(undefined, undefined));
    const inTime = timeoutMs === 0 ? done : race(done, tooLate(delivery, timeoutMs));
    return inTime.pipe(
      map((value) => ({ result: value, messages })),
      finalize(end),
    );
  });
}

function tooLate(delivery: DeliveryNode, timeoutMs: number): Observable<never> {
  return timer(timeoutMs).pipe(
    mergeMap(() => {
      const { id } = delivery;
      const failure = new SluiceError(
        'handler-timeout',
        `withOutbox: no result for ${id} after ${timeoutMs} ms. Its transaction is rolled back.`,
        { details: { id, timeoutMs } },
      );
      abortSignal(delivery, failure);
      return throwError(() => new OutboxTimeout(failure));
    }),
  );
}
