import type { Observable, OperatorFunction, Subscriber } from 'rxjs';
import type { Delivery } from '../core/delivery.js';
import { DeliveryNode, partOf, type SettlementHook } from '../core/delivery-node.js';
import { createLanes, laneOf, type Lanes } from '../core/lanes.js';
import type { MessageBytes } from '../core/message.js';
import { operate, pass, type OperatorParts } from '../core/operate.js';
import type { Outcome } from '../core/outcome.js';
import { checkNames, checkOptions } from '../core/options.js';
import { onSlotEnd, type Partition } from '../core/partition.js';
import { Pending } from '../core/pending.js';
import type { Position } from '../core/position.js';
import { defer } from '../core/pump.js';
import { RingQueue } from '../core/ring-queue.js';
import type { PumpTask } from '../core/session.js';
import { notify } from '../core/telemetry.js';
import type { Deliveries, Taken, TypeHints } from '../core/type-hints.js';
import { hold, unhold } from '../core/units.js';

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
 * it. Keys hash to lanes, 32 or more for each credit: two keys that share one wait for each other and lose nothing else.
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
  const { by } = options;
  checkNames('ordered', options, ['by']);
  checkOptions(
    'ordered',
    { by },
    {
      by: {
        required: true,
        that: {
          be: "'key', 'partition' or a function",
          holds: (value) => value === 'key' || value === 'partition' || typeof value === 'function',
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
  private readonly lanesOf = new Map<Partition, Lanes>();
  /** The partition seen last and its lanes: bursts come from one partition. */
  private partition: Partition | null = null;
  private lanes: Lanes | null = null;
  /** What a settlement let go, to be emitted outside of it. */
  private readonly due = new RingQueue<DeliveryNode>();
  /** What waits, or is due. */
  private readonly pending: Pending;
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
      lane = key === null || key === undefined ? -1 : laneOf(lanes, key);
    } catch (error) {
      delivery.fail(error, -1);
      return;
    }
    if (lane === -1 || this.destination.closed) {
      pass(this.destination, delivery);
    } else if (lanes.busy[lane] === 0) {
      lanes.busy[lane] = 1;
      this.destination.next(this.pass(delivery, lane));
    } else if (lanes.kept.size > 0 && lanes.kept.get(lane)?.slot === delivery.root.slot) {
      lanes.kept.get(lane)?.unlisten();
      lanes.kept.delete(lane);
      this.destination.next(this.pass(delivery, lane));
    } else {
      this.pending.add(epoch);
      wait(lanes, lane, delivery);
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

  onAck(child: DeliveryNode, outcome: Outcome): void {
    (child.up as DeliveryNode).settle(outcome);
    this.release(child.epoch, child.slot);
  }

  onNack(child: DeliveryNode, reason: unknown, delayMs: number): void {
    const kept = this.comesBack(child);
    if (kept) this.keep(child);
    (child.up as DeliveryNode).fail(reason, delayMs);
    if (!kept) this.moveOn(child.epoch, child.slot);
  }

  onAbandon(child: DeliveryNode): void {
    const kept = this.comesBack(child);
    if (kept) this.keep(child);
    (child.up as DeliveryNode).abandon();
    if (!kept) this.moveOn(child.epoch, child.slot);
  }

  /** Emits what settlements let go. */
  run(): void {
    for (let child = this.due.shift(); child !== undefined; child = this.due.shift()) {
      if (child.epoch.live && !this.destination.closed) this.destination.next(child);
      else child.up?.abandon();
      this.pending.remove(child.epoch);
    }
  }

  private lanesFor(partition: Partition): Lanes {
    let lanes = this.lanesOf.get(partition);
    if (lanes === undefined) {
      lanes = createLanes(partition.session.options.maxInFlight);
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
    for (const waiting of lanes.waiting.values()) this.letGo(partition, waiting);
  }

  // What comes again to another subscription must not be passed by what waits behind it.
  private moveOn(epoch: Partition, lane: number): void {
    if (isOurs(epoch)) {
      this.release(epoch, lane);
      return;
    }
    const lanes = this.lanesOf.get(epoch);
    const waiting = lanes?.waiting.get(lane);
    if (waiting === undefined) return;
    lanes?.waiting.delete(lane);
    this.letGo(epoch, waiting);
  }

  // The broker sends all of a key again, from this one on: what waits of it is not to overtake it.
  private wentBack(epoch: Partition, lane: number, brokersKey: string): void {
    const lanes = this.lanesOf.get(epoch);
    const waiting = lanes?.waiting.get(lane);
    if (lanes !== undefined && waiting !== undefined) {
      lanes.waiting.delete(lane);
      const gone = new RingQueue<DeliveryNode>();
      const others = new RingQueue<DeliveryNode>();
      for (const delivery of waiting.drain()) (brokersKeyOf(delivery) === brokersKey ? gone : others).push(delivery);
      if (others.length > 0) lanes.waiting.set(lane, others);
      this.letGo(epoch, gone);
    }
    this.moveOn(epoch, lane);
  }

  private letGo(partition: Partition, waiting: RingQueue<DeliveryNode>): void {
    for (const delivery of waiting.drain()) {
      unhold(partition, 1, 1);
      delivery.abandon();
      this.pending.remove(partition);
    }
  }

  private pass(delivery: DeliveryNode, lane: number): DeliveryNode {
    return new DeliveryNode(delivery.value, delivery.attempt, delivery, this, lane, delivery.epoch, null);
  }

  private release(partition: Partition, lane: number): void {
    const lanes = partition === this.partition ? this.lanes : this.lanesOf.get(partition);
    if (!lanes) return;
    const waiting = lanes.waiting.size === 0 ? undefined : lanes.waiting.get(lane);
    if (waiting === undefined) {
      lanes.busy[lane] = 0;
      return;
    }
    const delivery = waiting.shift() as DeliveryNode;
    if (waiting.length === 0) lanes.waiting.delete(lane);
    unhold(partition, 1, 1);
    this.due.push(this.pass(delivery, lane));
    defer(partition.session, this);
  }

  // The source, or a retry above, runs the same slot again: its lane stays taken until it is back or settled.
  private keep(child: DeliveryNode): void {
    const { epoch, slot: lane } = child;
    const lanes = this.lanesOf.get(epoch) as Lanes;
    const { slot } = child.root;
    const brokersKey = brokersKeyOf(child);
    const unlisten = onSlotEnd(epoch, slot, (settled) => {
      lanes.kept.delete(lane);
      if (settled) this.release(epoch, lane);
      else if (brokersKey === null) this.moveOn(epoch, lane);
      else this.wentBack(epoch, lane, brokersKey);
    });
    lanes.kept.set(lane, { slot, unlisten });
  }

  // A part does not by itself: the delivery that it is of does, once the others have ended, which may wait for this lane.
  private comesBack(child: DeliveryNode): boolean {
    const { epoch } = child;
    if (epoch.window === null && brokersKeyOf(child) === null) return false;
    return isOurs(epoch) && this.lanesOf.has(epoch) && partOf(child) === '';
  }
}

// Of a queue: the key by which the broker sends messages again in their order, once one of them has gone back to it.
function brokersKeyOf(delivery: DeliveryNode): string | null {
  const { window, session } = delivery.epoch;
  return window === null ? (session.shape.orderedBy?.(delivery.root.ref) ?? null) : null;
}

function isOurs({ live, session }: Partition): boolean {
  return live && !session.unsubscribed;
}

function wait(lanes: Lanes, lane: number, delivery: DeliveryNode): void {
  let waiting = lanes.waiting.get(lane);
  if (waiting === undefined) lanes.waiting.set(lane, (waiting = new RingQueue()));
  waiting.push(delivery);
  hold(delivery.epoch, 1, 1);
}

function warnOfPlace(delivery: DeliveryNode): void {
  if (delivery.epoch.shares !== null) {
    notify(delivery.epoch.session, {
      type: 'misuse',
      code: 'ordered-below-batch',
      message: 'ordered() stands below batch(): a batch has many keys, so nothing is ordered here. Place it above.',
    });
    return;
  }
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    if (!node.op.retries) continue;
    notify(delivery.epoch.session, {
      type: 'misuse',
      code: 'ordered-below-retry',
      message:
        'ordered() stands below retryToDlq(): place it above, or order per key may break where a retry overtakes.',
    });
    return;
  }
}
