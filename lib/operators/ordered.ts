import type { Observable, OperatorFunction, Subscriber } from 'rxjs';
import type { Delivery } from '../core/delivery.js';
import { DeliveryNode, type SettlementHook } from '../core/delivery-node.js';
import { tellHeldBack } from '../core/held-back.js';
import { BUSY, FREE, KEPT } from '../core/lane-states.js';
import {
  createLanes,
  endKeep,
  keep,
  laneOf,
  mayPass,
  nextOf,
  waitIn,
  type KeptLane,
  type Lanes,
} from '../core/lanes.js';
import type { MessageBytes } from '../core/message.js';
import { operate, pass, type OperatorParts } from '../core/operate.js';
import type { Outcome } from '../core/outcome.js';
import { checkNames, checkOptions } from '../core/options.js';
import { onSlotNews, type Partition, type SlotNews } from '../core/partition.js';
import { Pending } from '../core/pending.js';
import type { Position } from '../core/position.js';
import { defer } from '../core/pump.js';
import { RingQueue } from '../core/ring-queue.js';
import type { PumpTask } from '../core/session.js';
import type { Deliveries, Taken, TypeHints } from '../core/type-hints.js';
import { hold, unhold } from '../core/units.js';
import { warnOfPlace } from './ordered-place.js';

/** What deliveries can be ordered by: text, bytes or a number; `null` and `undefined` are unordered. @public */
export type OrderingKey = Exclude<MessageBytes, Uint8Array> | (TypeHints['keyBytes'] & Uint8Array) | number | undefined;

/** What `ordered` orders by. @public */
export interface OrderedOptions<T, P extends Position = Position> {
  /** The message's key, its whole partition, or a function of the delivery. */
  readonly by: 'key' | 'partition' | ((delivery: Delivery<T, P>) => OrderingKey);
}

/**
 * Lets at most one unsettled delivery of each key pass; others go on. Whatever stands below may run as concurrently as
 * it likes, and order per key holds through retries and dead letters, since a delivery under retry is unsettled.
 *
 * ```text
 * in       --a1--a2--b1-------|
 * settled  ------------A1--B1--    by the pipeline below
 * out      --a1------b1-a2----|    a2 waits for a1, b1 does not
 * ```
 *
 * Keys are per topic and partition; deliveries without a key are not ordered. What waits is in credit, so `maxInFlight` bounds
 * it. Keys hash to lanes, half a billion of them: two keys that share one wait for each other and lose nothing else. The hash is another
 * one in each process, so that nobody can choose keys that wait for each other. Memory follows what is out.
 * Place it above `retryToDlq`, and above `batch`, below which it orders nothing. On a revoke what waits is let go (I4).
 * @public
 */
export function ordered(options: {
  readonly by: 'key' | 'partition';
}): <D extends Delivery<unknown>>(source: Observable<Taken<D>>) => Observable<D>;
/** Lets at most one unsettled delivery of each key pass; the key is what a function makes of the delivery. @public */
export function ordered<T, P extends Position>(
  options: OrderedOptions<T, P>,
): OperatorFunction<Deliveries<T, P>, Delivery<T, P>>;
export function ordered(options: OrderedOptions<never>): unknown {
  checkNames('ordered', options, ['by']);
  const { by } = options;
  checkOptions(
    'ordered',
    { by },
    {
      by: {
        required: true,
        that: {
          be: "'key', 'partition' or a function",
          holds: (value) => value === 'key' || value === 'partition' || typeof value === 'function',
          isNamed: true,
        },
      },
    },
  );
  const keyOf = by === 'key' ? keyOfMessage : by === 'partition' ? theSame : (by as unknown as KeyOf);
  return operate((destination) => new Ordered(destination, keyOf));
}

type KeyOf = (delivery: DeliveryNode) => OrderingKey;

const keyOfMessage: KeyOf = (delivery) => delivery.key;
const theSame: KeyOf = () => 0;

