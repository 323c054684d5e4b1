import { createHash } from 'node:crypto';
import { asyncScheduler, Subject, type Observable } from 'rxjs';
import { LAST_INDEX, sequenceNumber } from './kinesis-fake-sequence.js';

/** A record, as a shard keeps it. */
export interface FakeKinesisRecord {
  readonly sequenceNumber: string;
  readonly key: string | undefined;
  readonly data: Uint8Array;
  /** Milliseconds since 1970, which is when virtual time begins. */
  readonly at: number;
}

/** What is to be stored: the data alone, with the key `'k'`, or with a key, or with none. */
export type FakeKinesisInput =
  string | Uint8Array | { readonly data: string | Uint8Array; readonly key?: string | undefined };

export interface FakeShard {
  readonly number: number;
  readonly id: string;
  readonly parents: readonly FakeShard[];
  readonly children: FakeShard[];
  readonly hashKeys: readonly [first: bigint, last: bigint];
  /** In seconds since 1970. */
  readonly created: number;
  /** What it holds still, in order. */
  readonly records: FakeKinesisRecord[];
  /** How many records it was given. */
  written: number;
  /** When it was split or merged, in milliseconds since 1970. */
  closedAt: number | undefined;
}

/** A stream of the fake: what its owner does to it takes effect at once. */
export interface FakeStream {
  readonly name: string;
  readonly arn: string;
  /** By number. Closed ones are gone when retention has passed them. */
  readonly shards: ReadonlyMap<number, FakeShard>;
  /** Default 24; parts of an hour let records go within a spec. */
  retentionHours: number;
  /** Stores in a shard, whatever the keys say, and answers with the sequence numbers. */
  append(shard: number, ...records: readonly FakeKinesisInput[]): string[];
  /** Stores where the key says, and answers with the number of the shard. */
  put(key: string, ...data: readonly (string | Uint8Array)[]): number;
  /** Splits a shard in the middle or at a hash key; answers with the numbers of the two that come of it. */
  split(shard: number, at?: bigint): [lower: number, upper: number];
  /** Merges two shards whose hash keys adjoin; answers with the number of the one that comes of them. */
  merge(shard: number, adjacent: number): number;
  /** Splits the widest and merges the narrowest until so many are open. */
  updateShardCount(count: number): void;
  /** Lets the oldest records of a shard go, as retention does. */
  trim(shard: number, count: number): void;
  /** Lets go what retention has passed by now. */
  expire(): void;
  /** The open shard that has a hash key. */
  shardOf(hashKey: bigint): FakeShard;
  /** Emits when something was stored, or the shards have changed. */
  readonly changes: Observable<void>;
  /** Tells of a change that was made from outside. */
  changed(): void;
}

export const HASH_KEYS = 2n ** 128n;
const HOUR_MS = 3_600_000;

/** `shardId-000000000007`, as the service names the eighth. */
export function shardId(number: number): string {
  return `shardId-${String(number).padStart(12, '0')}`;
}

/** Where a key falls among the hash keys. */
export function hashKeyOf(key: string): bigint {
  return BigInt(`0x${createHash('md5').update(key).digest('hex')}`);
}

