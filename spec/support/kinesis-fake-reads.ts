import { asyncScheduler } from 'rxjs';
import type { KinesisClientLike, KinesisPageLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { invalidArgument, invalidValue, noShard, sdkError } from './kinesis-fake-errors.js';
import { decodeIterator, encodeIterator, startOf } from './kinesis-fake-iterators.js';
import { throttled, withinRate, type FakeKinesisLimits } from './kinesis-fake-limits.js';
import { after } from './kinesis-fake-sequence.js';
import { shardId, type FakeKinesisRecord, type FakeShard, type FakeStream } from './kinesis-fake-stream.js';

/** How shards are read and how they end; the test servers differ in it. */
export interface FakeKinesisReads {
  readonly limits: FakeKinesisLimits;
  /**
   * `'last-records'`: the page with the last records is the end too, as on kinesis-local. `'empty-page'`: a page without any
   * comes after it, as on kinesalite. Default `'last-records'`.
   */
  endOfShard: 'last-records' | 'empty-page';
  /** Whether the end of a shard tells what comes of it; kinesalite does not. Default true. */
  childShards: boolean;
  /** So many pages come without records though there are some, as the service may do. Default 0. */
  emptyPages: number;
}

interface Pace {
  readonly reads: number[];
  readonly iterators: number[];
  /** The shard is not read before this time. */
  pausedUntil: number;
}

/** Iterators and pages; `find` finds the stream that a shard is asked of, or throws. */
export function fakeReads(kinesis: FakeKinesisReads, find: (stream: string, shard: string) => FakeStream) {
  const paces = new WeakMap<FakeShard, Pace>();
  const paceOf = (shard: FakeShard): Pace => {
    const pace = paces.get(shard) ?? { reads: [], iterators: [], pausedUntil: -Infinity };
    paces.set(shard, pace);
    return pace;
  };

  return {
    getShardIterator: (
      name: string,
      input: Parameters<KinesisClientLike['getShardIterator']>[0],
    ): { ShardIterator: string } => {
      const stream = find(name, input.ShardId);
      const shard = shardNamed(stream, input.ShardId);
      withinRate(paceOf(shard).iterators, kinesis.limits.iteratorsPerSecond, stream, shard);
      return { ShardIterator: encodeIterator(stream, shard, startOf(stream, shard, input)) };
    },

    getRecords: ({
      ShardIterator,
      Limit = 10_000,
    }: Parameters<KinesisClientLike['getRecords']>[0]): KinesisPageLike => {
      const { limits } = kinesis;
      const now = asyncScheduler.now();
      const iterator = decodeIterator(ShardIterator);
      if (iterator === undefined) throw invalidArgument('Invalid ShardIterator.');
      if (now - iterator.madeAt > limits.iteratorMs) throw expired(iterator.madeAt, now, limits.iteratorMs);
      if (Limit < 1 || Limit > 10_000) {
        const bound = Limit < 1 ? 'greater than or equal to 1' : 'less than or equal to 10000';
        throw invalidValue('limit', String(Limit), `Member must have value ${bound}`);
      }
      const id = shardId(iterator.shard);
      const stream = find(iterator.stream, id);
      const shard = shardNamed(stream, id);
      // What the service does nobody has seen; kinesis-local finds nothing, kinesalite reads the new stream.
      if (shard.created !== iterator.created) throw noShard(stream.name, shard.id);
      const pace = paceOf(shard);
      if (now < pace.pausedUntil) throw throttled(stream, shard);
      withinRate(pace.reads, limits.readsPerSecond, stream, shard);

      const isBlank = kinesis.emptyPages > 0;
      if (isBlank) kinesis.emptyPages--;
      const { records, next, from, isCut, isEnd } = readPage(kinesis, shard, iterator.from, isBlank ? 0 : Limit);
      if (isCut) pace.pausedUntil = now + limits.fullPagePauseMs;
      return {
        Records: records.map(recordOf),
        ...(isEnd ? {} : { NextShardIterator: encodeIterator(stream, shard, from) }),
        ...(isEnd && kinesis.childShards ? { ChildShards: shard.children.map(childOf) } : {}),
        MillisBehindLatest: next === undefined ? 0 : now - (records.at(-1) ?? next).at,
      };
    },
  };
}

export function shardNamed(stream: FakeStream, id: string): FakeShard {
  for (const shard of stream.shards.values()) if (shard.id === id) return shard;
  throw noShard(stream.name, id);
}

/** The place of the first record that is not below a sequence number. */
function indexFrom(records: readonly FakeKinesisRecord[], from: string): number {
  let [low, high] = [0, records.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    // As texts, for all have 56 digits.
    if ((records[middle]?.sequenceNumber ?? '') < from) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** A page of a shard, and how it goes on. */
interface FakePage {
  readonly records: readonly FakeKinesisRecord[];
  /** The first record after it, if there is one. */
  readonly next: FakeKinesisRecord | undefined;
  /** The least sequence number that comes after it. */
  readonly from: string;
  /** Whether the bytes of a page were too few. */
  readonly isCut: boolean;
  /** Whether nothing comes any more. */
  readonly isEnd: boolean;
}

/** What a shard gives from a sequence number on. */
export function readPage(
  { limits, endOfShard }: Pick<FakeKinesisReads, 'limits' | 'endOfShard'>,
  shard: FakeShard,
  from: string,
  limit: number,
): FakePage {
  const first = indexFrom(shard.records, from);
  const asked = shard.records.slice(first, first + limit);
  let bytes = 0;
  const over = asked.findIndex(({ data, key = '' }) => (bytes += data.length + key.length) > limits.pageBytes);
  // One record comes in any case.
  const records = over < 0 ? asked : asked.slice(0, Math.max(over, 1));
  const next = shard.records[first + records.length];
  const last = records.at(-1);
  return {
    records,
    next,
    from: last === undefined ? from : after(last.sequenceNumber),
    isCut: records.length < asked.length,
    isEnd: shard.closedAt !== undefined && next === undefined && (last === undefined || endOfShard === 'last-records'),
  };
}

export function recordOf({ sequenceNumber, at, data, key }: FakeKinesisRecord) {
  return {
    SequenceNumber: sequenceNumber,
    ApproximateArrivalTimestamp: new Date(at),
    Data: data,
    ...(key === undefined ? {} : { PartitionKey: key }),
  };
}

export function childOf({ id, parents, hashKeys: [first, last] }: FakeShard) {
  return {
    ShardId: id,
    ParentShards: parents.map((parent) => parent.id),
    HashKeyRange: { StartingHashKey: String(first), EndingHashKey: String(last) },
  };
}

function expired(madeAt: number, now: number, heldMs: number): Error {
  const message =
    `Iterator expired. The iterator was created at time ${new Date(madeAt).toUTCString()} while right now it is ` +
    `${new Date(now).toUTCString()} which is further in the future than the tolerated delay of ${heldMs} milliseconds.`;
  return sdkError({ name: 'ExpiredIteratorException', message });
}
