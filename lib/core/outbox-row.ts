import type { MessageHeaders } from './message.js';

/** A row that is ours for the time of its lease: only the newest token of a row may renew, mark or release it. @public */
export interface OutboxLease {
  /** As text; ascending in the order in which the rows of one lane are to be published. */
  readonly id: string;
  /** What its claim was answered with. */
  readonly token: string;
}

/** A message in the outbox, claimed by a relay. @public */
export interface OutboxRow extends OutboxLease {
  /** The number of its next attempt, from 1. A claim that was not given back is one: a message that ends the process on each try shows here. */
  readonly attempt: number;
  /** Unique in the world, and the same however often the row is published. */
  readonly messageId: string;
  /** Where it goes. */
  readonly topic: string;
  /** The same for messages that must keep their order: those of one topic and key. `null`: they need none. */
  readonly lane: string | null;
  /** The key to publish it with; `null`: it has none. */
  readonly key: Uint8Array | null;
  /** The payload; `null` is a tombstone. */
  readonly value: Uint8Array | null;
  /** As they were emitted. */
  readonly headers: MessageHeaders;
  /** An explicit partition, or `null`. */
  readonly partition: number | null;
  /** Milliseconds since 1970, or `null` where the message had none. */
  readonly timestamp: number | null;
  /** When it was stored: milliseconds since 1970, by the clock of the store. */
  readonly storedAt: number;
}
