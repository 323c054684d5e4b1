import { giveUpOn } from './at-once.js';
import type { DeliveryNode } from './delivery-node.js';
import { SluiceError } from './errors.js';
import { permanent } from './failures.js';
import { kindOf } from './kind-of.js';
import { KEPT, LaneStates } from './lane-states.js';
import { RingQueue } from './ring-queue.js';
import { hashWords, secretHashOf } from './secret-hash.js';

/** The message that a lane waits for. @internal */
export interface KeptLane {
  readonly slot: number;
  /**
   * Several deliveries were made of the message, as `fanOut` does, and it comes again as a whole: the lane is its own until it is
   * settled. Otherwise the lane is its own until it is back.
   */
  readonly whole: boolean;
  /** Stops listening to what becomes of the message. */
  readonly unlisten: () => void;
}

/** The keys of one partition, hashed to lanes: 3 × faster than a Map of strings. @internal */
export interface Lanes {
  readonly states: LaneStates;
  /** The deliveries that wait for their turn, by lane. */
  waiting: Map<number, RingQueue<DeliveryNode>>;
  /** Which messages a lane waits for: mostly one. */
  kept: Map<number, KeptLane[]>;
}

// Lanes in which nobody waits take no memory: each of thousands of partitions has its lanes. Never written to.
const NONE = new Map<number, never>();

/** @internal */
export function createLanes(): Lanes {
  return { states: new LaneStates(), waiting: NONE, kept: NONE };
}

/** The lane of a key; throws for what cannot be one. @internal */
export function laneOf(key: unknown): number {
  // `instanceof` walks the prototypes of a Buffer for each message.
  if (typeof key === 'string' || ArrayBuffer.isView(key)) return secretHashOf(key as Uint8Array, hashWords());
  if (typeof key === 'number' && !Number.isNaN(key)) return secretHashOf(String(key), hashWords());
  giveUpOn(key);
  throw permanent(
    new SluiceError('invalid-key', `ordered: a key must be text, bytes or a number, not ${kindOf(key)}.`),
  );
}

/** The answer is true for the first that waits in the lane. @internal */
export function waitIn(lanes: Lanes, lane: number, delivery: DeliveryNode): boolean {
  const queue = lanes.waiting.get(lane) ?? new RingQueue<DeliveryNode>();
  queue.push(delivery);
  if (queue.length > 1) return false;
  if (lanes.waiting === NONE) lanes.waiting = new Map();
  lanes.waiting.set(lane, queue);
  return true;
}

/**
 * Whether a message may have a lane in which nothing is out. One that the lane waits for may, and so may an older one: if
 * that waited for a younger one, which waits for it in another lane, neither would ever end.
 * @internal
 */
export function mayPass({ kept }: Lanes, lane: number, slot: number): boolean {
  return kept.get(lane)?.every((each) => slot <= each.slot) ?? true;
}

/** Takes out the next one of those that wait, where there is one that may pass. @internal */
export function nextOf(lanes: Lanes, lane: number): DeliveryNode | undefined {
  const queue = lanes.waiting.get(lane);
  if (queue === undefined) return undefined;
  let found = false;
  const passes = (delivery: DeliveryNode): boolean => !found && (found = mayPass(lanes, lane, delivery.root.slot));
  const next = lanes.kept.has(lane) ? queue.extract(passes)[0] : queue.shift();
  if (queue.length === 0) lanes.waiting.delete(lane);
  return next;
}

/** @internal */
export function keep(lanes: Lanes, lane: number, message: KeptLane): void {
  lanes.states.set(lane, KEPT);
  if (lanes.kept === NONE) lanes.kept = new Map();
  const messages = lanes.kept.get(lane);
  if (messages === undefined) lanes.kept.set(lane, [message]);
  else messages.push(message);
}

/** The lane waits no more for a message. @internal */
export function endKeep({ kept }: Lanes, lane: number, message: KeptLane): void {
  message.unlisten();
  const others = kept.get(lane)?.filter((each) => each !== message) ?? [];
  if (others.length === 0) kept.delete(lane);
  else kept.set(lane, others);
}
