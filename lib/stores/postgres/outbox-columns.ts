import type { OutboxMessage } from '../../core/outbox-message.js';
import { storedHeaders } from './outbox-headers.js';

/** A list a column, in the order of `append` of `OutboxWriteSql`. @internal */
export function columnsOf(messages: readonly OutboxMessage[]): readonly unknown[][] {
  return [
    messages.map(({ topic }) => topic),
    messages.map(({ key }) => bytesOf(key)),
    messages.map(({ value }) => bytesOf(value)),
    messages.map(({ headers }) => storedHeaders(headers)),
    messages.map(({ partition }) => partition ?? null),
    messages.map(({ timestamp }) => timestamp ?? null),
  ];
}

function bytesOf(value: Uint8Array | string | null | undefined): Buffer | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return Buffer.from(value);
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}
