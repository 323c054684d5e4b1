import { asyncScheduler, type Observable, type OperatorFunction, type Subscriber, type Subscription } from 'rxjs';
import { deferredOf, ignore, isPromiseLike, whenSettled, type Deferred } from '../core/deferred.js';
import type { Delivery } from '../core/delivery.js';
import { abortSignal, isSettled, type DeliveryNode } from '../core/delivery-node.js';
import { environment } from '../core/environment.js';
import { SluiceError } from '../core/errors.js';
import { operate, type OperatorParts } from '../core/operate.js';
import { checkNames, checkOptions, LONGEST_TIMER_MS } from '../core/options.js';
import type { Partition } from '../core/partition.js';
import type { Position } from '../core/position.js';
import { cork, defer, uncork } from '../core/pump.js';
import type { Result, Returned } from '../core/returned.js';
import { RingQueue } from '../core/ring-queue.js';
import type { PumpTask } from '../core/session.js';
import { messageInfo, notify } from '../core/telemetry.js';
import type { Taken } from '../core/type-hints.js';

/** What bounds the work of `handle`. @public */
export interface HandleOptions {
  /** How many handlers may run at once: a whole number, at least 1. Never more than `maxInFlight` do. Default: 1. */
  readonly concurrency?: number;
  /** After how many milliseconds an attempt is aborted and nacked, above 0. Default: never. */
  readonly timeoutMs?: number;
}

/** A handler's result: the value itself, or a Promise, Observable or AsyncIterable whose last value it is. @public */
export type HandlerResult<R> = R | Deferred<R>;

interface Work {
  readonly delivery: DeliveryNode;
  readonly deadline: number;
  over: boolean;
  /** A Promise cannot be cancelled: a timed-out one runs on without a slot. */
  zombie: boolean;
  subscription: Subscription | null;
  /** Its neighbours by time of start. */
  before: Work | null;
  after: Work | null;
}

/**
 * Runs a function for each delivery, at most `concurrency` at once, started strictly in order of arrival.
 *
 * ```text
 * in       --a--b--c-----|
 * settled  --------B-----      fn(b) fails: nacked with the error
 * out      -----a'----c'-|     the same deliveries, with the results
 * ```
 *
 * Success emits the delivery with the result (`undefined` where there is none); nothing is emitted where the function
 * settled the delivery itself. A throw, a rejection or an error nacks. A time-out aborts `delivery.signal`, frees the slot and
 * nacks with `handler-timeout`; what the function still does then changes nothing.
 *
 * On a revoke: what is not started is let go, what runs may finish within `drainTimeoutMs` (I4). On unsubscribe: running
 * Observables are unsubscribed, signals are aborted, and up to `concurrency` messages come again.
 * @public
 */
export function handle<
  T,
  V = never,
  P extends Position = Position,
  A = never,
  B = never,
  C = never,
  D extends Delivery<T, P> = Delivery<T, P>,
>(
  fn: (value: T, delivery: D & Delivery<T, P>) => Returned<V, A, B, C>,
  options: HandleOptions = {},
): OperatorFunction<Taken<D & Delivery<T, P>>, Delivery<Result<V, A, B, C>['of'], P>> {
  checkNames('handle', options, ['concurrency', 'timeoutMs']);
  const { concurrency = 1, timeoutMs = 0 } = options;
  checkOptions(
    'handle',
    { fn, ...options },
    {
      fn: { required: true, type: 'function' },
      concurrency: { integer: true, min: 1 },
      timeoutMs: { above: 0, max: LONGEST_TIMER_MS },
    },
  );
  const work = fn as unknown as (value: unknown, delivery: DeliveryNode) => unknown;
  return operate((destination) => new Handle(destination, work, concurrency, timeoutMs));
}

