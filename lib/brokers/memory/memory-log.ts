import type { MessageHeaders } from '../../core/message.js';

/** A message as the memory broker keeps it: always bytes, as any broker gives them. @public */
export interface MemoryRecord {
  /** From 0; the next record of the partition has the next one. */
  readonly offset: number;
  /** `null` where there is none. */
  readonly key: Uint8Array | null;
  /** `null`: a tombstone. */
  readonly value: Uint8Array | null;
  /** As they were published. */
  readonly headers: MessageHeaders;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

/** One partition: records in order, of which the oldest may have been dropped. @internal */
export interface MemoryLog {
  /** The offset of the oldest record, or `end` where there is none. */
  first: number;
  /** The offset that the next record takes. */
  end: number;
  /** `records[0]` has the offset `base`; those below `first` are dropped but not cut off yet. */
  records: MemoryRecord[];
  base: number;
}

/** @internal */
export function createLog(): MemoryLog {
  return { first: 0, end: 0, records: [], base: 0 };
}

/** @internal */
export function append(log: MemoryLog, record: Omit<MemoryRecord, 'offset'>): MemoryRecord {
  const stored = { offset: log.end++, ...record };
  log.records.push(stored);
  return stored;
}

/** From an offset on, at most so many. @internal */
export function read(log: MemoryLog, from: number, most: number): readonly MemoryRecord[] {
  return log.records.slice(from - log.base, from - log.base + most);
}

/** Drops what is below an offset. @internal */
export function truncate(log: MemoryLog, before: number): void {
  log.first = Math.min(Math.max(log.first, before), log.end);
  const dropped = log.first - log.base;
  // Cutting off half at a time keeps it linear.
  if (dropped * 2 < log.records.length) return;
  log.records = log.records.slice(dropped);
  log.base = log.first;
}
