import type { ObservableInput } from 'rxjs';

/**
 * The answer to a claim: `claimed`, with the token that fences it; `done`: processed before; `held`: another holds it.
 * @public
 */
export type Claim =
  { readonly status: 'claimed'; readonly token: string } | { readonly status: 'done' } | { readonly status: 'held' };

/** A claim that we hold: only the newest token of a key may confirm or release it. @public */
export interface HeldClaim {
  /** The idempotency key. */
  readonly key: string;
  /** What the claim was answered with. */
  readonly token: string;
}

/**
 * Remembers what was processed. Batch-native: each call takes many keys and answers in their order, as one value.
 * An error of a call means that the store is out: the operator holds and tries again, and no attempt is counted.
 * @public
 */
export interface IdempotencyStore {
  /** Claims keys for `leaseMs`. The same key twice in one call: the second is `held`. A lapsed claim is claimed anew. */
  claim(keys: readonly string[], leaseMs: number): ObservableInput<readonly Claim[]>;
  /** Prolongs claims; `false` where the token is no longer the newest one. */
  renew(claims: readonly HeldClaim[], leaseMs: number): ObservableInput<readonly boolean[]>;
  /** Marks keys as processed; `false` where the token is no longer the newest one. */
  confirm(claims: readonly HeldClaim[]): ObservableInput<readonly boolean[]>;
  /** Gives claims back unprocessed; one that is no longer ours is left alone. */
  release(claims: readonly HeldClaim[]): ObservableInput<unknown>;
}
