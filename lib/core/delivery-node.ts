import { timerMs } from './backoff.js';
import type { Bisects, NackAnswer } from './bisection.js';
import type { NackOptions } from './delivery.js';
import type { MessageBytes, MessageHeaders } from './message.js';
import type { Outcome } from './outcome.js';
import { idOf, type Partition } from './partition.js';
import type { Position } from './position.js';
import { notify, reportStale } from './telemetry.js';

/** What stands on the way back of a delivery: one object an operator subscription, or the engine's own. @internal */
export interface SettlementHook {
  onAck(delivery: DeliveryNode, outcome: Outcome): void;
  /** `delayMs` below 0: none was asked for. */
  onNack(delivery: DeliveryNode, reason: unknown, delayMs: number): void;
  onAbandon(delivery: DeliveryNode): void;
  /** True where a nack is answered with a new attempt: `ordered` below it would lose its order. */
  readonly retries?: boolean;
  /** True where a nack does not go on without a limit: it is retried up to one, or buried. */
  readonly answers?: boolean;
  /** True where several deliveries are made of one, as `split` and `fanOut` do: each speaks for a part of it alone. */
  readonly forks?: boolean;
  /** Of `split`: those that it makes are parts, whose `slot` is their index. */
  readonly splits?: boolean;
  /** Set by `ordered`. */
  readonly orders?: boolean;
  /** Set by `dedupe`: the store of its claims; the deliveries that it makes carry their claims in `ref`. */
  readonly claims?: object;
  /** Below it, this one waits until another delivery is settled, of a message that may itself wait for this one. */
  heldBack?(delivery: DeliveryNode): void;
  /** Whether this operator holds others until this one is settled. */
  isAwaited?(delivery: DeliveryNode): boolean;
  /** Of what makes batches, whose `ref` are their members: settles some of them as done. */
  settleSome?(batch: DeliveryNode, members: readonly DeliveryNode[]): void;
  /** Set by operators that make batches and run those that fail by halves. */
  readonly bisects?: Bisects | undefined;
  /** Set by operators that answer nacks: how they would answer one of this delivery. */
  answerTo?(delivery: DeliveryNode, reason: unknown): NackAnswer;
}

/** 0 live, 1 acked, 2 nacked, 3 abandoned. @internal */
export type Settled = 0 | 1 | 2 | 3;

