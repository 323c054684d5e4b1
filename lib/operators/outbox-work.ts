import { asyncScheduler, type Observable, type Subscription } from 'rxjs';
import { deferredOf, isPromiseLike, whenSettled } from '../core/deferred.js';
import { abortSignal, type DeliveryNode } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import type { Grouped } from '../core/grouped-calls.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { OutboxPart } from '../core/outbox-transaction.js';
import { outboxEmitter, type OutboxEmitter } from './outbox-emitter.js';
import type { OutboxContext } from './outbox-handler.js';

/** One message for a transaction. @internal */
export interface OutboxWork extends Grouped {
  readonly consumer: string;
  readonly key: string;
  /** How often the connection was lost while its handler ran. */
  losses: number;
}

type Work = (value: unknown, context: OutboxContext<unknown>) => unknown;

/** @internal */
export interface OutboxWorkOptions {
  readonly handler: Work;
  /** Before each handler. */
  readonly setUp?: Work | undefined;
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
  options: OutboxWorkOptions,
  { delivery }: OutboxWork,
  part: OutboxPart<unknown>,
  end: OutboxWorkEnd,
): Pick<Subscription, 'unsubscribe'> | null {
  const run = new HandlerRun(options, delivery, part, end, outboxEmitter(delivery, options.maxEmits));
  return run.start() ? run : null;
}

/**
 * All that a handler sees of it is its own, so that `{ ...context }` has it too. Who never asks for `tx` costs no savepoint. The getter
 * is one function for all messages: V8 keeps a hidden class for each object that has a getter of its own, which took 4 of 13 µs a message.
 */
class HandlerContext implements OutboxContext<unknown> {
  static readonly #tx: PropertyDescriptor & ThisType<HandlerContext> = {
    enumerable: true,
    get() {
      return this.#run.tx;
    },
  };

  declare readonly tx: unknown;
  readonly emit: OutboxContext<unknown>['emit'];
  readonly delivery: DeliveryNode;
  readonly #run: HandlerRun;

  constructor(run: HandlerRun) {
    this.#run = run;
    this.emit = run.emit;
    this.delivery = run.delivery;
    Object.defineProperty(this, 'tx', HandlerContext.#tx);
  }
}

// Made once a message: see docs/decisions/0004.
class HandlerRun {
  readonly emit: (message: OutboxMessage) => void;
  private over = false;
  /** `setUp` has not ended, so the handler has not begun. */
  private settingUp: boolean;
  private running: Subscription | null = null;
  private timer: Subscription | null = null;
  private readonly context: OutboxContext<unknown>;

  constructor(
    private readonly options: OutboxWorkOptions,
    readonly delivery: DeliveryNode,
    private readonly part: OutboxPart<unknown>,
    private readonly end: OutboxWorkEnd,
    private readonly emitter: OutboxEmitter,
  ) {
    this.emit = emitter.emit;
    this.context = new HandlerContext(this);
    this.settingUp = options.setUp !== undefined;
  }

  get tx(): unknown {
    if (this.over) throw askedTooLate(this.delivery);
    return this.part.tx;
  }

  /** False where it has ended at once. */
  start(): boolean {
    const { setUp, handler } = this.options;
    this.run(setUp ?? handler);
    return !this.over;
  }

  unsubscribe(): void {
    this.stop();
  }

  private run(work: Work): void {
    let result: unknown;
    let deferred: ReturnType<typeof deferredOf>;
    try {
      result = work(this.delivery.value, this.context);
      deferred = deferredOf(result);
    } catch (error) {
      this.fail(error);
      return;
    }
    if (deferred === null) {
      this.ended(result);
      return;
    }
    const { timeoutMs } = this.options;
    if (timeoutMs > 0) {
      this.timer ??= asyncScheduler.schedule(() => this.fail(tooLate(this.delivery, timeoutMs)), timeoutMs);
    }
    this.wait(deferred);
  }

  private wait(deferred: PromiseLike<unknown> | Observable<unknown>): void {
    // Most often a Promise, which needs no subscription.
    if (isPromiseLike(deferred)) {
      whenSettled(
        deferred,
        (value) => this.ended(value),
        (error) => this.fail(error),
      );
      return;
    }
    let value: unknown;
    const running = deferred.subscribe({
      next: (next) => (value = next),
      error: (error: unknown) => this.fail(error),
      complete: () => this.ended(value),
    });
    if (this.over) running.unsubscribe();
    // A `setUp` that completed at once has started the handler, whose subscription is kept then.
    else if (!running.closed) this.running = running;
  }

  private ended(value: unknown): void {
    if (this.over) return;
    if (!this.settingUp) {
      this.done(value);
      return;
    }
    this.settingUp = false;
    this.run(this.options.handler);
  }

  private done(value: unknown): void {
    if (this.stop()) this.end.done(value, this.emitter.messages);
  }

  private fail(error: unknown): void {
    if (this.stop()) this.end.failed(error);
  }

  /** True the first time. */
  private stop(): boolean {
    if (this.over) return false;
    this.over = true;
    this.emitter.end();
    this.running?.unsubscribe();
    this.timer?.unsubscribe();
    return true;
  }
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

/** By then the transaction may be another message's, or nobody's. */
function askedTooLate({ id }: DeliveryNode): SluiceError {
  return new SluiceError(
    'transaction-ended',
    `withOutbox: the handler for ${id} has ended, and something that it left behind asks for tx. Await all that a handler begins.`,
    { details: { id } },
  );
}
