import type { MessageBytes, MessageHeaders } from './message.js';
import type { PartitionRef } from './partition.js';
import type { Position } from './position.js';

/**
 * How to read a broker's own record: one object an adapter, called only when somebody asks, so that nothing is decoded
 * or copied on the way in. None of these may throw.
 * @public
 */
export interface RecordShape<R, P extends Position> {
  /** The payload; `null` is a tombstone. */
  value(record: R): Uint8Array | null;
  /** The raw key, or `null` where the message has none. */
  key(record: R): MessageBytes;
  /** As they were published. */
  headers(record: R): MessageHeaders;
  /** Milliseconds since 1970. */
  timestamp(record: R): number;
  /** The position in the broker's own words. */
  position(record: R, partition: PartitionRef): P;
  /**
   * The position as text, unique within its partition: the offset, sequence number or message id. With topic and
   * partition before it, it is the delivery's id, so it must be the same for each redelivery.
   */
  positionText(record: R): string;
  /** How much memory the record holds, in bytes: what `maxBufferedBytes` counts. */
  bytes(record: R): number;
  /**
   * Copies the record's bytes, in place, out of a buffer that it shares with others: called where a message is to wait for
   * a retry, which would keep all of that buffer in memory. Default: none; leave it out where records share none.
   */
  detach?(record: R): void;
  /** The attempt that the broker counts, from 1. Default: 1. */
  attempt?(record: R): number;
  /**
   * Of a queue that keeps the order of a key: which key. Where a message of it is given back, the broker sends that one and all
   * later ones again, so those that are not started yet are given back with it. `null`: comes again by itself. Default: `null`.
   */
  orderedBy?(record: R): string | null;
}
