import type { MessageHeaders } from '../core/message.js';
import type { OutboxRow } from '../core/outbox-row.js';
import type { Position } from '../core/position.js';
import type { RecordShape } from '../core/record-shape.js';

/** Where a message stands in the outbox. @public */
export interface OutboxPosition extends Position {
  /** The discriminant. */
  readonly broker: 'outbox';
  /** Where the message goes. */
  readonly topic: string;
  /** The row. */
  readonly id: string;
}

/** A row on its way through the relay. @internal */
export interface RelayRecord {
  /** The same row with another token, where it was claimed anew by us. */
  row: OutboxRow;
  /** The number of the next attempt; those of relays before it count. */
  attempt: number;
  /** How often it failed for an outage of something else, which counts no attempt. */
  outages: number;
  /** Until when the lease holds for certain, by our own clock. */
  validUntil: number;
}

/** The header that names a message, the same each time it is published. */
const MESSAGE_ID = 'message-id';

/** @internal */
export const outboxShape: RecordShape<RelayRecord, OutboxPosition> = {
  value: ({ row }) => row.value,
  key: ({ row }) => row.key,
  headers: ({ row }) => headersOf(row),
  timestamp: ({ row }) => row.timestamp ?? row.storedAt,
  positionText: ({ row }) => row.id,
  position: ({ row }) => ({ broker: 'outbox', topic: row.topic, id: row.id }),
  bytes: ({ row }) => (row.value?.length ?? 0) + (row.key?.length ?? 0),
  attempt: ({ attempt }) => attempt,
};

/** @internal */
export function headersOf({ headers, messageId }: OutboxRow): MessageHeaders {
  return { [MESSAGE_ID]: messageId, ...headers };
}