class Handle implements OperatorParts, PumpTask {
  /** In credit, so bounded by maxInFlight. */
  private readonly queue = new RingQueue<DeliveryNode>();
  /**
   * What runs, linked in order of the starts, hence of the deadlines. Not a Set: its old tables keep what was in them alive
   * until a full collection, which doubled the time of an asynchronous handler.
   */
  private first: Work | null = null;
  private last: Work | null = null;
  private running = 0;
  private timer: Subscription | null = null;
  private zombies = 0;
  /** A start is under way: what arrives meanwhile queues, so that starts never nest and stay in order. */
  private starting = false;
  private upstreamCompleted = false;
  queued = false;

  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly fn: (value: unknown, delivery: DeliveryNode) => unknown,
    private readonly concurrency: number,
    private readonly timeoutMs: number,
  ) {}

  next(delivery: DeliveryNode): void {
    if (!delivery.epoch.live) {
      delivery.abandon();
      return;
    }
    if (this.starting || this.queue.length > 0 || this.running >= this.concurrency) {
      this.queue.push(delivery);
      return;
    }
    this.starting = true;
    this.start(delivery);
    this.starting = false;
    if (this.queue.length > 0) this.run();
  }

  complete(): void {
    this.upstreamCompleted = true;
    this.completeIfDone();
  }

  teardown(): void {
    this.timer?.unsubscribe();
    for (const delivery of this.queue.drain()) delivery.abandon();
    for (const work of this.works()) {
      this.cancel(work);
      work.delivery.abandon();
    }
  }

  onRevoke(partition: Partition): void {
    for (const delivery of this.queue.extract(({ epoch }) => epoch === partition)) delivery.abandon();
  }

  onClose(partition: Partition): void {
    const cut = this.works().filter(({ delivery }) => delivery.epoch === partition);
    for (const work of cut) this.cancel(work);
    // Not without a cause: the close may be inside a settlement, where nothing may complete.
    if (cut.length > 0) defer(partition.session, this);
  }

  /** Starts what is queued, as far as there are slots. */
  run(): void {
    if (this.starting) return;
    this.starting = true;
    while (this.running < this.concurrency && this.queue.length > 0) {
      const delivery = this.queue.shift() as DeliveryNode;
      if (!delivery.epoch.live) delivery.abandon();
      else if (!isSettled(delivery)) this.start(delivery);
    }
    this.starting = false;
    this.completeIfDone();
  }

  private start(delivery: DeliveryNode): void {
    let result: unknown;
    let deferred: Observable<unknown> | PromiseLike<unknown> | null;
    try {
      result = this.fn(delivery.value, delivery);
      deferred = deferredOf(result);
    } catch (error) {
      delivery.fail(error, -1);
      return;
    }
    // The function itself has ended the subscription, or its epoch: nobody would cancel what it began.
    if (this.destination.closed || delivery.epoch.closed) {
      ignore(deferred);
      delivery.abandon();
      return;
    }
    if (deferred === null) this.emit(delivery, result);
    else this.waitFor(delivery, deferred);
  }

  private emit(delivery: DeliveryNode, result: unknown): void {
    if (!isSettled(delivery)) this.destination.next(delivery.withResult(result));
  }

  private waitFor(delivery: DeliveryNode, deferred: Observable<unknown> | PromiseLike<unknown>): void {
    const { timeoutMs } = this;
    const deadline = timeoutMs > 0 ? environment.now() + timeoutMs : 0;
    const work: Work = {
      delivery,
      deadline,
      over: false,
      zombie: false,
      subscription: null,
      before: this.last,
      after: null,
    };
    this.link(work);
    if (timeoutMs > 0 && this.timer === null) this.armTimer(timeoutMs);
    if (isPromiseLike(deferred)) {
      whenSettled(
        deferred,
        (result) => this.succeed(work, result),
        (error) => this.fail(work, error),
      );
      return;
    }
    let last: unknown;
    const subscription = deferred.subscribe({
      next: (value) => (last = value),
      error: (error: unknown) => this.fail(work, error),
      complete: () => this.succeed(work, last),
    });
    work.subscription = subscription;
    if (!work.over) return;
    this.bury(work);
    subscription.unsubscribe();
  }

  private succeed(work: Work, result: unknown): void {
    if (!this.finish(work)) return;
    const { session } = work.delivery.epoch;
    // An ack below starts nothing inside this emission.
    cork(session);
    this.emit(work.delivery, result);
    this.run();
    uncork(session);
  }

  private fail(work: Work, error: unknown): void {
    if (!this.finish(work)) return;
    work.delivery.fail(error, -1);
    this.run();
  }

  private finish(work: Work): boolean {
    if (work.over) {
      this.bury(work);
      return false;
    }
    work.over = true;
    this.unlink(work);
    return true;
  }

  private bury(work: Work): void {
    if (work.zombie) this.zombies--;
    work.zombie = false;
  }

  private completeIfDone(): void {
    if (this.upstreamCompleted && this.running === 0 && this.queue.length === 0) this.destination.complete();
  }

  private armTimer(delayMs: number): void {
    this.timer = asyncScheduler.schedule(() => this.checkDeadlines(), delayMs);
  }

  private checkDeadlines(): void {
    this.timer = null;
    const now = environment.now();
    while (this.first !== null && this.first.deadline <= now) this.timeOut(this.first);
    if (this.first !== null && this.timer === null) this.armTimer(this.first.deadline - now);
    this.run();
  }

  private timeOut(work: Work): void {
    const { delivery } = work;
    const { timeoutMs } = this;
    const error = new SluiceError(
      'handler-timeout',
      `handle: no result for ${delivery.id} after ${timeoutMs} ms. Pass delivery.signal on, so that the work ends too.`,
      { details: { id: delivery.id, timeoutMs } },
    );
    this.cancel(work);
    abortSignal(delivery, error);
    notify(delivery.epoch.session, { type: 'timed-out', message: messageInfo(delivery), zombies: this.zombies });
    delivery.fail(error, -1);
  }

  private cancel(work: Work): void {
    work.over = true;
    this.unlink(work);
    work.zombie = work.subscription === null;
    if (work.subscription === null) this.zombies++;
    else work.subscription.unsubscribe();
  }

  private works(): Work[] {
    const works: Work[] = [];
    for (let work = this.first; work !== null; work = work.after) works.push(work);
    return works;
  }

  private link(work: Work): void {
    if (this.last === null) this.first = work;
    else this.last.after = work;
    this.last = work;
    this.running++;
  }

  private unlink(work: Work): void {
    const { before, after } = work;
    if (before === null) this.first = after;
    else before.after = after;
    if (after === null) this.last = before;
    else after.before = before;
    work.before = work.after = null;
    this.running--;
  }
}
