import { recordOf, type PubSubArrival, type PubSubRecord } from './pubsub-record.js';
import { createReturns, type ReturnsOptions } from './pubsub-returns.js';

/**
 * The messages that we hold. One that comes again meanwhile, after a reconnect or a lease that ran out, is not worked on
 * twice: its new handle goes to the one that is held.
 * @internal
 */
export interface PubSubInventory<H> {
  readonly size: number;
  /** What they take in memory. */
  readonly bytes: number;
  /** The record to be pushed, or what it is instead: held already, or to go back, since an earlier one of its key did. */
  receive(arrival: PubSubArrival<H>): PubSubRecord<H> | 'held' | 'too-early';
  /** It is done. */
  acked(record: PubSubRecord<H>): void;
  /** It goes back; `tried` where that was one of its attempts. */
  nacked(record: PubSubRecord<H>, tried: boolean): void;
  records(): Iterable<PubSubRecord<H>>;
}

/** How many messages that went back are remembered for their attempts, where the service does not count. */
const REMEMBERED = 10_000;

/** How often one message may come while it is held: older handles have long run out. */
const MOST_HANDLES = 16;

/** @internal */
export interface InventoryOptions extends ReturnsOptions {
  /** Whether the service keeps the order of keys. */
  readonly isOrdered: boolean;
}

/** @internal */
export function createInventory<H>(options: InventoryOptions): PubSubInventory<H> {
  const { isOrdered } = options;
  const held = new Map<string, PubSubRecord<H>>();
  // By message, oldest first.
  const attempts = new Map<string, number>();
  const returns = createReturns(options);
  let bytes = 0;

  const forget = (record: PubSubRecord<H>): void => {
    if (held.get(record.id) !== record) return;
    held.delete(record.id);
    bytes -= record.bytes;
  };

  return {
    get size() {
      return held.size;
    },
    get bytes() {
      return bytes;
    },
    receive: (arrival) => {
      const known = held.get(arrival.id);
      if (known !== undefined) {
        if (known.handles.length === MOST_HANDLES) known.handles.shift();
        known.handles.push(arrival.handle);
        return 'held';
      }
      if (returns.isTooEarly(arrival)) return 'too-early';
      const { id, deliveryAttempt } = arrival;
      const record = recordOf(arrival, deliveryAttempt > 0 ? deliveryAttempt : (attempts.get(id) ?? 0) + 1, isOrdered);
      held.set(id, record);
      bytes += record.bytes;
      return record;
    },
    acked: (record) => {
      forget(record);
      attempts.delete(record.id);
    },
    nacked: (record, tried) => {
      forget(record);
      returns.wentBack(record);
      attempts.delete(record.id);
      const used = tried ? record.attempt : record.attempt - 1;
      if (used > 0) attempts.set(record.id, used);
      if (attempts.size > REMEMBERED) attempts.delete(attempts.keys().next().value as string);
    },
    records: () => held.values(),
  };
}
