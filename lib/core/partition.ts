import type { Subscription } from 'rxjs';
import { retire } from './assignment.js';
import { noteLow } from './demand.js';
import type { DeliveryNode } from './delivery-node.js';
import { RingQueue } from './ring-queue.js';
import type { Session } from './session.js';
import type { Window } from './window.js';

/** A partition by name: a number in Kafka, a shard's name in Kinesis, a subscription's in Pub/Sub. @public */
export interface PartitionRef {
  /** The topic's or stream's name. */
  readonly topic: string;
  /** The partition's number or name in it. */
  readonly partition: number | string;
}

/** How many of a batch's members come from one partition. @internal */
export interface Share {
  readonly partition: Partition;
  readonly members: number;
}

/** Records as one push brought them: their bytes are freed together, since brokers slice them from one buffer. @internal */
export interface Chunk {
  readonly records: readonly unknown[];
  readonly bytes: number;
}

/**
 * One assignment of a partition: an epoch. All state of its deliveries hangs on this object, so that closing it voids
 * what is still out (I5); the same partition assigned again is another object.
 * @internal
 */
export interface Partition extends PartitionRef {
  readonly session: Session;
  /** False from the start of a revoke on: nothing new may be started (I4). */
  live: boolean;
  /** Settlements mean nothing any more (I5). */
  closed: boolean;
  /** The start position is not durable yet: nothing may be emitted (I10). */
  gated: boolean;
  /** The adapter was asked to stop reading. */
  paused: boolean;
  /** The watermark moved since the last commit. */
  dirty: boolean;
  /** Where the watermark was at the last commit, as a slot. */
  committed: number;
  /** Emitted and unsettled, those that wait for a retry included. */
  out: number;
  /** Its part of the session's `parts`. */
  parts: number;
  /** Units that our operators hold. */
  held: number;
  /** Held behind a key or for a retry: what the fairness rule bounds. */
  blocked: number;
  /** It is in the session's `givers`, behind and before these. */
  hasTurn: boolean;
  before: Partition | null;
  after: Partition | null;
  /** It is in the session's `retriers`. */
  hasRetries: boolean;
  /** Fetched and not emitted, in records and in bytes. */
  pending: number;
  pendingBytes: number;
  /** On their way, in bytes, as the adapter says. */
  reservedBytes: number;
  readonly chunks: RingQueue<Chunk>;
  /** The next record in the first chunk. */
  cursor: number;
  /** Retries that are due. */
  readonly ready: RingQueue<DeliveryNode>;
  /** Deliveries that wait for a retry, by the timer that ends the wait; made on first use. */
  parked: Map<Subscription, DeliveryNode> | null;
  /** The watermark of a log; a queue broker has none. */
  readonly window: Window | null;
  /** Where there is no window: the slot of what is emitted next, which names a root and nothing else. */
  nextSlot: number;
  /** Whoever asked for an abort signal; made on first use. */
  signals: Map<DeliveryNode, AbortController> | null;
  /** Told when the epoch closes; made on first use. */
  closeListeners: Set<() => void> | null;
  /** Told when a slot does not come again; made on first use. */
  slotListeners: Map<number, Set<SlotListener>> | null;
  /** Set by a revoke: runs in the pump once nothing is out any more. */
  finishDrain: (() => void) | null;
  /** Only of the epoch of a batch, which stands for those of its members: what they are. */
  readonly shares: readonly Share[] | null;
}

/** @internal */
export function createPartition(
  session: Session,
  ref: PartitionRef,
  window: Window | null,
  shares: readonly Share[] | null = null,
): Partition {
  return {
    // First what each settlement looks at: with thousands of partitions that is a matter of how many cache lines it takes.
    session,
    pending: 0,
    out: 0,
    blocked: 0,
    hasTurn: false,
    before: null,
    after: null,
    chunks: new RingQueue(),
    cursor: 0,
    window,
    live: true,
    closed: false,
    gated: false,
    paused: false,
    dirty: false,
    committed: 0,
    pendingBytes: 0,
    finishDrain: null,
    slotListeners: null,
    signals: null,
    shares,
    nextSlot: 0,
    topic: ref.topic,
    partition: ref.partition,
    parts: 0,
    held: 0,
    hasRetries: false,
    reservedBytes: 0,
    ready: new RingQueue(),
    parked: null,
    closeListeners: null,
  };
}

/** The name alone, to hand out. @internal */
export function refOf({ topic, partition }: Partition): PartitionRef {
  return { topic, partition };
}

/** What names a message for good: `orders/3/1042`. @internal */
export function idOf({ topic, partition, session }: Partition, record: unknown): string {
  return `${topic}/${partition}/${session.shape.positionText(record)}`;
}

/**
 * The news of a slot. `settled`: it is settled for good. `gone`: it was let go, so that its message comes again elsewhere. `waits`: it
 * is here, and held until another message is settled.
 * @internal
 */
export type SlotNews = 'settled' | 'gone' | 'waits';

/** @internal */
export type SlotListener = (news: SlotNews) => void;

