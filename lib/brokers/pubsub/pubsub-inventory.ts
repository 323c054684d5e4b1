import { recordOf, type PubSubArrival, type PubSubRecord } from './pubsub-record.js';

/**
 * The messages that we hold. One that comes again meanwhile, after a reconnect or a lease that ran out, is not worked on
 * twice: its new handle goes to the one that is held.
 * @internal
 */
export interface PubSubInventory<H> {
  readonly size: number;
  has(id: string): boolean;
  /** The record to be pushed, or `null` where the message is held already. */
  receive(arrival: PubSubArrival<H>): PubSubRecord<H> | null;
  /** It is done. */
  acked(record: PubSubRecord<H>): void;
  /** It goes back, and this was one of its attempts. */
  nacked(record: PubSubRecord<H>): void;
  records(): Iterable<PubSubRecord<H>>;
}

/** How many messages that went back are remembered for their attempts, where the service does not count. */
const REMEMBERED = 10_000;

/** How often one message may come while it is held: older handles have long run out. */
const MOST_HANDLES = 16;

/** @internal */
export function createInventory<H>(): PubSubInventory<H> {
  const held = new Map<string, PubSubRecord<H>>();
  // By message, oldest first.
  const attempts = new Map<string, number>();

  const forget = (record: PubSubRecord<H>): void => {
    if (held.get(record.id) === record) held.delete(record.id);
  };

  return {
    get size() {
      return held.size;
    },
    has: (id) => held.has(id),
    receive: (arrival) => {
      const known = held.get(arrival.id);
      if (known !== undefined) {
        if (known.handles.length === MOST_HANDLES) known.handles.shift();
        known.handles.push(arrival.handle);
        return null;
      }
      const { id, deliveryAttempt } = arrival;
      const record = recordOf(arrival, deliveryAttempt > 0 ? deliveryAttempt : (attempts.get(id) ?? 0) + 1);
      held.set(id, record);
      return record;
    },
    acked: (record) => {
      forget(record);
      attempts.delete(record.id);
    },
    nacked: (record) => {
      forget(record);
      attempts.delete(record.id);
      attempts.set(record.id, record.attempt);
      if (attempts.size > REMEMBERED) attempts.delete(attempts.keys().next().value as string);
    },
    records: () => held.values(),
  };
}
