import type { ObservableInput } from 'rxjs';

/** Whose leases: the workers of one consumer share the shards of a stream. @public */
export interface LeaseGroup {
  /** The consumer's name: each has every message of the stream. */
  readonly consumer: string;
  /** The stream's name. */
  readonly stream: string;
}

/**
 * A shard, as the workers of a consumer share it: one row of a lease store. Names (of shards, workers, consumers, streams) are
 * text of 1 to 200 characters; text is well-formed and holds no NUL; numbers are whole, from 0 to 2^53 - 1.
 * @public
 */
export interface ShardLease {
  /** The shard's id. */
  readonly shard: string;
  /** One more with each write. It makes writes conditional, and tells other workers that the owner is alive. */
  readonly counter: number;
  /** The worker that reads the shard; `null`: none. */
  readonly owner: string | null;
  /** The worker that asks the owner to hand the shard over; `null`: none. */
  readonly wantedBy: string | null;
  /** Where to go on: text of the source, at most 200 characters. */
  readonly checkpoint: string;
  /** What is done above the checkpoint: text of the source, at most 4,000 characters. */
  readonly acked: string;
  /**
   * Of the messages that arrived before this time none is left to be done: milliseconds since 1970. It tells whether
   * retention can have passed the checkpoint.
   */
  readonly doneUntil: number;
  /** The shards that must be done before this one is read. */
  readonly parents: readonly string[];
}

/**
 * Who reads which shard, and how far. Needs no transactions, no clock and no time-outs: conditional writes of single rows
 * do, so that a table of DynamoDB can be one. No call names a shard twice. An error of a call means that the store is out;
 * nobody knows then whether a write has taken effect, or still will. One that lasts until somebody acts (no such table, a wrong
 * password) is to be marked by `permanent`: it ends a source at its start, and later after `refusalTimeoutMs`.
 * @public
 */
export interface LeaseStore {
  /** All rows of a group, in any order, as they are now: not from a replica that lags. */
  list(group: LeaseGroup): ObservableInput<readonly ShardLease[]>;
  /** Adds rows; one that is there already is left as it is. */
  add(group: LeaseGroup, leases: readonly ShardLease[]): ObservableInput<unknown>;
  /**
   * Replaces each row whose stored counter is one less than the given one; `false` where it is not, or where there is no
   * such row. Each row by itself; answers in the order given, as one value. A client that tries again by itself must not
   * make `false` of what its first try has written: let it fail instead.
   */
  write(group: LeaseGroup, leases: readonly ShardLease[]): ObservableInput<readonly boolean[]>;
  /** Removes rows whose stored counter is the given one; others are left as they are. */
  remove(group: LeaseGroup, leases: readonly Pick<ShardLease, 'shard' | 'counter'>[]): ObservableInput<unknown>;
}
