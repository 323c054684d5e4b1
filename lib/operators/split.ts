import type { Observable, OperatorFunction, Subscriber } from 'rxjs';
import type { Delivery } from '../core/delivery.js';
import { DeliveryNode, isSettled, type SettlementHook } from '../core/delivery-node.js';
import { operate, type OperatorParts } from '../core/operate.js';
import { checkNames, checkOptions } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import type { Partition } from '../core/partition.js';
import type { Position } from '../core/position.js';
import { cork, defer, uncork } from '../core/pump.js';
import { RingQueue } from '../core/ring-queue.js';
import type { PumpTask, Session } from '../core/session.js';
import { reportStale } from '../core/telemetry.js';
import type { AtOnce, Taken, TypeHints } from '../core/type-hints.js';
import { hold, pumpIfStill, setFull, unhold } from '../core/units.js';
import { END, Splitting, type SplitFunction } from './splitting.js';

/** What bounds the parts of `split`. @public */
export interface SplitOptions {
  /**
   * The most parts of one delivery: a whole number, at least 1. One that has more is nacked as permanent; an array is counted before
   * any of its parts is started. Default: 10,000.
   */
  readonly maxParts?: number;
  /**
   * The most parts that are out at once, emitted and unsettled, of all deliveries together: a whole number, at least 1. With 1,
   * one part is started after another. Default: 1,000.
   */
  readonly maxPartsInFlight?: number;
}

/** An array, or any other iterable object: a generator, a Set. Text and bytes are values, not streams of their elements. @public */
export type Parts<R> = Iterable<R> & object;

/**
 * Makes many deliveries of one. They are pulled from the iterable only as there is room for them; the one is settled once
 * all of them are.
 *
 * ```text
 * in       --A-----------------B--------|    B has no parts: done at once
 * out      --a0-a1-a2-------------------|    the ids A/0, A/1, A/2
 * settled  --------a1--a0-a2-A-B---------    A when the last of its parts is
 * ```
 *
 * A part has the key, headers, position and attempt of its delivery and the id `<id>/<index>`; it costs no credit of its own. The
 * outcome is the worst of theirs: dead-lettered, then skipped, then done. Where a part is nacked, or the
 * function or its iterator throws, nothing more is pulled, and once the parts that are out have ended the delivery is nacked with the
 * first reason: all of its parts come again, unless `retryToDlq` below caught the nack. `fn` may settle the delivery
 * itself; then nothing more is pulled.
 *
 * Order: parts are started in order of arrival, those of one delivery before those of the next. On a revoke nothing more is
 * pulled (I4); a delivery whose parts were all pulled may still settle. On unsubscribe the same; whenever pulling stops early the
 * iterator's `return()` is called. A crash before the last part is settled brings all parts again.
 *
 * @example
 * ```ts
 * orders.pipe(split(({ items }) => items, { maxParts: 500 }), handle(reserve, { concurrency: 16 }), ackEach());
 * ```
 * @public
 */
export function split<
  T,
  R extends PromiseLike<unknown> = never,
  P extends Position = Position,
  D extends Delivery<T, P> = Delivery<T, P>,
>(
  fn: (value: T, delivery: D & Delivery<T, P>) => Parts<R>,
  options?: SplitOptions,
): (source: Observable<Taken<D & Delivery<T, P>>> & AtOnce<R, TypeHints['part']>) => Observable<Delivery<R, P>>;
/** Makes many deliveries of one. @public */
export function split<T, R, P extends Position, D extends Delivery<T, P> = Delivery<T, P>>(
  fn: (value: T, delivery: D & Delivery<T, P>) => Parts<R>,
  options?: SplitOptions,
): OperatorFunction<Taken<D & Delivery<T, P>>, Delivery<R, P>>;
export function split<T, R, P extends Position, D extends Delivery<T, P> = Delivery<T, P>>(
  fn: (value: T, delivery: D & Delivery<T, P>) => Parts<R>,
  options: SplitOptions = {},
): OperatorFunction<Taken<D & Delivery<T, P>>, Delivery<R, P>> {
  checkNames('split', options, ['maxParts', 'maxPartsInFlight']);
  const { maxParts = 10_000, maxPartsInFlight = 1_000 } = options;
  checkOptions(
    'split',
    { fn, ...options },
    {
      fn: { required: true, type: 'function' },
      maxParts: { integer: true, min: 1 },
      maxPartsInFlight: { integer: true, min: 1 },
    },
  );
  const partsOf = fn as unknown as SplitFunction;
  return operate((destination) => new Split(destination, partsOf, maxParts, maxPartsInFlight));
}

