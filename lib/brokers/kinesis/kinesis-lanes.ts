import type { PublishOutcome } from '../../core/publisher.js';
import type { KinesisOutgoing } from './kinesis-outgoing.js';

/** One call of `publish`. @internal */
export interface PublishCall {
  /** Counts the calls of a connection. */
  readonly serial: number;
  /** When it came, in milliseconds. */
  readonly at: number;
  readonly outcomes: PublishOutcome[];
  left: number;
  over: boolean;
  readonly done: (outcomes: readonly PublishOutcome[]) => void;
  readonly fail: (error: unknown) => void;
}

/** A message on its way. @internal */
export interface Entry {
  readonly outgoing: KinesisOutgoing;
  readonly call: PublishCall;
  readonly index: number;
  /** The one behind it in its lane. */
  next: Entry | null;
}

/** The messages of one key that are not sent; in order, where that is to be kept. @internal */
export interface Lane {
  readonly key: string | null;
  readonly ordered: boolean;
  head: Entry | null;
  tail: Entry | null;
  /** In order only one record is out at a time. */
  out: Parcel | null;
}

/** One record and the messages in it. @internal */
export interface Parcel {
  readonly lane: Lane;
  readonly entries: readonly Entry[];
  readonly bytes: number;
  failures: number;
  /** When it first failed. */
  failedAt: number;
}

/** What goes in one record together. @internal */
export interface Run {
  readonly entries: readonly Entry[];
  readonly bytes: number;
}

/** @internal */
export interface LanesOptions {
  readonly preserveOrder: boolean;
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  readonly lingerMs: number;
  /** From the first message of a lane on: those that go in one record. */
  readonly runOf: (first: Entry) => Run;
}

/** @internal */
export type KinesisLanes = ReturnType<typeof createLanes>;

/**
 * What waits to be sent, key by key. Kinesis may refuse any record of a request and store the later ones, so a message
 * whose predecessor is not confirmed stays here. Lanes take turns: a hot key does not hold up the others.
 * @internal
 */
export function createLanes({ preserveOrder, maxBatch, maxBatchBytes, lingerMs, runOf }: LanesOptions) {
  const lanes = new Map<string | null, Lane>();
  // Those with something to send, and nothing out that must come first; by turn.
  const ready = new Set<Lane>();
  // What failed and has waited.
  const again = new Set<Parcel>();

  // What is over by now is left out where it is met.
  const headOf = (lane: Lane): Entry | null => (lane.head = nextLive(lane.head));

  const settle = (lane: Lane): void => {
    if (lane.out !== null) return;
    if (headOf(lane) !== null) ready.add(lane);
    else {
      ready.delete(lane);
      lanes.delete(lane.key);
    }
  };

  const take = (lane: Lane, { entries, bytes }: Run): Parcel => {
    const parcel = { lane, entries, bytes, failures: 0, failedAt: 0 };
    lane.head = (entries.at(-1) as Entry).next;
    ready.delete(lane);
    if (lane.ordered) lane.out = parcel;
    settle(lane);
    return parcel;
  };

  const free = ({ lane }: Parcel): void => {
    if (!lane.ordered) return;
    lane.out = null;
    settle(lane);
  };

  return {
    add: (outgoing: KinesisOutgoing, call: PublishCall, index: number): void => {
      const key = outgoing.keyless ? null : outgoing.key;
      const entry: Entry = { outgoing, call, index, next: null };
      let lane = lanes.get(key);
      if (lane === undefined) {
        lane = { key, ordered: preserveOrder && key !== null, head: null, tail: null, out: null };
        lanes.set(key, lane);
      }
      if (lane.head === null) lane.head = entry;
      else (lane.tail as Entry).next = entry;
      lane.tail = entry;
      if (lane.out === null) ready.add(lane);
    },

    /** The records of the next request. */
    next: (): readonly Parcel[] => {
      const parcels: Parcel[] = [];
      let bytes = 0;
      const hasRoom = (more: number): boolean =>
        parcels.length < maxBatch && (parcels.length === 0 || bytes + more <= maxBatchBytes);
      const put = (parcel: Parcel): void => {
        bytes += parcel.bytes;
        parcels.push(parcel);
      };
      for (const parcel of again) {
        if (!hasRoom(parcel.bytes)) return parcels;
        again.delete(parcel);
        if (isOver(parcel)) free(parcel);
        else put(parcel);
      }
      // A lane that is taken from goes to the end, and is met again there.
      for (const lane of ready) {
        const head = headOf(lane);
        if (head === null) settle(lane);
        else {
          const run = runOf(head);
          if (!hasRoom(run.bytes)) break;
          put(take(lane, run));
        }
      }
      return parcels;
    },

    /** How long the next request waits for more messages, in milliseconds; `null` where there is none. */
    waitMs: (now: number): number | null => {
      if (again.size > 0) return 0;
      if (lingerMs === 0) return ready.size === 0 ? null : 0;
      let [count, bytes, since] = [0, 0, Infinity];
      for (const lane of ready) {
        let entry = headOf(lane);
        if (entry === null) settle(lane);
        while (entry !== null) {
          const run = runOf(entry);
          since = Math.min(since, entry.call.at);
          bytes += run.bytes;
          if (++count >= maxBatch || bytes >= maxBatchBytes) return 0;
          entry = lane.ordered ? null : nextLive((run.entries.at(-1) as Entry).next);
        }
      }
      return count === 0 ? null : Math.max(0, since + lingerMs - now);
    },

    /** Goes with the next request. */
    retry: (parcel: Parcel): void => void again.add(parcel),

    /** The parcel is confirmed or given up: its lane goes on. */
    free,

    /** Takes out what waits behind a parcel that is given up; its lane goes on. */
    drop: ({ lane }: Parcel): readonly Entry[] => {
      if (!lane.ordered) return [];
      const dropped: Entry[] = [];
      for (let entry = headOf(lane); entry !== null; entry = nextLive(entry.next)) dropped.push(entry);
      lane.head = null;
      lane.out = null;
      settle(lane);
      return dropped;
    },

    /** These calls, and those with a message behind one of theirs in a lane that keeps its order; as they came. */
    withThoseBehind: (calls: Iterable<PublishCall>): readonly PublishCall[] => {
      const all = new Set(calls);
      let size = 0;
      while (size !== all.size) {
        size = all.size;
        for (const lane of lanes.values()) {
          if (!lane.ordered) continue;
          let lost = lane.out?.entries.some(({ call }) => all.has(call)) ?? false;
          for (let entry = headOf(lane); entry !== null; entry = nextLive(entry.next)) {
            lost ||= all.has(entry.call);
            if (lost) all.add(entry.call);
          }
        }
      }
      return [...all].sort(inTheirOrder);
    },
  };
}

/** @internal */
export function inTheirOrder(left: PublishCall, right: PublishCall): number {
  return left.serial - right.serial;
}

/** Nobody waits for any of its messages any more. @internal */
export function isOver({ entries }: Parcel): boolean {
  return entries.every(({ call }) => call.over);
}

/** The entry, or the first behind it that somebody waits for. @internal */
export function nextLive(entry: Entry | null): Entry | null {
  let live = entry;
  while (live?.call.over) live = live.next;
  return live;
}
