import type { NackOptions } from './delivery.js';
import type { MessageBytes, MessageHeaders } from './message.js';
import type { Outcome } from './outcome.js';
import { idOf, type Partition } from './partition.js';
import type { Position } from './position.js';
import { reportStale } from './telemetry.js';

/** What stands on the way back of a delivery: one object an operator subscription, or the engine's own. @internal */
export interface SettlementHook {
  onAck(delivery: DeliveryNode, outcome: Outcome): void;
  /** `delayMs` below 0: none was asked for. */
  onNack(delivery: DeliveryNode, reason: unknown, delayMs: number): void;
  onAbandon(delivery: DeliveryNode): void;
  /** True where a nack is answered with a new attempt: `ordered` below it would lose its order. */
  readonly retries?: boolean;
}

/** 0 live, 1 acked, 2 nacked, 3 abandoned. @internal */
export type Settled = 0 | 1 | 2 | 3;

const BRAND = Symbol.for('rxsluice.delivery');

/**
 * The one implementation of `Delivery`. A class, with no closure and no subclass: closures and spread cost ten times
 * as much a delivery (docs/decisions/0004).
 * @internal
 */
export class DeliveryNode<out T = unknown> {
  settled: Settled = 0;

  constructor(
    readonly value: T,
    readonly attempt: number,
    readonly up: DeliveryNode | null,
    readonly op: SettlementHook,
    /** The ring slot of a root; free for the operator that made the node otherwise. */
    readonly slot: number,
    readonly epoch: Partition,
    /** The broker's record of a root; free for the operator that made the node otherwise. */
    readonly ref: unknown,
  ) {}

  get [BRAND](): true {
    return true;
  }

  ack(): void {
    this.settle('done');
  }

  nack(reason?: unknown, options?: NackOptions): void {
    const delayMs = options?.delayMs;
    this.fail(reason, typeof delayMs === 'number' && delayMs >= 0 ? delayMs : -1);
  }

  settle(outcome: Outcome): void {
    if (this.settled !== 0) {
      reportStale(this, 'repeat');
      return;
    }
    this.settled = 1;
    if (this.epoch.signals !== null) this.epoch.signals.delete(this);
    this.op.onAck(this, outcome);
  }

  /** `nack` without an options object. */
  fail(reason: unknown, delayMs: number): void {
    if (this.settled !== 0) {
      reportStale(this, 'repeat');
      return;
    }
    this.settled = 2;
    if (this.epoch.signals !== null) this.epoch.signals.delete(this);
    this.op.onNack(this, reason, delayMs);
  }

  /** Lets go without settling: the message comes again, here or elsewhere, and no attempt is counted. */
  abandon(): void {
    if (this.settled !== 0) return;
    this.settled = 3;
    if (this.epoch.signals !== null) abortSignal(this);
    this.op.onAbandon(this);
  }

  withValue<U>(value: U): DeliveryNode<U> {
    return new DeliveryNode(value, this.attempt, this, PASS, 0, this.epoch, null);
  }

  get root(): DeliveryNode {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- a walk up the chain starts here
    let node: DeliveryNode = this;
    while (node.up !== null) node = node.up;
    return node;
  }

  get id(): string {
    return idOf(this.epoch, this.root.ref);
  }

  get key(): MessageBytes {
    return this.epoch.session.shape.key(this.root.ref);
  }

  get headers(): MessageHeaders {
    return this.epoch.session.shape.headers(this.root.ref);
  }

  get timestamp(): number {
    return this.epoch.session.shape.timestamp(this.root.ref);
  }

  get position(): Position {
    return this.epoch.session.shape.position(this.root.ref, this.epoch);
  }

  get signal(): AbortSignal {
    const owner = attemptOf(this);
    const signals = (owner.epoch.signals ??= new Map<DeliveryNode, AbortController>());
    let controller = signals.get(owner);
    if (controller === undefined) {
      controller = new AbortController();
      if (owner.settled === 0 && !owner.epoch.closed) signals.set(owner, controller);
      else if (owner.settled === 3 || owner.epoch.closed) controller.abort();
    }
    return controller.signal;
  }
}

// Passes a settlement to the delivery whose value was replaced.
const PASS: SettlementHook = {
  onAck: (delivery, outcome) => (delivery.up as DeliveryNode).settle(outcome),
  onNack: (delivery, reason, delayMs) => (delivery.up as DeliveryNode).fail(reason, delayMs),
  onAbandon: (delivery) => (delivery.up as DeliveryNode).abandon(),
};

// The node that carries the attempt's identity: `withValue` makes relatives of it, not new attempts.
function attemptOf(delivery: DeliveryNode): DeliveryNode {
  let node = delivery;
  while (node.op === PASS) node = node.up as DeliveryNode;
  return node;
}

/** Whether this attempt is settled by anyone: settled state does not travel down to a `withValue` child. @internal */
export function isSettled(delivery: DeliveryNode): boolean {
  let node = delivery;
  while (node.settled === 0 && node.op === PASS) node = node.up as DeliveryNode;
  return node.settled !== 0;
}

/** Aborts the attempt's signal, where somebody asked for one. @internal */
export function abortSignal(delivery: DeliveryNode, reason?: unknown): void {
  const owner = attemptOf(delivery);
  const { signals } = owner.epoch;
  const controller = signals?.get(owner);
  if (controller === undefined) return;
  signals?.delete(owner);
  controller.abort(reason);
}

/** Tells a delivery of this library, of whichever copy, from anything else. @internal */
export function isDeliveryNode(value: unknown): value is DeliveryNode {
  if (value instanceof DeliveryNode) return true; // the fast way: one copy is the rule
  return typeof value === 'object' && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true;
}