/** The parts that it makes carry their index in `slot` and what they are of in `ref`. */
class Split implements OperatorParts, SettlementHook, PumpTask {
  readonly forks = true;
  readonly splits = true;
  /** What is not pulled to its end, in order of arrival; only the first may be begun. In credit. */
  private readonly queue = new RingQueue<Splitting>();
  /** What was begun and has not ended, linked: each has parts out, or is the first of the queue. */
  private first: Splitting | null = null;
  private last: Splitting | null = null;
  /** Parts that are out. */
  private live = 0;
  /** A pull is under way: what is settled or arrives meanwhile is seen by its loop, so that pulls never nest. */
  private pulling = false;
  /** The sessions were told that no part can be started until one ends. */
  private full = false;
  /** Where its deliveries come from, the last one first. Replaced, never changed: a loop may stand on it. */
  private sessions: readonly Session[] = [];
  private upstreamCompleted = false;
  private closed = false;
  queued = false;

  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly fn: SplitFunction,
    private readonly maxParts: number,
    private readonly maxPartsInFlight: number,
  ) {}

  next(delivery: DeliveryNode): void {
    const { epoch } = delivery;
    if (!epoch.live) {
      delivery.abandon();
      return;
    }
    if (this.sessions[0] !== epoch.session) this.meet(epoch.session);
    const splitting = new Splitting(delivery);
    this.queue.push(splitting);
    this.run();
    if (splitting.begun || splitting.ended) return;
    splitting.held = true;
    hold(epoch);
  }

  complete(): void {
    this.upstreamCompleted = true;
    if (!this.pulling) this.completeIfDone();
  }

  teardown(): void {
    this.closed = true;
    this.tellFull(false);
    for (const splitting of this.queue.drain()) this.letGo(splitting);
  }

  onRevoke(partition: Partition): void {
    for (const splitting of this.take(partition)) this.letGo(splitting);
  }

  onClose(partition: Partition): void {
    for (const splitting of this.take(partition)) {
      splitting.ended = true;
      splitting.close();
    }
    for (let splitting = this.first; splitting !== null; splitting = splitting.after) {
      const { tally } = splitting;
      if (tally.delivery.epoch !== partition) continue;
      // Its parts may never end, and what they say is void.
      this.live -= tally.live;
      this.unlink(splitting);
    }
    if (this.live < this.maxPartsInFlight) this.tellFull(false);
    this.goOn(partition.session);
  }

  onAck(part: DeliveryNode, outcome: Outcome): void {
    if (isVoid(part)) return;
    const { tally } = part.ref as Splitting;
    tally.settle(outcome);
    this.end(part);
  }

  onNack(part: DeliveryNode, reason: unknown, delayMs: number): void {
    if (isVoid(part)) return;
    const { tally } = part.ref as Splitting;
    tally.fail(reason, delayMs);
    this.end(part);
  }

  onAbandon(part: DeliveryNode): void {
    if (part.epoch.closed) return;
    const { tally } = part.ref as Splitting;
    tally.abandon();
    this.end(part);
  }

  /** Starts parts, as far as there is room. */
  run(): void {
    if (this.pulling) return;
    this.pulling = true;
    const { sessions } = this;
    // It is not quiet while there are parts to start: what gathers below would go after the first.
    for (const session of sessions) cork(session);
    while (this.live < this.maxPartsInFlight) {
      const splitting = this.queue.peek();
      if (splitting === undefined) break;
      this.pullFrom(splitting);
    }
    this.pulling = false;
    if (!this.closed) {
      this.tellFull(this.live >= this.maxPartsInFlight);
      this.completeIfDone();
    }
    for (const session of sessions) {
      pumpIfStill(session);
      uncork(session);
    }
  }

  private pullFrom(splitting: Splitting): void {
    const { tally } = splitting;
    const { delivery } = tally;
    if (!splitting.begun) {
      endWait(splitting);
      this.link(splitting);
    }
    let value: unknown = END;
    try {
      if (!isSettled(delivery)) value = splitting.pull(this.fn, this.maxParts);
    } catch (error) {
      tally.fail(error, -1);
      value = END;
    }
    if (splitting.ended) {
      // Let go inside the user's code, which could not be told then.
      splitting.close();
    } else if (value === END || isSettled(delivery)) {
      this.stopPulling(splitting);
      this.concludeIfDone(splitting);
    } else {
      tally.add();
      this.live++;
      const { attempt, epoch } = delivery;
      this.destination.next(new DeliveryNode(value, attempt, delivery, this, splitting.made++, epoch, splitting));
    }
  }

  private end({ ref, epoch }: DeliveryNode): void {
    const splitting = ref as Splitting;
    splitting.tally.end();
    this.live--;
    this.tellFull(false);
    if (splitting.tally.comesAgain) this.stopPulling(splitting);
    this.concludeIfDone(splitting);
    this.goOn(epoch.session);
  }

  private letGo(splitting: Splitting): void {
    endWait(splitting);
    // Where the last part is out it may still settle, as all that is started.
    if (splitting.isCutShort()) splitting.tally.abandon();
    this.stopPulling(splitting);
    this.concludeIfDone(splitting);
  }

  private stopPulling(splitting: Splitting): void {
    if (splitting.ended) return;
    splitting.ended = true;
    if (this.queue.peek() === splitting) this.queue.shift();
    splitting.close();
  }

  private concludeIfDone(splitting: Splitting): void {
    const { tally, ended } = splitting;
    if (!ended || tally.live > 0) return;
    this.unlink(splitting);
    if (!isSettled(tally.delivery)) tally.conclude();
  }

  // Not at once: nothing is emitted inside a settlement.
  private goOn(session: Session): void {
    if (this.pulling) return;
    if (this.queue.length > 0 || this.upstreamCompleted) defer(session, this);
    else pumpIfStill(session);
  }

  private completeIfDone(): void {
    if (this.upstreamCompleted && this.queue.length === 0) this.destination.complete();
  }

  private meet(session: Session): void {
    const others = this.sessions.filter((each) => each !== session && !each.closed);
    if (this.full && !this.sessions.includes(session)) setFull(session, true);
    this.sessions = [session, ...others];
  }

  private tellFull(full: boolean): void {
    if (this.full === full) return;
    this.full = full;
    for (const session of this.sessions) setFull(session, full);
  }

  private take(partition: Partition): Splitting[] {
    return this.queue.extract(({ tally }) => tally.delivery.epoch === partition);
  }

  private link(splitting: Splitting): void {
    splitting.before = this.last;
    if (this.last === null) this.first = splitting;
    else this.last.after = splitting;
    this.last = splitting;
  }

  private unlink(splitting: Splitting): void {
    const { before, after } = splitting;
    if (before !== null) before.after = after;
    else if (this.first === splitting) this.first = after;
    if (after !== null) after.before = before;
    else if (this.last === splitting) this.last = before;
  }
}

function isVoid(part: DeliveryNode): boolean {
  if (!part.epoch.closed) return false;
  reportStale(part, 'closed');
  return true;
}

function endWait(splitting: Splitting): void {
  if (!splitting.held) return;
  splitting.held = false;
  unhold(splitting.tally.delivery.epoch);
}
