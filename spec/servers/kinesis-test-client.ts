import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kinesis, type KinesisClientConfig, type PutRecordsRequestEntry } from '@aws-sdk/client-kinesis';
import { httpHandler } from './kinesis/http-handler.js';
import { readShards, readStream, type KinesisStoredRecord, type KinesisTestShard } from './kinesis/read-stream.js';

/** How to make a stream. */
export interface StreamShape {
  /** The name begins with this. Default `'stream'`. */
  readonly prefix?: string;
  /** Default 2. */
  readonly shards?: number;
}

/** How the records of `put` look; each function takes their number, from `first` on. */
export interface KinesisRecordShape {
  /** The number of the first record. Default 0. */
  readonly first?: number;
  /** Default: 100 keys in turn, `'key-0'` to `'key-99'`. */
  readonly key?: (index: number) => string;
  /** Default: the number in decimal. */
  readonly data?: (index: number) => string | Uint8Array;
  /** Decides the shard in the place of the key. Default: by the key. */
  readonly hashKey?: (index: number) => bigint;
}

/** Where a record was stored. */
export interface KinesisPlace {
  readonly shard: string;
  readonly sequenceNumber: string;
}

/** What specs, benchmarks and examples do to a test server of Kinesis beside the code under test. */
export interface KinesisTestClient {
  readonly endpoint: string;
  /** Makes a client for the code under test, which `close` ends: HTTP/1.1, no retries of its own. */
  newKinesis(config?: KinesisClientConfig): Kinesis;
  /** Makes a stream with a name that nobody else has, which `close` deletes. */
  createStream(shape?: StreamShape): Promise<string>;
  deleteStream(stream: string): Promise<void>;
  /**
   * Puts `count` records, up to 500 or 4 MB a request, and again those that the server refused. They are stored in the
   * order of their numbers as long as it refuses none. Answers with their places, in the order of their numbers.
   */
  put(stream: string, count: number, shape?: KinesisRecordShape): Promise<KinesisPlace[]>;
  /** Splits a shard in the middle or at a hash key, and answers with the two that come of it, the lower one first. */
  split(stream: string, shard: string, at?: bigint): Promise<[lower: string, upper: string]>;
  /** Merges two shards whose hash keys adjoin, and answers with the one that comes of them. */
  merge(stream: string, shard: string, adjacent: string): Promise<string>;
  /** Splits and merges until so many are open; kinesis-local can, and ferrokinesis without lineage. */
  updateShardCount(stream: string, count: number): Promise<void>;
  /** All shards, open and closed, in the order in which they came to be. */
  shards(stream: string): Promise<KinesisTestShard[]>;
  /** All that the stream holds now: by shard, and in its order there. */
  readAll(stream: string): Promise<KinesisStoredRecord[]>;
  /** Deletes what was made through this client, and ends all clients. */
  close(): Promise<void>;
}

const REQUEST_RECORDS = 500;
// kinesalite takes 7 MiB of JSON, in which the data are longer by a third.
const REQUEST_BYTES = 4_000_000;
const POLL_MS = 10;
const REFUSED_PAUSE_MS = 100;
const REFUSED_MS = 30_000;

