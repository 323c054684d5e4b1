import type {
  KinesisClientLike,
  KinesisIteratorType,
  KinesisPutResultLike,
  KinesisShardLike,
} from '../../lib/brokers/kinesis/kinesis-client.js';

/** A Kinesis, live or fake, with what its client cannot do. */
export interface KinesisWorld {
  readonly client: KinesisClientLike;
  /** Makes a stream of two shards. */
  createStream(): Promise<string>;
  deleteStream(stream: string): Promise<void>;
  split(stream: string, shard: string): Promise<[lower: string, upper: string]>;
  merge(stream: string, shard: string, adjacent: string): Promise<string>;
}

/** How a shard was read from its beginning. */
export interface ShardStory {
  readonly numbers: readonly number[];
  /** How many records came in each page that had some. */
  readonly pages: readonly number[];
  /** Null: it has not ended. */
  readonly end: 'last-records' | 'empty-page' | null;
  /** What the end told of its children. */
  readonly children: readonly { readonly id: string | undefined; readonly parents: readonly string[] }[];
  readonly ascends: boolean;
  readonly digits: readonly number[];
}

const PAGE = 7;
const text = new TextDecoder();

/** Plays one script, and tells what came of it: the same on each Kinesis, but for what they are known to do differently. */
export async function playKinesis(world: KinesisWorld) {
  const { client } = world;
  const stream = await world.createStream();
  const put = async (from: number, count: number, hashKey?: bigint): Promise<KinesisPutResultLike[]> => {
    const Records = Array.from({ length: count }, (_, index) => ({
      Data: new TextEncoder().encode(String(from + index)),
      PartitionKey: `key-${(from + index) % 10}`,
      ...(hashKey === undefined ? {} : { ExplicitHashKey: String(hashKey) }),
    }));
    const { Records: places = [] } = await client.putRecords({ StreamName: stream, Records });
    return places;
  };
  const iterator = async (
    ShardId: string,
    ShardIteratorType: KinesisIteratorType,
    more: object = {},
  ): Promise<string> => {
    const made = await client.getShardIterator({ StreamName: stream, ShardId, ShardIteratorType, ...more });
    return made.ShardIterator ?? '';
  };
  const read = async (shard: string, type: KinesisIteratorType, more: object = {}): Promise<number[]> => {
    const { Records = [] } = await client.getRecords({ ShardIterator: await iterator(shard, type, more), Limit: 3 });
    return Records.map(({ Data }) => Number(text.decode(Data)));
  };

  const [first, second] = ['shardId-000000000000', 'shardId-000000000001'] as const;
  const places = await put(0, 40);
  const [lower, upper] = await world.split(stream, first);
  places.push(...(await put(40, 40)));
  const merged = await world.merge(stream, second, upper);
  places.push(...(await put(80, 40)));

  const shards = await shardsOf(client, stream);
  const stories: Record<string, ShardStory> = {};
  for (const { id, isOpen } of shards)
    stories[id] = await shardStory(client, await iterator(id, 'TRIM_HORIZON'), isOpen);

  const fifth = places.filter(({ ShardId }) => ShardId === first)[4]?.SequenceNumber;
  const ofOther = places.find(({ ShardId }) => ShardId === merged)?.SequenceNumber;
  const latest = await iterator(lower, 'LATEST');
  await put(120, 2, 0n);
  const { Records: sinceLatest = [] } = await client.getRecords({ ShardIterator: latest });
  const starts = {
    at: await read(first, 'AT_SEQUENCE_NUMBER', { StartingSequenceNumber: fifth }),
    after: await read(first, 'AFTER_SEQUENCE_NUMBER', { StartingSequenceNumber: fifth }),
    timestamp: await read(first, 'AT_TIMESTAMP', { Timestamp: new Date(0) }),
    latestOfClosed: await read(first, 'LATEST'),
    latest: sinceLatest.map(({ Data }) => Number(text.decode(Data))),
  };

  const inFuture = { Timestamp: new Date(Date.now() + 3_600_000) };
  const beyond = { Data: new Uint8Array(1), PartitionKey: 'k', ExplicitHashKey: String(2n ** 128n) };
  const anIterator = await iterator(lower, 'TRIM_HORIZON');
  const ofOtherShard = await nameOf(() =>
    iterator(first, 'AFTER_SEQUENCE_NUMBER', { StartingSequenceNumber: ofOther }),
  );
  const errors = {
    unknownStream: await nameOf(() => client.listShards({ StreamName: 'none' })),
    describeUnknownStream: await nameOf(() => client.describeStreamSummary({ StreamName: 'none' })),
    putToUnknownStream: await nameOf(() =>
      client.putRecords({ StreamName: 'none', Records: [{ ...beyond, ExplicitHashKey: '0' }] }),
    ),
    unknownShard: await nameOf(() => iterator('shardId-000000000077', 'LATEST')),
    tokenAndName: await nameOf(() => client.listShards({ StreamName: stream, NextToken: 'token' })),
    noStreamNamed: await nameOf(() => client.listShards({})),
    afterNothing: await nameOf(() => iterator(first, 'AFTER_SEQUENCE_NUMBER')),
    inFuture: await nameOf(() => iterator(first, 'AT_TIMESTAMP', inFuture)),
    hashKeyBeyond: await nameOf(() => client.putRecords({ StreamName: stream, Records: [beyond] })),
  };
  await world.deleteStream(stream);
  return {
    placed: places.map(({ ShardId }) => ShardId),
    lineage: shards,
    stories,
    starts,
    errors,
    // Each by another name.
    takesOfOtherShard: ofOtherShard === null,
    deleted: {
      read: await nameOf(() => client.getRecords({ ShardIterator: anIterator })),
      put: await nameOf(() => put(0, 1)),
    },
  };
}

