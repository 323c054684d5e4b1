import { NodeHttpHandler } from '@smithy/node-http-handler';
import type { KinesisClientLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import type { KinesisPlace, KinesisTestClient } from '../servers/kinesis-test-client.js';
import { fakeKinesis } from '../support/kinesis-fake.js';
import { hashKeyOf, shardId } from '../support/kinesis-fake-stream.js';

/** A record to be stored; without a hash key where its key belongs. */
export interface KinesisEntry {
  readonly key: string;
  readonly data: string | Uint8Array;
  readonly hashKey?: bigint | undefined;
}

/** What the suite does to a Kinesis beside the code under test. */
export interface KinesisService {
  newClient(): KinesisClientLike;
  createStream(shards: number): Promise<string>;
  /** Stores in the order given; answers with the places. */
  put(stream: string, entries: readonly KinesisEntry[]): Promise<KinesisPlace[]>;
  /** The open shards, by their hash keys, each with the first of them. */
  openShards(stream: string): Promise<{ readonly id: string; readonly first: bigint }[]>;
  split(stream: string, shard: string): Promise<unknown>;
  merge(stream: string, shard: string, adjacent: string): Promise<unknown>;
  /** Lets the oldest records of a shard go; no test server can. */
  trim?(stream: string, shard: string, count: number): void;
}

/** A test server. */
export function liveService(kinesis: () => KinesisTestClient): KinesisService {
  return {
    // The client is not the source's to end, so its idle sockets must not stay.
    newClient: () => kinesis().newKinesis({ requestHandler: new NodeHttpHandler({ httpAgent: { keepAlive: false } }) }),
    createStream: (shards) => kinesis().createStream({ shards }),
    put: (stream, entries) =>
      kinesis().put(stream, entries.length, {
        key: (index) => entryOf(entries, index).key,
        data: (index) => entryOf(entries, index).data,
        hashKey: (index) => hashKeyOfEntry(entryOf(entries, index)),
      }),
    openShards: async (stream) =>
      (await kinesis().shards(stream))
        .filter(({ isOpen }) => isOpen)
        .map(({ id, hashKeys: [first] }) => ({ id, first }))
        .sort(byHashKeys),
    split: (stream, shard) => kinesis().split(stream, shard),
    merge: (stream, shard, adjacent) => kinesis().merge(stream, shard, adjacent),
  };
}

/** The fake in this process, which can do what no test server does; it takes any number of calls. */
export function fakeService(): KinesisService {
  const kinesis = fakeKinesis({});
  Object.assign(kinesis.limits, { readsPerSecond: Infinity, iteratorsPerSecond: Infinity });
  Object.assign(kinesis.fanOut, { takeoverMs: 0, subscribesPerSecond: Infinity, quietMs: 100 });
  let made = 0;
  const numberOf = (id: string): number => Number(id.slice(-12));
  return {
    newClient: () => kinesis,
    createStream: async (shards) => kinesis.createStream(`stream-${made++}`, shards).name,
    put: async (stream, entries) =>
      entries.map((entry) => {
        const { number, id } = kinesis.stream(stream).shardOf(hashKeyOfEntry(entry));
        const [sequenceNumber = ''] = kinesis.stream(stream).append(number, entry);
        return { shard: id, sequenceNumber };
      }),
    openShards: async (stream) =>
      [...kinesis.stream(stream).shards.values()]
        .filter(({ closedAt }) => closedAt === undefined)
        .map(({ number, hashKeys: [first] }) => ({ id: shardId(number), first }))
        .sort(byHashKeys),
    split: async (stream, shard) => kinesis.stream(stream).split(numberOf(shard)),
    merge: async (stream, shard, adjacent) => kinesis.stream(stream).merge(numberOf(shard), numberOf(adjacent)),
    trim: (stream, shard, count) => kinesis.stream(stream).trim(numberOf(shard), count),
  };
}

function entryOf(entries: readonly KinesisEntry[], index: number): KinesisEntry {
  return entries[index] as KinesisEntry;
}

function hashKeyOfEntry({ key, hashKey }: KinesisEntry): bigint {
  return hashKey ?? hashKeyOf(key);
}

function byHashKeys(left: { readonly first: bigint }, right: { readonly first: bigint }): number {
  return left.first < right.first ? -1 : 1;
}
