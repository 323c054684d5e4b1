import type { ObservableInput } from 'rxjs';
import type { OutboxMessage } from './outbox-message.js';

/** The part of one message in a transaction that several share. @public */
export interface OutboxPart<Tx> {
  /**
   * What the handler writes with. Asked for the first time it opens a savepoint, so a handler that never asks costs
   * no round trip.
   */
  readonly tx: Tx;
  /** Rolls back all that was done by `tx` since the part began, and nothing else. */
  undo(): ObservableInput<unknown>;
  /**
   * Ends the part, whose work stays in the transaction; not called of one that is alone. It errors where a statement of it has
   * failed unseen, or where it has ended the transaction: the others must not build on that.
   */
  keep(): ObservableInput<unknown>;
}

/** What a transaction that commits does at its end. @public */
export interface OutboxEnd {
  /** Stored in this order, to be published once the transaction is committed, and never if it is not. */
  readonly messages: readonly OutboxMessage[];
  /** Keys recorded in this transaction that count as not recorded: their parts were undone. */
  readonly forget: readonly string[];
}

/**
 * An open transaction. Exactly one of `commit` and `rollBack` is called at its end, whatever happened; the store then
 * has its connection back. What a call answers is subscribed to at once, so it may be a promise of work that has begun.
 * @public
 */
export interface OutboxTransaction<Tx> {
  /**
   * Records keys as processed, for as long as this transaction lives or, once it is committed, for good. Answers in the
   * order of the keys, as one value: `true` where it is new, `false` where it was processed before. Where another
   * transaction is about to record one of them it waits for that to end. Called first, and once.
   */
  record(keys: readonly string[]): ObservableInput<readonly boolean[]>;
  /** The part of the next message; the one before has ended. `alone`: there is no other one, so it needs no savepoint. */
  begin(alone: boolean): OutboxPart<Tx>;
  /** Stores, forgets, commits. An error means that nothing of the transaction happened, or that this cannot be known. */
  commit(end: OutboxEnd): ObservableInput<unknown>;
  /** Undoes everything. `broken`: a part is stuck, its connection is of no more use. Never fails. */
  rollBack(broken: boolean): ObservableInput<unknown>;
}
