import { environment } from '../../core/environment.js';

/** The tokens of claims whose answer never came: the rows may be ours or not be there. @internal */
export interface UnsettledTokens {
  add(token: string, leaseMs: number): void;
  /** Those whose lease may still hold. */
  list(): readonly string[];
}

// A call is tried again with growing waits: more than these within a lease are not worth remembering.
const MAX_TOKENS = 64;

/** @internal */
export function unsettledTokens(): UnsettledTokens {
  const until = new Map<string, number>();
  return {
    add: (token, leaseMs) => {
      until.set(token, environment.now() + leaseMs);
      const [oldest] = until.keys();
      if (until.size > MAX_TOKENS && oldest !== undefined) until.delete(oldest);
    },
    list: () => {
      const now = environment.now();
      for (const [token, end] of until) if (end <= now) until.delete(token);
      return [...until.keys()];
    },
  };
}