class Ordered implements OperatorParts, SettlementHook, PumpTask {
  readonly orders = true;
  private readonly lanesOf = new Map<Partition, Lanes>();
  /** The partition seen last and its lanes: bursts come from one partition. */
  private partition: Partition | null = null;
  private lanes: Lanes | null = null;
  /** What a settlement let go, to be emitted outside of it. */
  private readonly due = new RingQueue<DeliveryNode>();
  /** What waits, or is due. */
  private readonly pending: Pending;
  /** How many wait in a lane. */
  private behind = 0;
  private checked = false;
  queued = false;

  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly keyOf: KeyOf,
  ) {
    this.pending = new Pending(destination);
  }

  next(delivery: DeliveryNode): void {
    const { epoch } = delivery;
    if (!this.checked) {
      this.checked = true;
      warnOfPlace(delivery);
    }
    if (!epoch.live) {
      delivery.abandon();
      return;
    }
    if (epoch.shares !== null) {
      this.destination.next(delivery);
      return;
    }
    const lanes = epoch === this.partition ? (this.lanes as Lanes) : this.lanesFor(epoch);
    let lane: number;
    try {
      const key = this.keyOf(delivery);
      lane = key === null || key === undefined ? -1 : laneOf(key);
    } catch (error) {
      delivery.fail(error, -1);
      return;
    }
    if (lane === -1 || this.destination.closed) {
      pass(this.destination, delivery);
    } else if (lanes.states.take(lane) === FREE) {
      this.destination.next(this.pass(delivery, lane, lanes));
    } else {
      this.comeBehind(lanes, lane, delivery);
    }
  }

  complete(): void {
    this.pending.complete();
  }

  teardown(): void {
    this.pending.close();
    for (const partition of [...this.lanesOf.keys()]) this.forget(partition);
    for (const child of this.due.drain()) child.up?.abandon();
  }

  onRevoke(partition: Partition): void {
    this.forget(partition);
  }

  onClose(partition: Partition): void {
    this.forget(partition);
  }

  get holdsBack(): boolean {
    return this.behind > 0;
  }

  isAwaited({ slot, ref }: DeliveryNode): boolean {
    return (ref as Lanes).waiting.has(slot);
  }

  onAck(child: DeliveryNode, outcome: Outcome): void {
    (child.up as DeliveryNode).settle(outcome);
    this.release(child.epoch, child.slot, child.ref as Lanes);
  }

  onNack(child: DeliveryNode, reason: unknown, delayMs: number): void {
    const comeback = this.comebackOf(child);
    if (comeback !== null) this.keep(child, comeback);
    (child.up as DeliveryNode).fail(reason, delayMs);
    this.goOn(child, comeback);
  }

  onAbandon(child: DeliveryNode): void {
    const comeback = this.comebackOf(child);
    if (comeback !== null) this.keep(child, comeback);
    (child.up as DeliveryNode).abandon();
    this.goOn(child, comeback);
  }

  /** Emits what settlements let go. */
  run(): void {
    for (let child = this.due.shift(); child !== undefined; child = this.due.shift()) {
      if (child.epoch.live && !this.destination.closed) this.destination.next(child);
      else child.up?.abandon();
      this.pending.remove(child.epoch);
    }
  }

  private comeBehind(lanes: Lanes, lane: number, delivery: DeliveryNode): void {
    const { slot } = delivery.root;
    const isIdle = lanes.states.get(lane) === KEPT;
    if (isIdle && mayPass(lanes, lane, slot)) {
      const itself = lanes.kept.get(lane)?.find((message) => message.slot === slot && !message.whole);
      if (itself !== undefined) endKeep(lanes, lane, itself);
      lanes.states.set(lane, BUSY);
      this.destination.next(this.pass(delivery, lane, lanes));
      return;
    }
    this.pending.add(delivery.epoch);
    this.behind++;
    if (waitIn(lanes, lane, delivery)) delivery.epoch.session.waits++;
    // Where the lane is busy, they hear of it if that fails.
    if (isIdle) tellHeldBack(delivery);
    hold(delivery.epoch, 1, 1);
  }

  private lanesFor(partition: Partition): Lanes {
    let lanes = this.lanesOf.get(partition);
    if (lanes === undefined) {
      lanes = createLanes();
      this.lanesOf.set(partition, lanes);
    }
    this.partition = partition;
    this.lanes = lanes;
    return lanes;
  }

  private forget(partition: Partition): void {
    const lanes = this.lanesOf.get(partition);
    if (lanes === undefined) return;
    this.lanesOf.delete(partition);
    if (partition === this.partition) this.partition = this.lanes = null;
    for (const waiting of lanes.waiting.values()) this.letGo(partition, waiting.drain());
    lanes.waiting.clear();
  }

  // The broker sends all of a key again, from this one on: what waits of it is not to overtake it.
  private wentBack(epoch: Partition, lane: number, brokersKey: string): void {
    const lanes = this.lanesOf.get(epoch);
    const waiting = lanes?.waiting.get(lane);
    if (waiting === undefined) return;
    this.letGo(
      epoch,
      waiting.extract((delivery) => brokersKeyOf(delivery) === brokersKey),
    );
    if (waiting.length === 0) lanes?.waiting.delete(lane);
  }

  private letWaitingGo(epoch: Partition, lane: number): void {
    const lanes = this.lanesOf.get(epoch);
    const waiting = lanes?.waiting.get(lane);
    if (waiting === undefined) return;
    lanes?.waiting.delete(lane);
    this.letGo(epoch, waiting.drain());
  }

  private letGo(partition: Partition, waiting: readonly DeliveryNode[]): void {
    for (const delivery of waiting) {
      this.behind--;
      unhold(partition, 1, 1);
      delivery.abandon();
      this.pending.remove(partition);
    }
  }

  private pass(delivery: DeliveryNode, lane: number, lanes: Lanes): DeliveryNode {
    return new DeliveryNode(delivery.value, delivery.attempt, delivery, this, lane, delivery.epoch, lanes);
  }

  // Nothing of the lane is out any more. Of lanes that were forgotten nothing waits.
  private release(partition: Partition, lane: number, lanes: Lanes): void {
    const delivery = lanes.waiting.size === 0 ? undefined : nextOf(lanes, lane);
    if (delivery === undefined) {
      lanes.states.set(lane, lanes.kept.size > 0 && lanes.kept.has(lane) ? KEPT : FREE);
      return;
    }
    lanes.states.set(lane, BUSY);
    this.behind--;
    unhold(partition, 1, 1);
    this.due.push(this.pass(delivery, lane, lanes));
    defer(partition.session, this);
  }

  // The source, or a retry above, runs the same slot again: its lane stays taken until it is back or settled.
  private keep(child: DeliveryNode, { whole, claimed }: Comeback): void {
    const { epoch, slot: lane } = child;
    const lanes = child.ref as Lanes;
    const { slot } = child.root;
    const brokersKey = brokersKeyOf(child);
    lanes.states.set(lane, KEPT);
    if (lanes.kept.get(lane)?.some((message) => message.slot === slot)) return;
    const onNews = (news: SlotNews): void => {
      // On its way back to us it waits for another, which may wait in this lane: for a repeat of it that has its claim.
      if (news === 'waits' && !claimed) return;
      endKeep(lanes, lane, message);
      if (news === 'gone' && brokersKey !== null) this.wentBack(epoch, lane, brokersKey);
      if (news === 'gone' && !isOurs(epoch)) this.letWaitingGo(epoch, lane);
      else if (lanes.states.get(lane) === KEPT) this.release(epoch, lane, lanes);
    };
    const message: KeptLane = { slot, whole, unlisten: onSlotNews(epoch, slot, onNews) };
    keep(lanes, lane, message);
  }

  // After a nack or an abandon has gone up, by which the lane may have gone to the next one already.
  private goOn({ epoch, slot: lane, ref }: DeliveryNode, comeback: Comeback | null): void {
    const lanes = ref as Lanes;
    if (comeback === null) {
      if (isOurs(epoch)) this.release(epoch, lane, lanes);
      // A message that comes again to another subscription must not be passed by those that wait behind it.
      else this.letWaitingGo(epoch, lane);
    } else if (lanes.states.get(lane) === KEPT) {
      // The others that were made of the message must end before it can come again.
      if (comeback.whole) this.release(epoch, lane, lanes);
      if (comeback.retried) lanes.waiting.get(lane)?.forEach(tellHeldBack);
    }
  }

  private comebackOf(child: DeliveryNode): Comeback | null {
    const { epoch } = child;
    if (epoch.window === null && brokersKeyOf(child) === null) return null;
    return isOurs(epoch) && this.lanesOf.has(epoch) ? comebackOf(child) : null;
  }
}