/** Opens a test client; it connects when it is first used. */
export function kinesisTestClient({ endpoint }: { readonly endpoint: string }): KinesisTestClient {
  const clients: Kinesis[] = [];
  const streams = new Set<string>();

  const newKinesis = (config: KinesisClientConfig = {}): Kinesis => {
    const client = new Kinesis({
      region: 'us-east-1',
      endpoint,
      credentials: { accessKeyId: '000000000000', secretAccessKey: 'none' },
      maxAttempts: 1,
      // The SDK's default, HTTP/2, loses answers of these servers.
      requestHandler: httpHandler(),
      ...config,
    });
    clients.push(client);
    return client;
  };
  const own = newKinesis();

  const untilActive = async (stream: string): Promise<void> => {
    for (;;) {
      const { StreamDescriptionSummary: summary } = await own.describeStreamSummary({ StreamName: stream });
      if (summary?.StreamStatus === 'ACTIVE') return;
      await sleep(POLL_MS);
    }
  };
  /** Changes the shards, and answers with those that are new. */
  const reshard = async (stream: string, change: () => Promise<unknown>): Promise<KinesisTestShard[]> => {
    const known = new Set((await readShards(own, stream)).map(({ id }) => id));
    await change();
    await untilActive(stream);
    return (await readShards(own, stream)).filter(({ id }) => !known.has(id)).sort(byHashKeys);
  };
  const find = async (stream: string, ...ids: string[]): Promise<KinesisTestShard[]> => {
    const shards = await readShards(own, stream);
    return ids.map((id) => {
      const found = shards.find((shard) => shard.id === id);
      if (found === undefined) throw new Error(`${stream} has no ${id}`);
      return found;
    });
  };

  return {
    endpoint,
    newKinesis,
    createStream: async ({ prefix = 'stream', shards = 2 } = {}) => {
      const stream = `${prefix}-${randomUUID()}`;
      await own.createStream({ StreamName: stream, ShardCount: shards });
      streams.add(stream);
      await untilActive(stream);
      return stream;
    },
    deleteStream: async (stream) => {
      await own.deleteStream({ StreamName: stream, EnforceConsumerDeletion: true });
      streams.delete(stream);
    },
    put: async (stream, count, shape = {}) => {
      const places: KinesisPlace[] = [];
      let request: PutRecordsRequestEntry[] = [];
      let bytes = 0;
      for (let number = 0; number < count; number++) {
        const entry = entryOf((shape.first ?? 0) + number, shape);
        request.push(entry);
        bytes += entry.Data?.length ?? 0;
        if (request.length < REQUEST_RECORDS && bytes < REQUEST_BYTES && number < count - 1) continue;
        places.push(...(await putAll(own, stream, request)));
        request = [];
        bytes = 0;
      }
      return places;
    },
    split: async (stream, shard, at) => {
      const [found] = await find(stream, shard);
      const [first, last] = found?.hashKeys ?? [0n, 0n];
      const middle = at ?? (first + last + 1n) / 2n;
      const [lower, upper] = await reshard(stream, () =>
        own.splitShard({ StreamName: stream, ShardToSplit: shard, NewStartingHashKey: String(middle) }),
      );
      if (lower === undefined || upper === undefined) throw new Error(`the split of ${shard} made no two shards`);
      return [lower.id, upper.id];
    },
    merge: async (stream, shard, adjacent) => {
      const [lower, upper] = (await find(stream, shard, adjacent)).sort(byHashKeys);
      const [merged] = await reshard(stream, () =>
        own.mergeShards({ StreamName: stream, ShardToMerge: lower?.id, AdjacentShardToMerge: upper?.id }),
      );
      if (merged === undefined) throw new Error(`the merge of ${shard} and ${adjacent} made no shard`);
      return merged.id;
    },
    updateShardCount: async (stream, count) => {
      await reshard(stream, () =>
        own.updateShardCount({ StreamName: stream, TargetShardCount: count, ScalingType: 'UNIFORM_SCALING' }),
      );
    },
    shards: (stream) => readShards(own, stream),
    readAll: (stream) => readStream(own, stream),
    close: async () => {
      // A server or a stream that is gone does not fail the spec.
      for (const stream of streams) await own.deleteStream({ StreamName: stream }).catch(() => undefined);
      for (const client of clients) client.destroy();
    },
  };
}

function entryOf(index: number, shape: KinesisRecordShape): PutRecordsRequestEntry {
  const { key = (number) => `key-${number % 100}`, data = String, hashKey } = shape;
  const payload = data(index);
  return {
    PartitionKey: key(index),
    Data: typeof payload === 'string' ? Buffer.from(payload) : payload,
    ...(hashKey === undefined ? {} : { ExplicitHashKey: String(hashKey(index)) }),
  };
}

/** Puts until the server has taken each record. */
async function putAll(
  client: Kinesis,
  stream: string,
  entries: readonly PutRecordsRequestEntry[],
): Promise<KinesisPlace[]> {
  const places: KinesisPlace[] = [];
  const limit = performance.now() + REFUSED_MS;
  let left = entries.map((_, index) => index);
  for (;;) {
    const request = left.map((index) => entries[index]).filter((entry) => entry !== undefined);
    const { Records = [] } = await client.putRecords({ StreamName: stream, Records: request });
    let refusal: string | undefined;
    left = left.filter((index, turn) => {
      const { ShardId: shard, SequenceNumber: sequenceNumber, ErrorMessage = 'no place' } = Records[turn] ?? {};
      if (shard === undefined || sequenceNumber === undefined) {
        refusal = ErrorMessage;
        return true;
      }
      places[index] = { shard, sequenceNumber };
      return false;
    });
    if (left.length === 0) return places;
    if (performance.now() > limit) throw new Error(`${stream} refuses ${left.length} records: ${refusal}`);
    await sleep(REFUSED_PAUSE_MS);
  }
}

function byHashKeys(a: KinesisTestShard, b: KinesisTestShard): number {
  return a.hashKeys[0] < b.hashKeys[0] ? -1 : 1;
}
