import type { PublishCall } from '../../core/publish-call.js';
import type { PubSubOutgoing } from './pubsub-outgoing.js';

/** One call of `publish`. @internal */
export interface NumberedCall extends PublishCall {
  /** Counts the calls of a connection. */
  readonly serial: number;
}

/** A message on its way. @internal */
export interface Entry {
  readonly outgoing: PubSubOutgoing;
  readonly call: NumberedCall;
  readonly index: number;
  /** The one behind it in its lane. */
  next: Entry | null;
}

/** Messages of one ordering key that are not sent yet, or those that have none. */
interface Lane {
  readonly key: string | null;
  head: Entry | null;
  tail: Entry | null;
  /** What is in it, and how much; with what nobody waits for any more. */
  count: number;
  bytes: number;
  /** What is sent or rests. */
  readonly out: Set<Parcel>;
  /** Until when it waits for more, in milliseconds. */
  dueAt: number;
}

/** Messages of one lane that go in one request. @internal */
export interface Parcel {
  readonly lane: Lane;
  /** Those that are not answered yet. */
  entries: readonly Entry[];
  failures: number;
  /** When it first failed. */
  failedAt: number;
}

/** @internal */
export interface LanesOptions {
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  readonly lingerMs: number;
}

// Enough to keep a connection busy; with more of them, requests are less full.
const MOST_OUT_WITHOUT_KEY = 4;

/**
 * What waits to be sent, by ordering key: all messages of a request have the same, and one request of a key is out at a
 * time, so that what fails is sent again before what stands behind it. Lanes take turns.
 * @internal
 */
export function createLanes({ maxBatch, maxBatchBytes, lingerMs }: LanesOptions) {
  const lanes = new Map<string | null, Lane>();
  // Those with something to send, by turn.
  const ready = new Set<Lane>();
  // Those that wait for more; all for the same time, so the first is due first.
  const lingering = new Set<Lane>();
  // What failed and has waited.
  const again = new Set<Parcel>();

  const hasRoom = ({ key, out }: Lane): boolean => out.size < (key === null ? MOST_OUT_WITHOUT_KEY : 1);

  const isFull = ({ count, bytes }: Lane): boolean => count >= maxBatch || bytes >= maxBatchBytes;

  const makeReady = (lane: Lane): void => {
    lingering.delete(lane);
    ready.add(lane);
  };

  // What gathered behind a request has waited long enough.
  const settle = (lane: Lane): void => {
    if (lane.head !== null) {
      if (hasRoom(lane)) makeReady(lane);
      return;
    }
    ready.delete(lane);
    lingering.delete(lane);
    if (lane.out.size === 0) lanes.delete(lane.key);
  };

  const pop = (lane: Lane): Entry => {
    const entry = lane.head as Entry;
    lane.head = entry.next;
    lane.count--;
    lane.bytes -= entry.outgoing.bytes;
    return entry;
  };

  // What is over by now is left out; `null` where nothing else is left.
  const take = (lane: Lane): Parcel | null => {
    const entries: Entry[] = [];
    let bytes = 0;
    for (let { head } = lane; head !== null; head = lane.head) {
      if (!head.call.over) {
        bytes += head.outgoing.bytes;
        if (entries.length === maxBatch || (entries.length > 0 && bytes > maxBatchBytes)) break;
        entries.push(head);
      }
      pop(lane);
    }
    ready.delete(lane);
    const parcel = entries.length === 0 ? null : { lane, entries, failures: 0, failedAt: 0 };
    if (parcel !== null) lane.out.add(parcel);
    settle(lane);
    return parcel;
  };

  const free = (parcel: Parcel): void => {
    parcel.lane.out.delete(parcel);
    settle(parcel.lane);
  };

  return {
    add: (outgoing: PubSubOutgoing, call: NumberedCall, index: number, now: number): void => {
      const { key } = outgoing;
      let lane = lanes.get(key);
      if (lane === undefined) {
        lane = { key, head: null, tail: null, count: 0, bytes: 0, out: new Set(), dueAt: 0 };
        lanes.set(key, lane);
      }
      const entry: Entry = { outgoing, call, index, next: null };
      if (lane.head === null) lane.head = entry;
      else (lane.tail as Entry).next = entry;
      lane.tail = entry;
      lane.count++;
      lane.bytes += outgoing.bytes;
      if (!hasRoom(lane) || ready.has(lane)) return;
      if (lingerMs === 0 || isFull(lane)) makeReady(lane);
      else if (!lingering.has(lane)) {
        lane.dueAt = now + lingerMs;
        lingering.add(lane);
      }
    },

    /** What the next request carries, or `null`; `hurried`, what waits for more as well. */
    next: (now: number, hurried: boolean): Parcel | null => {
      for (const parcel of again) {
        again.delete(parcel);
        parcel.entries = parcel.entries.filter(isLive);
        if (parcel.entries.length > 0) return parcel;
        free(parcel);
      }
      for (const lane of lingering) {
        if (lane.dueAt > now && !hurried) break;
        makeReady(lane);
      }
      for (const lane of ready) {
        const parcel = take(lane);
        if (parcel !== null) return parcel;
      }
      return null;
    },

    /** How long the next request waits for more messages, in milliseconds; `null` where there is none. */
    waitMs: (now: number): number | null => {
      if (again.size > 0 || ready.size > 0) return 0;
      for (const { dueAt } of lingering) return Math.max(0, dueAt - now);
      return null;
    },

    /** Goes with the next request. */
    retry: (parcel: Parcel): void => void again.add(parcel),

    /** The parcel is answered or given up: its lane goes on. */
    free,

    /** Takes out what waits behind a parcel that is given up; its lane begins anew. */
    drop: (parcel: Parcel): readonly Entry[] => {
      const { lane } = parcel;
      const dropped: Entry[] = [];
      if (lane.key !== null) while (lane.head !== null) dropped.push(pop(lane));
      free(parcel);
      return dropped.filter(isLive);
    },

    /** These calls, and those with a message behind one of theirs of the same key; as they came. */
    withThoseBehind: (calls: Iterable<NumberedCall>): readonly NumberedCall[] => {
      const all = new Set(calls);
      let size = 0;
      while (size !== all.size) {
        size = all.size;
        for (const lane of lanes.values()) {
          if (lane.key === null) continue;
          let lost = false;
          const pass = ({ call }: Entry): void => {
            lost ||= all.has(call);
            if (lost && !call.over) all.add(call);
          };
          for (const { entries } of lane.out) entries.forEach(pass);
          for (let entry = lane.head; entry !== null; entry = entry.next) pass(entry);
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

/** Somebody waits for it. @internal */
export function isLive({ call }: Entry): boolean {
  return !call.over;
}
