import { environment } from '../../core/environment.js';
import type { PubSubArrival, PubSubRecord } from './pubsub-record.js';
import type { PubSubSlowCalls } from './pubsub-slow-calls.js';

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

/** What was under way when the service heard of it has long arrived by then. */
const LATEST_MS = 10_000;
const MOST_KEYS = 10_000;
/** Of one key. What goes back beyond them does so again, until this is over; to forget the first would let others pass it. */
const MOST_MESSAGES = 10_000;

/** @internal */
export interface ReturnsOptions {
  /** How long a message may be ours. */
  readonly longestLeaseMs: number;
  /** Those that give messages back. */
  readonly slowCalls: PubSubSlowCalls;
}

interface Return {
  readonly at: number;
  /** All that went back since: each does so once, for what comes again comes because those before it are elsewhere. */
  readonly wentBack: Set<string>;
}

/** @internal */
export function createReturns({ longestLeaseMs, slowCalls }: ReturnsOptions): PubSubReturns {
  // By key, oldest first.
  const returns = new Map<string, Return>();

  // While calls are slow the service may not have heard of it. Once the lease is over it sends the message again anyway.
  const isOver = ({ at }: Return): boolean => {
    const oldestMs = environment.now() - LATEST_MS;
    return at < oldestMs - longestLeaseMs || (at < oldestMs && slowCalls.lastAt() < oldestMs);
  };

  const remember = ({ wentBack }: Return, id: string): void => {
    if (wentBack.size < MOST_MESSAGES) wentBack.add(id);
  };

  return {
    wentBack: ({ id, orderedBy }) => {
      if (orderedBy === null) return;
      const known = returns.get(orderedBy);
      // What follows the first one of a key goes back behind it. It counts too: where another consumer fails one of it, the key
      // comes again from there, and if that were sent back, what follows it and is known would overtake it.
      if (known !== undefined && !isOver(known)) {
        remember(known, id);
        return;
      }
      returns.delete(orderedBy);
      returns.set(orderedBy, { at: environment.now(), wentBack: new Set([id]) });
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
      remember(known, id);
      return true;
    },
  };
}