const BRAND = Symbol.for('rxsluice.delivery');
// The slot of a node whose value an operator of ours has made.
const WORK = 1;

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

  /**
   * Whether it is the same attempt as the one above, with another value. Asked of the delivery itself: where an ESM and a CJS copy of
   * the library meet in a pipeline, each has a `PASS` of its own.
   */
  get passes(): boolean {
    return this.op === PASS;
  }

  ack(): void {
    this.settle('done');
  }

  nack(reason?: unknown, options?: NackOptions): void {
    const delayMs = options?.delayMs;
    this.fail(reason, typeof delayMs === 'number' && delayMs >= 0 ? timerMs(delayMs) : -1);
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

  /** Of a batch, or of an attempt at one: what it was made of, one a value. */
  get members(): readonly DeliveryNode[] {
    return batchOf(this)?.members ?? [];
  }

  /** Acks the members that are not named, then nacks. */
  nackOnly(named: readonly unknown[], reason?: unknown, options?: NackOptions): void {
    const batch = batchOf(this);
    const others = batch === null || batch.forked || isSettled(this) ? null : othersThan(named, batch.members);
    if (batch === null || others === null) {
      this.nack(reason, options);
      return;
    }
    batch.op.settleSome?.(batch.node, others);
    if (isNothingLeft(this)) this.settle('done');
    else this.nack(reason, options);
  }

  withValue<U>(value: U): DeliveryNode<U> {
    return new DeliveryNode(value, this.attempt, this, PASS, 0, this.epoch, null);
  }

  /** The same as `withValue`, by an operator of ours that nacks where it fails. */
  withResult<U>(value: U): DeliveryNode<U> {
    return new DeliveryNode(value, this.attempt, this, PASS, WORK, this.epoch, null);
  }

  /** The same batch with some of its members alone. */
  narrowedTo(members: readonly DeliveryNode[]): DeliveryNode {
    const values = members.map(({ value }) => value);
    return new DeliveryNode<unknown>(values, this.attempt, this, PASS, 0, this.epoch, members);
  }

  get root(): DeliveryNode {
    // eslint-disable-next-line @typescript-eslint/no-this-alias -- a walk up the chain starts here
    let node: DeliveryNode = this;
    while (node.up !== null) node = node.up;
    return node;
  }

  get id(): string {
    return idOf(this.epoch, this.root.ref) + partOf(this);
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
  while (node.passes) node = node.up as DeliveryNode;
  return node;
}

/** Whether this attempt is settled by anyone: settled state does not travel down to a `withValue` child. @internal */
export function isSettled(delivery: DeliveryNode): boolean {
  let node = delivery;
  while (node.settled === 0 && node.passes) node = node.up as DeliveryNode;
  return node.settled !== 0;
}

/** Which part of its message it is: `/3` for the fourth, `/3/0` for the first of that one, empty for the whole. @internal */
export function partOf(delivery: DeliveryNode): string {
  let part = '';
  for (let node = delivery; node.up !== null; node = node.up) {
    if (node.op.splits === true) part = `/${node.slot}${part}`;
  }
  return part;
}

/** @internal */
export interface BatchAbove {
  /** Where its members were last told: the batch itself, or what `narrowedTo` made of it. */
  readonly node: DeliveryNode;
  readonly members: readonly DeliveryNode[];
  readonly op: SettlementHook;
  /** Something on the way made several deliveries of it. */
  readonly forked: boolean;
}

/**
 * Whether a value was made on the way down by something whose nacks nobody above answers; `null` where somebody does.
 * @internal
 */
export function isWorkUnanswered(delivery: DeliveryNode): boolean | null {
  let isWork = false;
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    if (node.op.answers === true) return null;
    isWork ||= node.passes && node.slot === WORK;
  }
  return isWork;
}

/** The nearest batch on the way back. A walk, so for what is not on the hot path. @internal */
export function batchOf(delivery: DeliveryNode): BatchAbove | null {
  let told: DeliveryNode | null = null;
  let forked = false;
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    if (node.op.settleSome !== undefined) {
      told ??= node;
      return { node: told, members: told.ref as readonly DeliveryNode[], op: node.op, forked };
    }
    if (node.passes && node.ref !== null) told ??= node;
    forked ||= node.op.forks === true;
  }
  return null;
}

// `null` where something is named that is no member: then nothing may count as done.
function othersThan(named: readonly unknown[], members: readonly DeliveryNode[]): DeliveryNode[] | null {
  const attempts = new Set<DeliveryNode>();
  for (const name of named) {
    if (!isDeliveryNode(name)) return refuseNames(members);
    attempts.add(attemptOf(name));
  }
  const others = members.filter((member) => !attempts.has(attemptOf(member)));
  return others.length + attempts.size === members.length ? others : refuseNames(members);
}

function refuseNames(members: readonly DeliveryNode[]): null {
  const [first] = members;
  if (first === undefined) return null;
  notify(first.epoch.session, {
    type: 'misuse',
    code: 'no-member',
    message: 'nackOnly() was given something that is no member of the batch, so all of its members are nacked.',
  });
  return null;
}

/** Whether all members of a batch are settled, each by itself. @internal */
export function isNothingLeft(delivery: DeliveryNode): boolean {
  const batch = batchOf(delivery);
  return batch !== null && batch.members.every(isSettled);
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
  // eslint-disable-next-line no-restricted-syntax -- the fast way: one copy is the rule
  if (value instanceof DeliveryNode) return true;
  return typeof value === 'object' && value !== null && (value as { [BRAND]?: unknown })[BRAND] === true;
}
