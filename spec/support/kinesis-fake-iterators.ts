import { asyncScheduler } from 'rxjs';
import type { KinesisClientLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { invalidArgument, invalidValue } from './kinesis-fake-errors.js';
import { after, sequenceParts } from './kinesis-fake-sequence.js';
import { sequenceOf, sequenceRange, shardId, type FakeShard, type FakeStream } from './kinesis-fake-stream.js';

/** Where a read goes on: what the iterators of the service keep to themselves. */
export interface FakeIterator {
  readonly stream: string;
  /** Of the shard: there may be another stream of that name. */
  readonly created: number;
  readonly shard: number;
  /** The least sequence number that comes. */
  readonly from: string;
  readonly madeAt: number;
}

export function encodeIterator({ name }: FakeStream, { number, created }: FakeShard, from: string): string {
  const iterator: FakeIterator = { stream: name, created, shard: number, from, madeAt: asyncScheduler.now() };
  return btoa(JSON.stringify(iterator));
}

/** Undefined where the text is no iterator. */
export function decodeIterator(text: string): FakeIterator | undefined {
  try {
    return JSON.parse(atob(text)) as FakeIterator;
  } catch {
    return undefined;
  }
}

type Start = Parameters<KinesisClientLike['getShardIterator']>[0];

/** The least sequence number that an iterator of this kind gives. */
export function startOf(stream: FakeStream, shard: FakeShard, input: Start): string {
  const { ShardIteratorType: type, StartingSequenceNumber: number, Timestamp } = input;
  const latest = sequenceOf(shard, BigInt(shard.written) + 1n);
  const isAt = type === 'AT_SEQUENCE_NUMBER' || type === 'AFTER_SEQUENCE_NUMBER';
  if (type !== 'AT_TIMESTAMP' && isAt === (number === undefined)) {
    const has = number === undefined ? 'no' : 'also a';
    throw invalidArgument(
      'Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) ' +
        `TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified ${type} and ${has} StartingSequenceNumber.`,
    );
  }
  if (number !== undefined) {
    checkNumber(stream, shard, number);
    return type === 'AFTER_SEQUENCE_NUMBER' ? after(number) : number;
  }
  if (type === 'TRIM_HORIZON') return sequenceRange(shard)[0];
  if (type === 'LATEST') return latest;

  const now = asyncScheduler.now();
  if (Timestamp === undefined)
    throw invalidArgument('Must specify timestampInMillis for iterator of type AT_TIMESTAMP.');
  if (Timestamp.getTime() > now) {
    throw invalidArgument(
      'The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. ' +
        `timestampInMillis: ${Timestamp.getTime()}, currentTimestampInMillis: ${now}`,
    );
  }
  return shard.records.find(({ at }) => at >= Timestamp.getTime())?.sequenceNumber ?? latest;
}

function checkNumber(stream: FakeStream, shard: FakeShard, number: string): void {
  const pattern = '0|([1-9]\\d{0,128})';
  if (!new RegExp(`^(${pattern})$`).test(number)) {
    throw invalidValue('startingSequenceNumber', number, `Member must satisfy regular expression pattern: ${pattern}`);
  }
  const parts = sequenceParts(number);
  const use = `used in GetShardIterator on shard ${shard.id} in stream ${stream.name} under account 000000000000`;
  if (parts === undefined) throw invalidArgument(`StartingSequenceNumber ${number} ${use} is invalid.`);
  if (parts.shard !== shard.number) {
    throw invalidArgument(
      `Invalid StartingSequenceNumber. It encodes ${shardId(parts.shard)}, while it was used in a call to a shard with ${shard.id}`,
    );
  }
  if (parts.created !== shard.created) {
    throw invalidArgument(
      `StartingSequenceNumber ${number} ${use} is invalid because it did not come from this stream.`,
    );
  }
}
