import { asyncScheduler } from 'rxjs';
import { sdkError } from './kinesis-fake-errors.js';
import type { FakeShard, FakeStream } from './kinesis-fake-stream.js';

const MIB = 2 ** 20;

/** What the service takes and gives; `Infinity` lifts a limit. The test servers have few of them. */
export interface FakeKinesisLimits {
  /** Calls of `getRecords` that a shard answers in a second. */
  readsPerSecond: number;
  /** Calls of `getShardIterator` that a shard answers in a second. */
  iteratorsPerSecond: number;
  /** The data and keys of a page. One that they cut short pauses the reads of its shard. */
  pageBytes: number;
  fullPagePauseMs: number;
  /** How long an iterator holds. */
  iteratorMs: number;
  /** How long a token of `listShards` holds. */
  tokenMs: number;
  /** Records and bytes that a shard takes in a second; what is more is refused entry by entry. */
  writesPerSecond: number;
  writeBytesPerSecond: number;
  /** Entries, and bytes of data and keys, of a call of `putRecords`. Where large records are off it is 5 MiB. */
  requestRecords: number;
  requestBytes: number;
  /** The data of a record. */
  recordBytes: number;
}

export function serviceLimits(): FakeKinesisLimits {
  return {
    readsPerSecond: 5,
    iteratorsPerSecond: 5,
    pageBytes: 10 * MIB,
    fullPagePauseMs: 5_000,
    iteratorMs: 300_000,
    tokenMs: 300_000,
    writesPerSecond: 1_000,
    writeBytesPerSecond: MIB,
    requestRecords: 500,
    requestBytes: 10 * MIB,
    recordBytes: MIB,
  };
}

/** Counts a call among the times of the others; throws where it is one too many for the last second. */
export function withinRate(times: number[], perSecond: number, stream: FakeStream, shard: FakeShard): void {
  const now = asyncScheduler.now();
  while (times[0] !== undefined && times[0] <= now - 1_000) times.shift();
  if (times.length >= perSecond) throw throttled(stream, shard);
  times.push(now);
}

export function throttled(stream: FakeStream, shard: FakeShard): Error {
  return sdkError({ name: 'ProvisionedThroughputExceededException', message: rateExceeded(stream, shard) });
}

export function rateExceeded({ name }: FakeStream, { id }: FakeShard): string {
  return `Rate exceeded for shard ${id} in stream ${name} under account 000000000000.`;
}
