import { expect, it } from '@jest/globals';
import type { KinesisClientLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { describeKinesis } from '../servers/describe-kinesis.js';
import type { KinesisTestClient } from '../servers/kinesis-test-client.js';
import { fakeKinesis, type FakeKinesis } from './kinesis-fake.js';
import { sdkError } from './kinesis-fake-errors.js';
import { shardId } from './kinesis-fake-stream.js';
import { playKinesis, type KinesisWorld } from './kinesis-scenario.js';

describeKinesis('kinesalite', 'the fake', (kinesis) => {
  it('plays the same script with the same outcome', async () => {
    const fake = unlimitedFake();
    fake.endOfShard = 'empty-page';
    fake.childShards = false;
    await expectSameStory(kinesis(), fake);
  });

  it('refuses with the same errors, property by property', async () => {
    const client = kinesis().newKinesis();
    const stream = await kinesis().createStream({ prefix: 'stream', shards: 1 });
    const fake = fakeKinesis({ [stream]: 1 });
    const refused: ((one: KinesisClientLike) => PromiseLike<unknown>)[] = [
      (one) => one.listShards({ StreamName: 'none' }),
      (one) => one.listShards({ StreamName: stream, NextToken: 'token' }),
      (one) => one.getShardIterator({ StreamName: stream, ShardId: shardId(7), ShardIteratorType: 'LATEST' }),
      (one) => one.getShardIterator({ StreamName: 'none', ShardId: shardId(0), ShardIteratorType: 'LATEST' }),
      (one) =>
        one.getShardIterator({
          StreamName: stream,
          ShardId: shardId(0),
          ShardIteratorType: 'AT_SEQUENCE_NUMBER',
          StartingSequenceNumber: 'none',
        }),
      (one) =>
        one.getShardIterator({ StreamName: stream, ShardId: shardId(0), ShardIteratorType: 'AT_SEQUENCE_NUMBER' }),
      (one) => one.getRecords({ ShardIterator: 'none' }),
      (one) => one.putRecords({ StreamName: stream, Records: [] }),
      (one) => one.putRecords({ StreamName: stream, Records: [{ Data: new Uint8Array(1), PartitionKey: '' }] }),
    ];
    for (const call of refused) expect(await shapeOf(call(fake))).toEqual(await shapeOf(call(client)));
  });

  it('cuts calls off with the same error', async () => {
    const [fake, client] = [fakeKinesis(), kinesis().newKinesis()];
    const before = AbortSignal.abort();
    const shape = await shapeOf(client.listShards({ StreamName: 's' }, { abortSignal: before }));
    expect(await shapeOf(fake.listShards({ StreamName: 's' }, { abortSignal: before }))).toEqual(shape);

    fake.hang('listShards');
    const during = new AbortController();
    const answer = fake.listShards({ StreamName: 's' }, { abortSignal: during.signal });
    during.abort();
    expect(await shapeOf(answer)).toEqual(shape);
  });

  it('loses connections with the same errors', async () => {
    const refused = kinesis().newKinesis({ endpoint: 'http://127.0.0.1:1' });
    const shape = (await shapeOf(refused.listShards({ StreamName: 's' }))) as Record<string, unknown>;
    // What Node adds, of the address.
    for (const own of ['errno', 'syscall', 'address', 'port', 'cause', 'message']) delete shape[own];
    const fake = fakeKinesis();
    fake.fail('listShards', { code: 'ECONNREFUSED' });
    expect(await shapeOf(fake.listShards({ StreamName: 's' }))).toMatchObject(shape);
    expect(sdkError({ code: 'ECONNRESET' }).name).toBe('TimeoutError');
  });
});

describeKinesis('kinesis-local', 'the fake', (kinesis) => {
  it('plays the same script with the same outcome', async () => {
    await expectSameStory(kinesis(), unlimitedFake());
  });

  it('gives the shards in the same pages', async () => {
    const pages = async (client: KinesisClientLike, stream: string): Promise<(string | undefined)[][]> => {
      const all: (string | undefined)[][] = [];
      let next: string | undefined;
      do {
        const input = next === undefined ? { StreamName: stream, MaxResults: 2 } : { NextToken: next, MaxResults: 2 };
        const page = await client.listShards(input);
        all.push((page.Shards ?? []).map(({ ShardId }) => ShardId));
        next = page.NextToken;
      } while (next !== undefined);
      return all;
    };
    const live = await pages(kinesis().newKinesis(), await kinesis().createStream({ shards: 5 }));
    expect(await pages(fakeKinesis({ s: 5 }), 's')).toEqual(live);
    expect(live).toHaveLength(3);
  });
});

describeKinesis('ferrokinesis', 'the fake', (kinesis) => {
  it('plays the same script with the same outcome', async () => {
    const fake = unlimitedFake();
    fake.endOfShard = 'empty-page';
    fake.childShards = false;
    await expectSameStory(kinesis(), fake);
  });
});

async function expectSameStory(kinesis: KinesisTestClient, fake: FakeKinesis): Promise<void> {
  const live = await playKinesis(liveWorld(kinesis));
  const read = Object.values(live.stories).flatMap(({ numbers }) => numbers);
  expect(read.sort((a, b) => a - b)).toEqual(Array.from({ length: 120 }, (_, number) => number));
  expect(Object.values(live.stories).filter(({ end }) => end !== null)).toHaveLength(3);
  expect(Object.values({ ...live.errors, ...live.deleted })).not.toContain(null);
  expect(await playKinesis(fakeWorld(fake))).toEqual(live);
}

function liveWorld(kinesis: KinesisTestClient): KinesisWorld {
  return {
    client: kinesis.newKinesis(),
    createStream: () => kinesis.createStream(),
    deleteStream: async (stream) => {
      await kinesis.deleteStream(stream);
      await untilGone(kinesis, stream);
    },
    split: (stream, shard) => kinesis.split(stream, shard),
    merge: (stream, shard, adjacent) => kinesis.merge(stream, shard, adjacent),
  };
}

function fakeWorld(fake: FakeKinesis): KinesisWorld {
  const numberOf = (shard: string): number => Number(shard.split('-')[1]);
  return {
    client: fake,
    createStream: async () => fake.createStream('played', 2).name,
    deleteStream: async (stream) => fake.deleteStream(stream),
    split: async (stream, shard) => {
      const [lower, upper] = fake.stream(stream).split(numberOf(shard));
      return [shardId(lower), shardId(upper)];
    },
    merge: async (stream, shard, adjacent) => shardId(fake.stream(stream).merge(numberOf(shard), numberOf(adjacent))),
  };
}

/** The servers here know no rates. */
function unlimitedFake(): FakeKinesis {
  const fake = fakeKinesis();
  Object.assign(fake.limits, { readsPerSecond: Infinity, iteratorsPerSecond: Infinity });
  return fake;
}

async function untilGone(kinesis: KinesisTestClient, stream: string): Promise<void> {
  while (await kinesis.shards(stream).catch(() => undefined));
}

/** All own properties of the error that a call ends with; those that a request has for itself by their types. */
async function shapeOf(call: PromiseLike<unknown>): Promise<object> {
  try {
    await call;
  } catch (error) {
    const ids = ['requestId', 'extendedRequestId'];
    const { $metadata } = error as { $metadata?: object };
    const properties = Object.getOwnPropertyDescriptors(error as object);
    return {
      ...Object.fromEntries(
        Object.entries(properties)
          .filter(([name]) => !['stack', '$response', '$metadata'].includes(name))
          .map(([name, { value, enumerable }]) => [name, { value: value as unknown, enumerable }]),
      ),
      name: (error as Error).name,
      hidesResponse: properties['$response']?.enumerable,
      ...($metadata && { $metadata: Object.entries($metadata).filter(([name]) => !ids.includes(name)) }),
    };
  }
  throw new Error('the call has succeeded');
}
