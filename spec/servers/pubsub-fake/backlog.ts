import { deque } from './deque.js';
import type { Entry, PubsubMessage, Taker } from './entry.js';
import { lanes } from './lanes.js';

/** The messages of a subscription, in the order in which they may be delivered. */
export interface Backlog {
  /** All that is not acked, leased ones included. */
  readonly size: number;
  add(message: PubsubMessage): void;
  /** The next message that this taker may have. */
  next(taker: Taker): Entry | undefined;
  /** This taker takes no more; of the keys that it has, nobody gets any until its messages are settled. */
  forget(taker: Taker): void;
  /** A delivered message is acked. */
  settle(entry: Entry): void;
  /** A delivered message is in the subscription no more. */
  remove(entry: Entry): void;
  /**
   * A delivered message is to be delivered again, not before a time (0: at once). Of an ordering key, all that were
   * delivered after it are too, acked or not; answers with those.
   */
  putBack(entry: Entry, readyAt: number): readonly Entry[];
  /** Lets those go whose time has come, and answers with the time of the next one. */
  release(now: number): number;
  clear(): void;
}

/** A backlog; one that is ordered keeps the order of each key. */
export function backlog(ordered: boolean): Backlog {
  const fresh = deque<Entry>();
  const again = deque<Entry>();
  const keys = lanes();
  const parked = new Set<{ readonly readyAt: number; readonly go: () => void }>();
  // In turns, so that neither what comes again nor a busy key keeps the others back.
  const sources = [() => again.shift(), () => fresh.shift(), keys.nextOwn, keys.nextFree];
  let turn = 0;
  let size = 0;

  return {
    get size() {
      return size;
    },
    add: (message) => {
      const key = ordered ? (message.orderingKey ?? '') : '';
      const lane = key === '' ? undefined : keys.lane(key);
      const { messageId, data } = message;
      const bytes = data?.length ?? 0;
      const entry: Entry = { message, id: messageId ?? '', bytes, failures: 0, acked: false, lease: undefined, lane };
      size++;
      if (lane === undefined) {
        fresh.push(entry);
      } else {
        lane.entries.push(entry);
        keys.offer(lane);
      }
    },
    next: (taker) => {
      const first = turn++;
      for (let index = 0; index < sources.length; index++) {
        const entry = sources[(first + index) % sources.length]?.(taker);
        if (entry !== undefined) return entry;
      }
      return undefined;
    },
    forget: keys.forget,
    settle: (entry) => {
      entry.acked = true;
      size--;
      if (entry.lane !== undefined) keys.settle(entry.lane);
    },
    remove: (entry) => {
      size--;
      if (entry.lane !== undefined) keys.remove(entry.lane, entry);
    },
    putBack: (entry, readyAt) => {
      const { lane } = entry;
      if (lane === undefined) {
        if (readyAt === 0) again.push(entry);
        else parked.add({ readyAt, go: () => again.push(entry) });
        return [];
      }
      const later = keys.rewind(lane, entry, readyAt);
      for (const one of later) {
        if (one.acked) size++;
        one.acked = false;
      }
      const go = (): void => {
        if (lane.readyAt !== readyAt) return;
        lane.readyAt = 0;
        keys.offer(lane);
      };
      if (readyAt > 0) parked.add({ readyAt, go });
      return later;
    },
    release: (now) => {
      let next = Infinity;
      for (const wait of parked) {
        if (wait.readyAt > now) {
          next = Math.min(next, wait.readyAt);
        } else {
          parked.delete(wait);
          wait.go();
        }
      }
      return next;
    },
    clear: () => {
      for (const part of [fresh, again, keys, parked]) part.clear();
      size = 0;
    },
  };
}