/** `nextSecond` gives each generation of shards a second of its own, so that their sequence numbers ascend. */
export function fakeStream(name: string, count: number, nextSecond: () => number): FakeStream {
  const shards = new Map<number, FakeShard>();
  const changes = new Subject<void>();
  let numbers = 0;

  const open = (hashKeys: FakeShard['hashKeys'], parents: readonly FakeShard[], created: number): FakeShard => {
    const number = numbers++;
    const shard: FakeShard = {
      number,
      id: shardId(number),
      parents,
      children: [],
      hashKeys,
      created,
      records: [],
      written: 0,
      closedAt: undefined,
    };
    for (const parent of parents) {
      parent.closedAt = asyncScheduler.now();
      parent.children.push(shard);
    }
    shards.set(number, shard);
    return shard;
  };
  const openShards = (): FakeShard[] =>
    [...shards.values()]
      .filter(({ closedAt }) => closedAt === undefined)
      .sort((a, b) => (a.hashKeys[0] < b.hashKeys[0] ? -1 : 1));
  const openShard = (number: number): FakeShard => {
    const shard = shards.get(number);
    if (shard === undefined || shard.closedAt !== undefined) throw new Error(`${name} has no open ${shardId(number)}`);
    return shard;
  };
  const store = (shard: FakeShard, key: string | undefined, data: string | Uint8Array): string => {
    const at = asyncScheduler.now();
    const stored = {
      sequenceNumber: sequenceOf(shard, BigInt(++shard.written), at),
      key,
      data: typeof data === 'string' ? new TextEncoder().encode(data) : data,
      at,
    };
    shard.records.push(stored);
    changes.next();
    return stored.sequenceNumber;
  };

  const stream: FakeStream = {
    name,
    arn: `arn:aws:kinesis:us-east-1:000000000000:stream/${name}`,
    shards,
    changes,
    changed: () => changes.next(),
    retentionHours: 24,
    append: (number, ...records) => {
      const shard = openShard(number);
      return records.map((record) =>
        typeof record === 'string' || record instanceof Uint8Array
          ? store(shard, 'k', record)
          : store(shard, record.key, record.data),
      );
    },
    put: (key, ...data) => {
      const shard = stream.shardOf(hashKeyOf(key));
      for (const one of data) store(shard, key, one);
      return shard.number;
    },
    split: (number, at) => {
      const parent = openShard(number);
      const [first, last] = parent.hashKeys;
      const middle = at ?? (first + last + 1n) / 2n;
      if (middle <= first || middle > last) throw new Error(`${middle} does not split ${parent.id}`);
      const created = nextSecond();
      const lower = open([first, middle - 1n], [parent], created);
      const upper = open([middle, last], [parent], created);
      changes.next();
      return [lower.number, upper.number];
    },
    merge: (number, adjacent) => {
      const [lower, upper] = [openShard(number), openShard(adjacent)].sort((a, b) =>
        a.hashKeys[0] < b.hashKeys[0] ? -1 : 1,
      );
      if (lower === undefined || upper === undefined || lower.hashKeys[1] + 1n !== upper.hashKeys[0]) {
        throw new Error(`${shardId(number)} and ${shardId(adjacent)} do not adjoin`);
      }
      const merged = open([lower.hashKeys[0], upper.hashKeys[1]], [lower, upper], nextSecond());
      changes.next();
      return merged.number;
    },
    updateShardCount: (wanted) => {
      for (let all = openShards(); all.length < wanted; all = openShards()) stream.split(widest(all).number);
      for (let all = openShards(); all.length > wanted; all = openShards()) {
        const [lower, upper] = narrowestPair(all);
        stream.merge(lower.number, upper.number);
      }
    },
    trim: (number, records) => void shards.get(number)?.records.splice(0, records),
    expire: () => {
      const horizon = asyncScheduler.now() - stream.retentionHours * HOUR_MS;
      for (const { number, records, closedAt = Infinity } of [...shards.values()]) {
        const kept = records.findIndex(({ at }) => at >= horizon);
        records.splice(0, kept < 0 ? records.length : kept);
        if (closedAt < horizon) shards.delete(number);
      }
    },
    shardOf: (hashKey) => {
      const found = openShards().find(({ hashKeys: [first, last] }) => first <= hashKey && hashKey <= last);
      if (found === undefined) throw new Error(`${name} has no shard for ${hashKey}`);
      return found;
    },
  };

  const created = nextSecond();
  const width = HASH_KEYS / BigInt(count);
  for (let number = 0n; number < count; number++) {
    const last = number === BigInt(count) - 1n ? HASH_KEYS - 1n : (number + 1n) * width - 1n;
    open([number * width, last], [], created);
  }
  return stream;
}

/** A sequence number of a shard; without a time the least one of its index. */
export function sequenceOf({ created, number }: FakeShard, index: bigint, atMs = 0): string {
  return sequenceNumber({ created, shard: number, index, at: Math.floor(atMs / 1_000) });
}

/** The numbers between which those of its records lie; it has a last one when it is closed. */
export function sequenceRange(shard: FakeShard): [first: string, last: string | undefined] {
  const { created, closedAt } = shard;
  const last = closedAt === undefined ? undefined : sequenceOf(shard, LAST_INDEX, closedAt);
  return [sequenceOf(shard, 0n, created * 1_000), last];
}

function width({ hashKeys: [first, last] }: FakeShard): bigint {
  return last - first;
}

function widest(shards: readonly FakeShard[]): FakeShard {
  return shards.reduce((widest, shard) => (width(shard) > width(widest) ? shard : widest));
}

function narrowestPair(shards: readonly FakeShard[]): [lower: FakeShard, upper: FakeShard] {
  const pairs = shards.slice(1).map((upper, index): [FakeShard, FakeShard] => [shards[index] as FakeShard, upper]);
  const together = ([lower, upper]: [FakeShard, FakeShard]): bigint => width(lower) + width(upper);
  return pairs.reduce((least, pair) => (together(pair) < together(least) ? pair : least));
}