/** Calls back until the slot is settled or gone; the answer takes the listener away again. @internal */
export function onSlotNews(partition: Partition, slot: number, listener: SlotListener): () => void {
  const slots = (partition.slotListeners ??= new Map<number, Set<SlotListener>>());
  const listeners = slots.get(slot) ?? new Set<SlotListener>();
  slots.set(slot, listeners.add(listener));
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0 && slots.get(slot) === listeners) slots.delete(slot);
  };
}

/** @internal */
export function tellSlotListeners({ slotListeners }: Partition, slot: number, news: SlotNews): void {
  const listeners = slotListeners?.get(slot);
  if (listeners === undefined) return;
  if (news !== 'waits') slotListeners?.delete(slot);
  for (const listener of [...listeners]) listener(news);
}

/** Calls back when the epoch closes; the answer takes the listener away again. @internal */
export function onEpochClose(partition: Partition, listener: () => void): () => void {
  const listeners = (partition.closeListeners ??= new Set<() => void>());
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

/** Takes out everything that was fetched and not emitted; the answer is what it was. @internal */
export function dropPending(partition: Partition): unknown[] {
  const { session, cursor } = partition;
  session.givers.remove(partition);
  if (partition.pending > 0 && !partition.gated) session.backlog--;
  session.pendingBytes -= partition.pendingBytes;
  partition.pending = 0;
  partition.pendingBytes = 0;
  partition.cursor = 0;
  return partition.chunks
    .drain()
    .flatMap(({ records }) => records)
    .slice(cursor);
}

/** The record that is to be emitted next, or `null`. @internal */
export function nextOf({ chunks, cursor, pending }: Partition): unknown {
  return pending === 0 ? null : (chunks.peek() as Chunk).records[cursor];
}

/** How many bytes are on their way to the partition, instead of what was said before. @internal */
export function reserve(partition: Partition, bytes: number): void {
  if (partition.closed) return;
  partition.session.reservedBytes += bytes - partition.reservedBytes;
  partition.reservedBytes = bytes;
}

/** Takes some of what was fetched and not emitted out of it; the answer is what they are, in their order. @internal */
export function takePending(partition: Partition, matches: (record: unknown) => boolean): unknown[] {
  if (partition.pending === 0) return [];
  const { session, chunks } = partition;
  const taken: unknown[] = [];
  for (const chunk of chunks.drain()) {
    const left: unknown[] = [];
    let freed = 0;
    for (const record of chunk.records.slice(partition.cursor)) {
      if (!matches(record)) {
        left.push(record);
        continue;
      }
      taken.push(record);
      freed += session.shape.bytes(record);
    }
    partition.cursor = 0;
    const bytes = left.length === 0 ? 0 : chunk.bytes - freed;
    partition.pendingBytes -= chunk.bytes - bytes;
    session.pendingBytes -= chunk.bytes - bytes;
    if (left.length > 0) chunks.push({ records: left, bytes });
  }
  partition.pending -= taken.length;
  if (partition.pending === 0) session.backlog--;
  noteLow(partition);
  return taken;
}

/** Takes back what waits for a retry, timers included; the answer is what it was, still counted as out. @internal */
export function takeParked(partition: Partition): DeliveryNode[] {
  const parked = [...(partition.parked ?? [])];
  const waiting = [...parked.map(([, delivery]) => delivery), ...partition.ready.drain()];
  for (const [timer] of parked) timer.unsubscribe();
  partition.parked = null;
  partition.held -= waiting.length;
  partition.blocked -= waiting.length;
  partition.session.held -= waiting.length;
  return waiting;
}

/** A root delivery is out no more. @internal */
export function giveBackCredit(partition: Partition): void {
  const { session } = partition;
  session.inFlight--;
  if (--partition.out === 0 && partition.finishDrain !== null) session.drained.push(partition);
  wake(partition);
}

/** Something is freed that may have stopped the partition, its span or what is blocked of it: it gets a turn. @internal */
export function wake(partition: Partition): void {
  if (partition.pending > 0) partition.session.givers.add(partition);
}

/** A retry is due. @internal */
export function addRetry(delivery: DeliveryNode): void {
  const { epoch } = delivery;
  epoch.ready.push(delivery);
  if (epoch.hasRetries) return;
  epoch.hasRetries = true;
  epoch.session.retriers.push(epoch);
}

/**
 * Ends the epoch: from here on its settlements are void, and what waits in it is dropped with its timers (I5, I8).
 * To be called corked.
 * @internal
 */
export function closePartition(partition: Partition): void {
  if (partition.closed) return;
  const { session } = partition;
  dropPending(partition);
  reserve(partition, 0);
  takeParked(partition);
  partition.live = false;
  partition.closed = true;
  partition.finishDrain = null;
  partition.slotListeners = null;
  session.inFlight -= partition.out;
  session.parts -= partition.parts;
  session.held -= partition.held;
  retire(partition);
  session.draining.delete(partition);
  session.stalls.delete(partition);
  const { signals, closeListeners } = partition;
  partition.signals = null;
  partition.closeListeners = null;
  for (const controller of signals?.values() ?? []) controller.abort();
  for (const listener of closeListeners ?? []) listener();
  for (const operator of [...session.listeners]) operator.onClose?.(partition);
}

/** @internal */
export function remove<T>(list: T[], item: T): void {
  const index = list.indexOf(item);
  if (index >= 0) list.splice(index, 1);
}
