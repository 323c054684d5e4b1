import { giveUpOn } from './at-once.js';
import type { DeliveryNode } from './delivery-node.js';
import { SluiceError } from './errors.js';
import { permanent } from './failures.js';
import { hashOf } from './hash.js';
import { kindOf } from './kind-of.js';
import { RingQueue } from './ring-queue.js';

/** The state of a lane: nothing of it is out. @internal */
export const FREE = 0;
/** A delivery of it is unsettled below. @internal */
export const BUSY = 1;
/** Nothing of it is out, and it waits for a message that comes again. @internal */
export const KEPT = 2;

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

/** The keys of one partition, hashed: 3 × faster than a Map of strings, and of a fixed size. @internal */
export interface Lanes {
  readonly states: Uint8Array;
  /** The deliveries that wait for their turn, by lane. */
  readonly waiting: Map<number, RingQueue<DeliveryNode>>;
  /** Which messages a lane waits for: mostly one. */
  readonly kept: Map<number, KeptLane[]>;
}

const LANES_A_CREDIT = 32;

/** @internal */
export function createLanes(maxInFlight: number): Lanes {
  const lanes = 2 ** Math.ceil(Math.log2(maxInFlight * LANES_A_CREDIT));
  return { states: new Uint8Array(lanes), waiting: new Map(), kept: new Map() };
}

/** The lane of a key; throws for what cannot be one. @internal */
export function laneOf({ states }: Lanes, key: unknown): number {
  const lanes = states.length - 1;
  // `instanceof` walks the prototypes of a Buffer for each message.
  if (typeof key === 'string' || ArrayBuffer.isView(key)) return hashOf(key as Uint8Array) & lanes;
  if (typeof key === 'number' && !Number.isNaN(key)) return hashOf(String(key)) & lanes;
  giveUpOn(key);
  throw permanent(
    new SluiceError('invalid-key', `ordered: a key must be text, bytes or a number, not ${kindOf(key)}.`),
  );
}

/** @internal */
export function waitIn({ waiting }: Lanes, lane: number, delivery: DeliveryNode): void {
  let queue = waiting.get(lane);
  if (queue === undefined) waiting.set(lane, (queue = new RingQueue()));
  queue.push(delivery);
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
export function keep({ states, kept }: Lanes, lane: number, message: KeptLane): void {
  states[lane] = KEPT;
  const messages = kept.get(lane);
  if (messages === undefined) kept.set(lane, [message]);
  else messages.push(message);
}

/** The lane waits no more for a message. @internal */
export function endKeep({ kept }: Lanes, lane: number, message: KeptLane): void {
  message.unlisten();
  const others = kept.get(lane)?.filter((each) => each !== message) ?? [];
  if (others.length === 0) kept.delete(lane);
  else kept.set(lane, others);
}
