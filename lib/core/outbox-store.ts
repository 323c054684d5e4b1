import type { Observable, ObservableInput } from 'rxjs';
import type { OutboxLease, OutboxRow } from './outbox-row.js';
import type { OutboxTransaction } from './outbox-transaction.js';

/**
 * What an error of the store, or one that the handler passed on from it, means. `conflict`: rolled back for the sake of
 * another transaction (serialization, deadlock): run it again. `unavailable`: the database is out or the connection was
 * lost: hold and try again. `null`: it is the handler's own.
 * @public
 */
export type OutboxFault = 'conflict' | 'unavailable' | null;

/** How much a relay claims at once. @public */
export interface OutboxClaim {
  /** The most rows, at least 1. */
  readonly limit: number;
  /** The most rows of one lane, at least 1. */
  readonly perLane: number;
  /** The most bytes of payloads, keys and headers; a first row is given however large it is. */
  readonly maxBytes: number;
  /** In milliseconds. */
  readonly leaseMs: number;
  /** The relay asks again in a moment: what is not among the oldest rows need not be looked for. Default: false. */
  readonly near?: boolean;
}

/** A row that will not be published. @public */
export interface OutboxBurial extends OutboxLease {
  /** Why, for people: the message of the error and those of its causes, a line each, at most 2,048 bytes of UTF-8. */
  readonly error: string;
}

/** A row that is given back unpublished. @public */
export interface OutboxReturn extends OutboxLease {
  /** How many attempts were made of it, by all relays. To have been claimed alone is none: its next `attempt` is one more than this. */
  readonly attempts: number;
}

/** What waits in an outbox. @public */
export interface OutboxLag {
  /** Rows that are not published and not dead; counted up to a bound of the store's. */
  readonly rows: number;
  /** Whether there are more than `rows`. */
  readonly more: boolean;
  /** The age of the oldest of them in milliseconds; 0 where there is none. */
  readonly oldestMs: number;
}

/**
 * A table of messages to be published, written in the transactions of `withOutbox`, read by the relays of `fromOutbox`.
 * An error of a call means that the store is out, unless `faultOf` says otherwise.
 * @public
 */
export interface OutboxStore<Tx = unknown> {
  /**
   * Emits one open transaction, in which keys are recorded for `consumer`, and completes. Unsubscribed before that, it
   * leaves nothing open.
   */
  transaction(consumer: string): Observable<OutboxTransaction<Tx>>;
  /** What an error means. */
  faultOf(error: unknown): OutboxFault;

  /**
   * Leases rows that nobody holds. Of a lane the oldest ones, consecutive and without a gap, and only while no row of it is
   * leased: so each lane has one relay at most. Rows come in the order of their ids. A row that was
   * committed late, with a lower id than others that were claimed before, is claimed like any other.
   */
  claim(options: OutboxClaim): ObservableInput<readonly OutboxRow[]>;
  /** Prolongs leases; `false` where the token is no longer the newest one. */
  renew(leases: readonly OutboxLease[], leaseMs: number): ObservableInput<readonly boolean[]>;
  /** Marks rows as published; `false` where the token is no longer the newest one. Marked twice by one token: `true`. */
  published(leases: readonly OutboxLease[]): ObservableInput<readonly boolean[]>;
  /** Marks rows as dead: they stay, are never claimed, and block no other. The answers are those of `published`. */
  dead(burials: readonly OutboxBurial[]): ObservableInput<readonly boolean[]>;
  /** Gives rows back, to be claimed at once; one that is no longer ours is left alone. */
  release(returns: readonly OutboxReturn[]): ObservableInput<unknown>;
  /** What waits to be published. */
  lag(): ObservableInput<OutboxLag>;
  /** Emits when rows may have come, so that a relay need not wait for its next poll. It may miss some. It never errors. */
  readonly wakeUps?: Observable<unknown>;
}
