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
  readonly id: string;
  readonly at: number;
  /** Each goes back once: what comes twice comes because the awaited one is elsewhere. */
  readonly sentBack: Set<string>;
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
      // What follows the first one of a key goes back behind it.
      if (known !== undefined && !isOver(known)) return;
      returns.delete(orderingKey);
      returns.set(orderingKey, { id, at: environment.now(), sentBack: new Set() });
      if (returns.size > MOST_KEYS) returns.delete(returns.keys().next().value as string);
    },
    isTooEarly: ({ id, orderingKey }) => {
      if (returns.size === 0 || !orderingKey) return false;
      const awaited = returns.get(orderingKey);
      if (awaited === undefined) return false;
      if (awaited.id === id || awaited.sentBack.has(id) || isOver(awaited)) {
        returns.delete(orderingKey);
        return false;
      }
      awaited.sentBack.add(id);
      return true;
    },
  };
}
