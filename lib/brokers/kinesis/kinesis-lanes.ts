import type { PublishCall } from '../../core/publish-call.js';
import type { KinesisEntryLike } from './kinesis-client.js';
import type { KinesisOutgoing } from './kinesis-outgoing.js';

/** One call of `publish`. @internal */
export interface NumberedCall extends PublishCall {
  /** Counts the calls of a connection. */
  readonly serial: number;
  /** When it came, in milliseconds. */
  readonly at: number;
}

/** A message on its way. @internal */
export interface Entry {
  readonly outgoing: KinesisOutgoing;
  readonly call: NumberedCall;
  readonly index: number;
  /** The one behind it in its lane. */
  next: Entry | null;
}

/** Messages that are not sent yet: those of one key, as a rule. */
interface Lane {
  readonly key: string | null;
  readonly ordered: boolean;
  head: Entry | null;
  tail: Entry | null;
  /** What is in it, and how much. */
  count: number;
  bytes: number;
  /** In order only one record is out at a time. */
  out: Parcel | null;
}

/** Messages of a lane that go in one record. @internal */
export interface Run {
  readonly entries: readonly Entry[];
  /** What the record takes of a request. */
  readonly bytes: number;
  readonly isAggregate: boolean;
  readonly record: () => KinesisEntryLike;
}

/** A record on its way, and the messages in it. @internal */
export interface Parcel {
  readonly lane: Lane;
  readonly entries: readonly Entry[];
  readonly bytes: number;
  readonly isAggregate: boolean;
  readonly record: KinesisEntryLike;
  failures: number;
  /** When it first failed. */
  failedAt: number;
}

/** How messages become records. @internal */
export interface Packing {
  /** Which lane a message waits in; `null` for one whose order is nobody's. */
  readonly laneOf: (outgoing: KinesisOutgoing) => string | null;
  /** From the first message of a lane on: those that go in one record. */
  readonly runOf: (first: Entry) => Run;
  /** Up to how many bytes messages share a record: 0 where they do not. */
  readonly sharedBytes: number;
}

/** @internal */
export interface LanesOptions {
  readonly packing: Packing;
  readonly preserveOrder: boolean;
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  readonly lingerMs: number;
}

/**
 * What waits to be sent, key by key. Kinesis may refuse any record of a request and store the later ones, so a message
 * whose predecessor is not confirmed stays here. Lanes take turns: a hot key does not hold up the others.
 * @internal
 */
export function createLanes({ packing, preserveOrder, maxBatch, maxBatchBytes, lingerMs }: LanesOptions) {
  const { laneOf, runOf, sharedBytes } = packing;
  const lanes = new Map<string | null, Lane>();
  // Those with something to send, and nothing out that must come first; by turn.
  const ready = new Set<Lane>();
  // What failed and has waited.
  const again = new Set<Parcel>();

  const advance = (lane: Lane, to: Entry | null): void => {
    for (let entry = lane.head; entry !== null && entry !== to; entry = entry.next) {
      lane.count--;
      lane.bytes -= entry.outgoing.bytes;
    }
    lane.head = to;
  };

  // What is over by now is left out where it is met.
  const headOf = (lane: Lane): Entry | null => {
    const live = nextLive(lane.head);
    if (live !== lane.head) advance(lane, live);
    return live;
  };

  const settle = (lane: Lane): void => {
    if (lane.out !== null) return;
    if (headOf(lane) !== null) ready.add(lane);
    else {
      ready.delete(lane);
      lanes.delete(lane.key);
    }
  };

  const take = (lane: Lane, { entries, bytes, isAggregate, record }: Run): Parcel => {
    const parcel = { lane, entries, bytes, isAggregate, record: record(), failures: 0, failedAt: 0 };
    advance(lane, (entries.at(-1) as Entry).next);
    ready.delete(lane);
    if (lane.ordered) lane.out = parcel;
    settle(lane);
    return parcel;
  };

  // What a lane would give to a request that has room for all of it; nearly, since packing it is dear.
  const offerOf = (
    { ordered, count, bytes }: Lane,
    head: Entry,
  ): { readonly records: number; readonly bytes: number } => {
    if (ordered) return { records: 1, bytes: sharedBytes === 0 ? head.outgoing.bytes : Math.min(bytes, sharedBytes) };
    return { records: sharedBytes === 0 ? count : Math.ceil(bytes / sharedBytes), bytes };
  };

  const free = ({ lane }: Parcel): void => {
    if (!lane.ordered) return;
    lane.out = null;
    settle(lane);
  };

  return {
    add: (outgoing: KinesisOutgoing, call: NumberedCall, index: number): void => {
      const key = laneOf(outgoing);
      const entry: Entry = { outgoing, call, index, next: null };
      let lane = lanes.get(key);
      if (lane === undefined) {
        const ordered = preserveOrder && key !== null;
        lane = { key, ordered, head: null, tail: null, count: 0, bytes: 0, out: null };
        lanes.set(key, lane);
      }
      if (lane.head === null) lane.head = entry;
      else (lane.tail as Entry).next = entry;
      lane.tail = entry;
      lane.count++;
      lane.bytes += outgoing.bytes;
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
      let [records, bytes, since] = [0, 0, Infinity];
      for (const lane of ready) {
        const head = headOf(lane);
        if (head === null) settle(lane);
        else {
          const offer = offerOf(lane, head);
          records += offer.records;
          bytes += offer.bytes;
          since = Math.min(since, head.call.at);
          if (records >= maxBatch || bytes >= maxBatchBytes) return 0;
        }
      }
      return records === 0 ? null : Math.max(0, since + lingerMs - now);
    },

    /** Goes with the next request. */
    retry: (parcel: Parcel): void => void again.add(parcel),

    /** The parcel is confirmed or given up: its lane goes on. */
    free,

    /** Takes out what waits behind a parcel that is given up; its lane begins anew. */
    drop: ({ lane }: Parcel): readonly Entry[] => {
      if (!lane.ordered) return [];
      const dropped: Entry[] = [];
      for (let entry = headOf(lane); entry !== null; entry = nextLive(entry.next)) dropped.push(entry);
      advance(lane, null);
      lane.out = null;
      settle(lane);
      return dropped;
    },

    /** These calls, and those with a message behind one of theirs in a lane that keeps its order; as they came. */
    withThoseBehind: (calls: Iterable<NumberedCall>): readonly NumberedCall[] => {
      const all = new Set(calls);
      let size = 0;
      while (size !== all.size) {
        size = all.size;
        for (const lane of lanes.values()) {
          if (!lane.ordered) continue;
          let lost = false;
          const pass = ({ call }: Entry): void => {
            lost ||= all.has(call);
            if (lost && !call.over) all.add(call);
          };
          lane.out?.entries.forEach(pass);
          for (let entry = headOf(lane); entry !== null; entry = nextLive(entry.next)) pass(entry);
        }
      }
      return [...all].sort(inTheirOrder);
    },
  };
}

/** @internal */
export function inTheirOrder(left: NumberedCall, right: NumberedCall): number {
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