/** How a message comes again after a nack. */
interface Comeback {
  /** Several deliveries were made of it: not before the others have ended too. */
  readonly whole: boolean;
  /** By `retryToDlq`, below which this stands. */
  readonly retried: boolean;
  /** Its claim is given back until then. */
  readonly claimed: boolean;
}

// A part does not by itself: the delivery that it is of does, once the others have ended, which may wait for this lane.
function comebackOf(child: DeliveryNode): Comeback | null {
  let whole = false;
  let retried = false;
  let claimed = false;
  for (let node = child.up; node !== null; node = node.up) {
    const { op } = node;
    if (op.splits === true) return null;
    // Also above a retry: where that gives up one of them, the message is not settled yet, and the others may wait in this lane.
    if (op.forks === true) whole = true;
    if (retried) continue;
    if (op.retries === true) retried = true;
    else if (op.claims !== undefined) claimed = true;
  }
  return { whole, retried, claimed };
}

// Of a queue: the key by which the broker sends messages again in their order, once one of them has gone back to it.
function brokersKeyOf(delivery: DeliveryNode): string | null {
  const { window, session } = delivery.epoch;
  return window === null ? (session.shape.orderedBy?.(delivery.root.ref) ?? null) : null;
}

function isOurs({ live, session }: Partition): boolean {
  return live && !session.unsubscribed;
}
