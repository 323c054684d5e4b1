import { deque, type Deque } from './deque.js';
import type { Entry, Lane, Taker } from './entry.js';

/** The ordering keys of a subscription: each has its messages out with one taker at a time, in order. */
export interface Lanes {
  lane(key: string): Lane;
  /** A message was added, or the lane may go on. */
  offer(lane: Lane): void;
  /** The next message of a key that this taker has, or of one that nobody has. */
  nextOwn(taker: Taker): Entry | undefined;
  nextFree(taker: Taker): Entry | undefined;
  /** A delivered message is acked. */
  settle(lane: Lane): void;
  /** A delivered message leaves the lane. */
  remove(lane: Lane, entry: Entry): void;
  /** This message and all that were delivered after it are to be delivered again; answers with those after it. */
  rewind(lane: Lane, entry: Entry, readyAt: number): Entry[];
  /** This taker takes no more. */
  forget(taker: Taker): void;
  clear(): void;
}

const COMPACT_AT = 512;

export function lanes(): Lanes {
  const byKey = new Map<string, Lane>();
  const free = deque<Lane>();
  const owned = new Map<Taker, Deque<Lane>>();

  const offer = (lane: Lane): void => {
    if (lane.queued || lane.next === lane.entries.length || lane.readyAt > 0) return;
    const queue = lane.owner === undefined ? free : owned.get(lane.owner);
    if (queue === undefined) return;
    lane.queued = true;
    queue.push(lane);
  };
  /** Its owner has one message less; without any the key is free again. */
  const letGo = (lane: Lane, count: number): void => {
    lane.leased -= count;
    if (lane.leased === 0) {
      lane.owner = undefined;
      // Where it stands in the queue of its owner, that one passes over it.
      lane.queued = false;
      if (lane.head === lane.entries.length) byKey.delete(lane.key);
    }
    offer(lane);
  };
  const moveHead = (lane: Lane): void => {
    while (lane.head < lane.next && lane.entries[lane.head]?.acked === true) lane.head++;
    if (lane.head < COMPACT_AT) return;
    lane.entries.splice(0, lane.head);
    lane.next -= lane.head;
    lane.head = 0;
  };
  const take = (queue: Deque<Lane>, taker: Taker): Entry | undefined => {
    for (let lane = queue.shift(); lane !== undefined; lane = queue.shift()) {
      if (!lane.queued || (lane.owner !== undefined && lane.owner !== taker)) continue;
      lane.queued = false;
      const entry = lane.entries[lane.next];
      if (entry === undefined || lane.readyAt > 0) continue;
      lane.next++;
      lane.leased++;
      lane.owner = taker;
      if (!owned.has(taker)) owned.set(taker, deque());
      offer(lane);
      return entry;
    }
    return undefined;
  };

  return {
    lane: (key) => {
      const known = byKey.get(key);
      if (known !== undefined) return known;
      const lane: Lane = { key, entries: [], head: 0, next: 0, owner: undefined, leased: 0, readyAt: 0, queued: false };
      byKey.set(key, lane);
      return lane;
    },
    offer,
    nextOwn: (taker) => {
      const queue = owned.get(taker);
      return queue && take(queue, taker);
    },
    nextFree: (taker) => take(free, taker),
    settle: (lane) => {
      moveHead(lane);
      letGo(lane, 1);
    },
    remove: (lane, entry) => {
      lane.entries.splice(lane.entries.indexOf(entry, lane.head), 1);
      lane.next--;
      moveHead(lane);
      letGo(lane, 1);
    },
    rewind: (lane, entry, readyAt) => {
      const from = lane.entries.indexOf(entry, lane.head);
      const later = lane.entries.slice(from + 1, lane.next);
      lane.next = from;
      lane.readyAt = readyAt;
      letGo(lane, 1 + later.filter(({ lease }) => lease !== undefined).length);
      return later;
    },
    forget: (taker) => void owned.delete(taker),
    clear: () => {
      byKey.clear();
      free.clear();
      owned.clear();
    },
  };
}
