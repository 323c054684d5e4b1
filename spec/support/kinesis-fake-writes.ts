import { asyncScheduler } from 'rxjs';
import type {
  KinesisClientLike,
  KinesisEntryLike,
  KinesisPutResultLike,
} from '../../lib/brokers/kinesis/kinesis-client.js';
import { invalidArgument, invalidValue } from './kinesis-fake-errors.js';
import { rateExceeded, type FakeKinesisLimits } from './kinesis-fake-limits.js';
import { HASH_KEYS, hashKeyOf, type FakeShard, type FakeStream } from './kinesis-fake-stream.js';

/** Which entries of `putRecords` are refused, each by itself, while others of the same call are stored. */
export interface FakeRefusal {
  /** Default: all. */
  readonly when?: (entry: KinesisEntryLike, shard: string) => boolean;
  /** How many entries. Default 1. */
  readonly times?: number;
  /** Default `'ProvisionedThroughputExceededException'`; the service knows `'InternalFailure'` too. */
  readonly code?: string;
}

export interface FakeKinesisWrites {
  readonly limits: FakeKinesisLimits;
  /**
   * What a record that is too large does: it fails the call, as on kinesalite and ferrokinesis, or its own entry alone, as on
   * kinesis-local. Default `'call'`.
   */
  tooLarge: 'call' | 'entry';
}

interface Written {
  readonly at: number;
  readonly bytes: number;
}

/** Puts, and what is refused of them. */
export function fakeWrites(kinesis: FakeKinesisWrites) {
  const refusals: { readonly refusal: FakeRefusal; left: number }[] = [];
  const written = new WeakMap<FakeShard, Written[]>();

  const refusalOf = (entry: KinesisEntryLike, shard: FakeShard): string | undefined => {
    const found = refusals.find(({ refusal, left }) => left > 0 && (refusal.when?.(entry, shard.id) ?? true));
    if (found === undefined) return undefined;
    found.left--;
    return found.refusal.code ?? 'ProvisionedThroughputExceededException';
  };
  /** Whether a shard takes so much more in this second. */
  const takes = (shard: FakeShard, bytes: number): boolean => {
    const now = asyncScheduler.now();
    const recent = (written.get(shard) ?? []).filter(({ at }) => at > now - 1_000);
    written.set(shard, recent);
    const sum = recent.reduce((total, one) => total + one.bytes, bytes);
    if (recent.length >= kinesis.limits.writesPerSecond || sum > kinesis.limits.writeBytesPerSecond) return false;
    recent.push({ at: now, bytes });
    return true;
  };

  const put = (stream: FakeStream, entry: KinesisEntryLike): KinesisPutResultLike => {
    const shard = stream.shardOf(hashKey(entry));
    const { recordBytes } = kinesis.limits;
    if (entry.Data.length > recordBytes) {
      const message = `Record data size ${entry.Data.length} exceeds the stream's max record size of ${recordBytes} bytes`;
      return { ErrorCode: 'InvalidArgumentException', ErrorMessage: message };
    }
    const code =
      refusalOf(entry, shard) ?? (takes(shard, bytesOf(entry)) ? undefined : 'ProvisionedThroughputExceededException');
    if (code !== undefined) {
      const isRate = code === 'ProvisionedThroughputExceededException';
      return { ErrorCode: code, ErrorMessage: isRate ? rateExceeded(stream, shard) : 'Internal service failure.' };
    }
    const [SequenceNumber] = stream.append(shard.number, { key: entry.PartitionKey, data: entry.Data });
    return { SequenceNumber, ShardId: shard.id };
  };

  return {
    refuse: (refusal: FakeRefusal = {}): void => void refusals.push({ refusal, left: refusal.times ?? 1 }),

    putRecords: (stream: FakeStream, { Records: entries }: Parameters<KinesisClientLike['putRecords']>[0]) => {
      checkRequest(entries, kinesis);
      const Records = entries.map((entry) => put(stream, entry));
      return { FailedRecordCount: Records.filter(({ ErrorCode }) => ErrorCode !== undefined).length, Records };
    },
  };
}

function checkRequest(entries: readonly KinesisEntryLike[], { limits, tooLarge }: FakeKinesisWrites): void {
  if (entries.length < 1) {
    throw invalidValue('records', '[]', 'Member must have length greater than or equal to 1');
  }
  if (entries.length > limits.requestRecords) {
    throw invalidValue('records', '[…]', `Member must have length less than or equal to ${limits.requestRecords}`);
  }
  entries.forEach((entry, index) => {
    const member = `records.${index + 1}.member`;
    const { length } = entry.PartitionKey;
    if (length < 1)
      throw invalidValue(`${member}.partitionKey`, '', 'Member must have length greater than or equal to 1');
    if (length > 256) {
      throw invalidValue(
        `${member}.partitionKey`,
        entry.PartitionKey,
        'Member must have length less than or equal to 256',
      );
    }
    if (tooLarge === 'call' && entry.Data.length > limits.recordBytes) {
      throw invalidValue(`${member}.data`, '…', `Member must have length less than or equal to ${limits.recordBytes}`);
    }
    hashKey(entry);
  });
  if (entries.reduce((sum, entry) => sum + bytesOf(entry), 0) > limits.requestBytes) {
    throw invalidArgument(`Records' total data + partition key payload exceeds ${limits.requestBytes} bytes`);
  }
}

function hashKey({ PartitionKey, ExplicitHashKey }: KinesisEntryLike): bigint {
  if (ExplicitHashKey === undefined) return hashKeyOf(PartitionKey);
  const explicit = BigInt(ExplicitHashKey);
  if (explicit >= 0n && explicit < HASH_KEYS) return explicit;
  throw invalidArgument(
    `Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was ${ExplicitHashKey}`,
  );
}

function bytesOf({ Data, PartitionKey }: KinesisEntryLike): number {
  return Data.length + new TextEncoder().encode(PartitionKey).length;
}
