/** How many calls and streams a server of gRPC usually takes of one connection at once; Pub/Sub does. HTTP/2 holds back more, and tells nobody. */
const MOST_STREAMS = 100;

/** How many of them sources may keep open: streams, and pulls, which wait for a first message. */
const MOST_READING = 60;

/** How many stay free of publishes where a source reads: for acks and leases. */
const KEPT_FREE = 20;

/** How many sources read over a client, and how many can. @internal */
export interface ReadingNumbers {
  readonly sources: number;
  readonly most: number;
  /** How many calls and streams the connection takes in all. */
  readonly connection: number;
}

/** A source that reads over the client. @internal */
export interface ReadingOwner {
  /** It may read, over so many streams or pulls, at least one. */
  begin(streams: number): void;
  /** Another source needs one: this one has one less from here on, and never none. */
  lessen(): void;
  /** It waits until another source has ended. */
  full(numbers: ReadingNumbers): void;
}

/** @internal */
export interface ReadingSeat {
  /** Calls `begin`, now or once there is room. */
  take(owner: ReadingOwner): void;
  /** Whether it may have one more, where it has fewer than it wants and others have left some. */
  more(): boolean;
  /** Nothing of it is open any more. */
  leave(): void;
}

/** The room that publishers of a client share. @internal */
export interface PublishRoom {
  /** Takes room for one request. Where there is none, `wake` is called once there is some. */
  take(wake: () => void): boolean;
  /** A request has ended. */
  free(): void;
  /** A publisher that was woken and has nothing to send passes its turn on. */
  pass(): void;
}

/**
 * All that goes over a client's connection at once: without a bound, what stays open leaves no room for the acks that it waits for.
 * @internal
 */
export interface ConcurrentStreams {
  /** A source begins; it reads once it has taken its seat. `wanted`: over how many streams or pulls. */
  join(wanted: number): ReadingSeat;
  readonly publishes: PublishRoom;
}

// Two copies of this library over one client agree by it.
const STATE = Symbol.for('rxsluice.pubsub.concurrent-streams');

/** The one of this client, which it hangs on. @internal */
export function concurrentStreamsOf(client: object): ConcurrentStreams {
  const holder = client as { [STATE]?: ConcurrentStreams };
  if (holder[STATE] === undefined) Object.defineProperty(holder, STATE, { value: createConcurrentStreams() });
  return holder[STATE] as ConcurrentStreams;
}

interface Reader {
  has: number;
  lessen(): void;
}

/** @internal */
export function createConcurrentStreams(): ConcurrentStreams {
  const readers = new Set<Reader>();
  // Sources, in the order in which they came; `true` once it has begun.
  const waiting = new Set<() => boolean>();
  // Publishers, by turn.
  const publishers = new Set<() => void>();
  let reading = 0;
  let publishing = 0;

  // Those that begin together share evenly. One that comes later takes one of the source that has most.
  const grant = (wanted: number): number => {
    const free = MOST_READING - reading;
    if (free > 0) return Math.min(wanted, free, evenShare());
    const [first, ...others] = readers;
    const richest = others.reduce((most, reader) => (reader.has > most.has ? reader : most), first as Reader);
    if (richest.has <= 1) return 0;
    richest.has--;
    reading--;
    richest.lessen();
    return 1;
  };

  const evenShare = (): number => Math.max(1, Math.floor(MOST_READING / readers.size));

  const mostPublishing = (): number => MOST_STREAMS - reading - (readers.size > 0 ? KEPT_FREE : 0);

  const pass = (): void => {
    if (publishing >= mostPublishing()) return;
    for (const wake of publishers) {
      publishers.delete(wake);
      wake();
      return;
    }
  };

  const moreRoom = (): void => {
    for (const begin of waiting) {
      if (!begin()) break;
      waiting.delete(begin);
    }
    const woken = [...publishers];
    publishers.clear();
    for (const wake of woken) wake();
  };

  return {
    join: (wanted) => {
      const reader: Reader = { has: 0, lessen: () => undefined };
      readers.add(reader);
      let begin = (): boolean => false;
      return {
        take: (owner) => {
          begin = () => {
            const streams = grant(wanted);
            if (streams === 0) return false;
            reader.has = streams;
            reader.lessen = owner.lessen;
            reading += streams;
            owner.begin(streams);
            return true;
          };
          if (waiting.size === 0 && begin()) return;
          waiting.add(begin);
          owner.full({ sources: readers.size, most: MOST_READING, connection: MOST_STREAMS });
        },
        more: () => {
          if (reader.has === 0 || reader.has >= Math.min(wanted, evenShare()) || reading === MOST_READING) return false;
          reader.has++;
          reading++;
          return true;
        },
        leave: () => {
          if (!readers.delete(reader)) return;
          waiting.delete(begin);
          reading -= reader.has;
          moreRoom();
        },
      };
    },

    publishes: {
      take: (wake) => {
        if (publishing < mostPublishing()) {
          publishing++;
          return true;
        }
        publishers.add(wake);
        return false;
      },
      free: () => {
        publishing--;
        pass();
      },
      pass,
    },
  };
}