/** All shards, page by page; hash keys to 64 bits, for the servers round differently. */
async function shardsOf(client: KinesisClientLike, stream: string) {
  const shards: KinesisShardLike[] = [];
  let next: string | undefined;
  do {
    const page = await client.listShards(next === undefined ? { StreamName: stream } : { NextToken: next });
    shards.push(...(page.Shards ?? []));
    next = page.NextToken;
  } while (next !== undefined);
  const rounded = (hashKey = '0'): bigint => (BigInt(hashKey) + 2n ** 63n) >> 64n;
  return shards.map(({ ShardId = '', ParentShardId, AdjacentParentShardId, HashKeyRange, SequenceNumberRange }) => ({
    id: ShardId,
    parent: ParentShardId,
    adjacent: AdjacentParentShardId,
    hashKeys: [rounded(HashKeyRange?.StartingHashKey), rounded(HashKeyRange?.EndingHashKey)],
    isOpen: SequenceNumberRange?.EndingSequenceNumber === undefined,
  }));
}

async function shardStory(client: KinesisClientLike, from: string, isOpen: boolean): Promise<ShardStory> {
  const [numbers, pages, sequence]: [number[], number[], string[]] = [[], [], []];
  let iterator = from;
  for (;;) {
    const page = await client.getRecords({ ShardIterator: iterator, Limit: PAGE });
    const records = page.Records ?? [];
    if (records.length > 0) pages.push(records.length);
    numbers.push(...records.map(({ Data }) => Number(text.decode(Data))));
    sequence.push(...records.map(({ SequenceNumber = '' }) => SequenceNumber));
    if (page.NextShardIterator === undefined || (isOpen && records.length === 0)) {
      const end = records.length > 0 ? 'last-records' : 'empty-page';
      return {
        numbers,
        pages,
        end: page.NextShardIterator === undefined ? end : null,
        children: (page.ChildShards ?? []).map(({ ShardId, ParentShards }) => ({
          id: ShardId,
          parents: [...(ParentShards ?? [])].sort(),
        })),
        ascends: sequence.every((one, index) => index === 0 || BigInt(one) > BigInt(sequence[index - 1] ?? '')),
        digits: [...new Set(sequence.map(({ length }) => length))],
      };
    }
    iterator = page.NextShardIterator;
  }
}

/** The name of the error that a call ends with; null where it succeeds. */
async function nameOf(call: () => PromiseLike<unknown>): Promise<string | null> {
  try {
    await call();
    return null;
  } catch (error) {
    return (error as Error).name;
  }
}
