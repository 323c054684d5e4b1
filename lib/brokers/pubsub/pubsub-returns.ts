import { environment } from '../../core/environment.js';
import type { PubSubArrival, PubSubRecord } from './pubsub-record.js';

/**
 * The keys of which a message went back. The service sends all of the key again, from that one on; but what it had sent before it
 * knew of that still arrives, and would overtake it.
 * @internal
 */
export interface PubSubReturns {
  /** A message goes back now. */
  wentBack(record: PubSubRecord): void;
  /** Whether an arrival is to go back too, unseen. */
  isTooEarly(arrival: PubSubArrival<unknown>): boolean;
}

/** What was under way has long arrived by then. */
const LATEST_MS = 10_000;
const MOST_KEYS = 10_000;

interface Return {
  readonly at: number;
  /** All that went back since: each does so once, for what comes again comes because those before it are elsewhere. */
  readonly wentBack: Set<string>;
}

/** @internal */
export function createReturns(): PubSubReturns {
  // By key, oldest first.
  const returns = new Map<string, Return>();

  const isOver = ({ at }: Return): boolean => environment.now() - at > LATEST_MS;

  return {
    wentBack: ({ id, orderingKey }) => {
      if (orderingKey === null) return;
      const known = returns.get(orderingKey);
      // What follows the first one of a key goes back behind it. It counts too: where another consumer fails one of it, the key
      // comes again from there, and if that were sent back, what follows it and is known would overtake it.
      if (known !== undefined && !isOver(known)) {
        known.wentBack.add(id);
        return;
      }
      returns.delete(orderingKey);
      returns.set(orderingKey, { at: environment.now(), wentBack: new Set([id]) });
      if (returns.size > MOST_KEYS) returns.delete(returns.keys().next().value as string);
    },
    isTooEarly: ({ id, orderingKey }) => {
      if (returns.size === 0 || !orderingKey) return false;
      const known = returns.get(orderingKey);
      if (known === undefined) return false;
      if (known.wentBack.has(id) || isOver(known)) {
        returns.delete(orderingKey);
        return false;
      }
      known.wentBack.add(id);
      return true;
    },
  };
}
