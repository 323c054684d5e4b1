import type { MessageHeaders } from '../../core/message.js';
import { ownBytes, ownHeaders } from '../../core/own-message.js';
import type { MemoryRecord } from './memory-log.js';

/**
 * A stored record as one group reads it. Its bytes are copies, made when they are asked for: a handler that changes them changes
 * neither what is stored nor what others read.
 * @internal
 */
export interface LentRecord {
  readonly stored: MemoryRecord;
  value: Uint8Array | null | undefined;
  key: Uint8Array | null | undefined;
  headers: MessageHeaders | undefined;
}

// To make a buffer for each small value takes longer than all the rest of its delivery; above this size the copying does.
const MOST_TOGETHER = 4_096;

/** Copies of small values are cut from one buffer, those of others are made when they are asked for. @internal */
export function lend(records: readonly MemoryRecord[]): LentRecord[] {
  let together = 0;
  for (const { value } of records) if (isSmall(value)) together += value.length;
  const buffer = new Uint8Array(together);
  let at = 0;
  return records.map((stored) => {
    const lent: LentRecord = { stored, value: undefined, key: undefined, headers: undefined };
    const { value } = stored;
    if (isSmall(value)) {
      lent.value = buffer.subarray(at, at + value.length);
      lent.value.set(value);
      at += value.length;
    }
    return lent;
  });
}

function isSmall(value: Uint8Array | null): value is Uint8Array {
  return value !== null && value.length <= MOST_TOGETHER;
}

/** Has the next who asks get new copies. @internal */
export function renew(lent: LentRecord): void {
  lent.value = undefined;
  lent.key = undefined;
  lent.headers = undefined;
}

/** @internal */
export function copyOfRecord(record: MemoryRecord): MemoryRecord {
  const { key, value, headers } = record;
  return { ...record, key: ownBytes(key), value: ownBytes(value), headers: ownHeaders(headers) };
}
