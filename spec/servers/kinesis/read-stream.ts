import type { Kinesis, Shard } from '@aws-sdk/client-kinesis';

/** A record, as a stream holds it. */
export interface KinesisStoredRecord {
  readonly shard: string;
  readonly sequenceNumber: string;
  readonly key: string | undefined;
  readonly data: Uint8Array;
}

/** A shard and where it comes from. */
export interface KinesisTestShard {
  readonly id: string;
  /** None, one after a split, two after a merge. */
  readonly parents: readonly string[];
  /** The first and the last hash key that it has. */
  readonly hashKeys: readonly [first: bigint, last: bigint];
  /** Whether it takes records. */
  readonly isOpen: boolean;
}

/** All shards of a stream, in the order in which they came to be. */
export async function readShards(client: Kinesis, stream: string): Promise<KinesisTestShard[]> {
  const shards: Shard[] = [];
  let next: string | undefined;
  do {
    const page = await client.listShards(next === undefined ? { StreamName: stream } : { NextToken: next });
    shards.push(...(page.Shards ?? []));
    next = page.NextToken;
  } while (next !== undefined);
  return shards.map(shardOf).sort((a, b) => (a.id < b.id ? -1 : 1));
}

/** All that a stream holds now: by shard, and in its order there. */
export async function readStream(client: Kinesis, stream: string): Promise<KinesisStoredRecord[]> {
  const shards = await readShards(client, stream);
  const records = await Promise.all(shards.map((shard) => readShard(client, stream, shard)));
  return records.flat();
}

async function readShard(
  client: Kinesis,
  stream: string,
  { id, isOpen }: KinesisTestShard,
): Promise<KinesisStoredRecord[]> {
  const records: KinesisStoredRecord[] = [];
  const first = await client.getShardIterator({ StreamName: stream, ShardId: id, ShardIteratorType: 'TRIM_HORIZON' });
  let iterator = first.ShardIterator;
  while (iterator !== undefined) {
    const { Records = [], NextShardIterator } = await client.getRecords({ ShardIterator: iterator });
    for (const { SequenceNumber = '', PartitionKey, Data = new Uint8Array() } of Records) {
      records.push({ shard: id, sequenceNumber: SequenceNumber, key: PartitionKey, data: Data });
    }
    // No test server gives an empty page where there is more; the service may.
    if (isOpen && Records.length === 0) break;
    iterator = NextShardIterator;
  }
  return records;
}

function shardOf(shard: Shard): KinesisTestShard {
  const { ShardId = '', ParentShardId, AdjacentParentShardId, HashKeyRange, SequenceNumberRange } = shard;
  return {
    id: ShardId,
    parents: [ParentShardId, AdjacentParentShardId].filter((parent) => typeof parent === 'string'),
    hashKeys: [BigInt(HashKeyRange?.StartingHashKey ?? ''), BigInt(HashKeyRange?.EndingHashKey ?? '')],
    isOpen: SequenceNumberRange?.EndingSequenceNumber === undefined,
  };
}
