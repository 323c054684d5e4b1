import { asyncScheduler } from 'rxjs';
import type {
  KinesisCallOptions,
  KinesisClientLike,
  KinesisShardLike,
} from '../../lib/brokers/kinesis/kinesis-client.js';
import { fakeCalls, type FakeKinesisCalls, type FakeKinesisOperation } from './kinesis-fake-calls.js';
import { fakeFanOut, fanOutLimits, type FakeFanOut, type FakeSubscription } from './kinesis-fake-fan-out.js';
import { invalidArgument, noShard, noStream, sdkError } from './kinesis-fake-errors.js';
import { decodeIterator } from './kinesis-fake-iterators.js';
import { serviceLimits } from './kinesis-fake-limits.js';
import { fakeReads, type FakeKinesisReads } from './kinesis-fake-reads.js';
import { fakeStream, sequenceRange, shardId, type FakeShard, type FakeStream } from './kinesis-fake-stream.js';
import { fakeWrites, type FakeKinesisWrites, type FakeRefusal } from './kinesis-fake-writes.js';

export interface FakeKinesis
  extends Required<KinesisClientLike>, FakeKinesisCalls, FakeKinesisReads, FakeKinesisWrites, FakeFanOut {
  /** The streams that there are, by name. */
  readonly streams: ReadonlyMap<string, FakeStream>;
  /** How many shards a page of `listShards` holds at most, whatever is asked for. Default 1,000. */
  shardsPerPage: number;
  stream(name: string): FakeStream;
  /** Makes a stream; one of that name may have been deleted before. */
  createStream(name: string, shards?: number): FakeStream;
  deleteStream(name: string): void;
  /** Makes entries of `putRecords` fail, the earliest refusal first. */
  refuse(refusal?: FakeRefusal): void;
}

interface Token {
  readonly stream: string;
  readonly above: number;
  readonly madeAt: number;
}

const MAX_RESULTS = 10_000;

/**
 * A Kinesis in this process, in the time of RxJS schedulers: virtual in a TestScheduler. Its calls answer with Observables
 * that may be awaited, and take effect at once, also where nobody listens. Beyond what the test servers do it knows the
 * limits of the service, and every failure.
 */
export function fakeKinesis(streams: Readonly<Record<string, number>> = { s: 1 }): FakeKinesis {
  const known = new Map<string, FakeStream>();
  let second = 0;
  const nextSecond = (): number => (second = Math.max(second + 1, Math.floor(asyncScheduler.now() / 1_000)));

  /** Where a shard is asked for, it is the shard that is missing, in the words of the service. */
  const find = (name: string, shard?: string): FakeStream => {
    const found = known.get(name);
    if (found === undefined) throw shard === undefined ? noStream(name) : noShard(name, shard);
    found.expire();
    return found;
  };
  const calls = fakeCalls();
  const answer = <T>(
    operation: FakeKinesisOperation,
    input: unknown,
    options: KinesisCallOptions | undefined,
    serve: () => T,
    shard?: string,
  ): Promise<T> => calls.answer({ operation, input, options, serve, shard });

  const listShards = (input: Parameters<KinesisClientLike['listShards']>[0]) => {
    const { StreamName, StreamARN, NextToken, MaxResults = MAX_RESULTS } = input;
    if (NextToken !== undefined && (StreamName !== undefined || StreamARN !== undefined)) {
      throw invalidArgument('NextToken and StreamName cannot be provided together.');
    }
    const token = NextToken === undefined ? undefined : tokenOf(NextToken, kinesis.limits.tokenMs);
    const found = find(token?.stream ?? nameOf(input));
    const shards = [...found.shards.values()].filter(({ number }) => number > (token?.above ?? -1));
    const page = shards.slice(0, Math.min(MaxResults, kinesis.shardsPerPage));
    const next: Token = { stream: found.name, above: page.at(-1)?.number ?? -1, madeAt: asyncScheduler.now() };
    return {
      Shards: page.map(shardOf),
      ...(page.length < shards.length ? { NextToken: btoa(JSON.stringify(next)) } : {}),
    };
  };

  const kinesis: FakeKinesis = Object.assign(calls, {
    limits: serviceLimits(),
    endOfShard: 'last-records' as const,
    childShards: true,
    emptyPages: 0,
    tooLarge: 'call' as const,
    shardsPerPage: 1_000,
    streams: known,
    stream: (name: string) => find(name),
    createStream: (name: string, shards = 1): FakeStream => {
      if (known.has(name)) throw new Error(`there is a stream ${name}`);
      const made = fakeStream(name, shards, nextSecond);
      known.set(name, made);
      return made;
    },
    deleteStream: (name: string): void => {
      const stream = find(name);
      known.delete(name);
      stream.changed();
    },
    fanOut: fanOutLimits(),
    subscriptions: [] as FakeSubscription[],
    subscriptionsOf: (shard: string) => kinesis.subscriptions.filter((one) => one.shard === shard),
    openSubscriptions: () => kinesis.subscriptions.filter(({ state }) => state === 'open'),
    neverEnds: false,
    endContinues: false,
    deregister: (stream: string, name: string): void => fanOut.deregister(stream, name),
    refuse: (refusal?: FakeRefusal): void => writes.refuse(refusal),

    listShards: (input, options) => answer('listShards', input, options, () => listShards(input)),
    describeStreamSummary: (input, options) =>
      answer('describeStreamSummary', input, options, () => ({
        StreamDescriptionSummary: summaryOf(find(nameOf(input))),
      })),
    getShardIterator: (input, options) =>
      answer('getShardIterator', input, options, () => reads.getShardIterator(nameOf(input), input), input.ShardId),
    getRecords: (input, options) => {
      const iterator = decodeIterator(input.ShardIterator);
      const shard = iterator && shardId(iterator.shard);
      return answer('getRecords', input, options, () => reads.getRecords(input), shard);
    },
    putRecords: (input, options) =>
      answer('putRecords', input, options, () => writes.putRecords(find(nameOf(input)), input)),
    registerStreamConsumer: (input, options) =>
      answer('registerStreamConsumer', input, options, () => fanOut.register(input.StreamARN, input.ConsumerName)),
    describeStreamConsumer: (input, options) =>
      answer('describeStreamConsumer', input, options, () => fanOut.describe(input)),
    subscribeToShard: (input, options) => {
      const serve = () => fanOut.subscribe(input, options?.abortSignal, () => eventLatencyMs(input));
      return answer('subscribeToShard', input, options, serve, input.ShardId);
    },
  } satisfies Omit<FakeKinesis, keyof FakeKinesisCalls>);
  const reads = fakeReads(kinesis, find);
  const writes = fakeWrites(kinesis);
  const fanOut = fakeFanOut(kinesis, find);
  const eventLatencyMs = (input: { readonly ShardId: string }): number => {
    const { latencyMs } = kinesis;
    if (typeof latencyMs === 'number') return latencyMs;
    return latencyMs({
      operation: 'subscribeToShard',
      input,
      at: asyncScheduler.now(),
      shard: input.ShardId,
      outcome: 'open',
    });
  };

  for (const [name, shards] of Object.entries(streams)) kinesis.createStream(name, shards);
  return kinesis;
}

function nameOf({ StreamName, StreamARN }: { readonly StreamName?: string; readonly StreamARN?: string }): string {
  const name = StreamName ?? StreamARN?.split('/').at(-1);
  if (name === undefined) throw invalidArgument('Either StreamName or StreamARN should be provided.');
  return name;
}

function tokenOf(text: string, heldMs: number): Token {
  let token: Token;
  try {
    token = JSON.parse(atob(text)) as Token;
  } catch {
    throw invalidArgument('NextToken is invalid.');
  }
  if (asyncScheduler.now() - token.madeAt <= heldMs) return token;
  throw sdkError({
    name: 'ExpiredNextTokenException',
    message: 'The pagination token passed to the operation is expired.',
  });
}

function shardOf(shard: FakeShard): KinesisShardLike {
  const [parent, adjacent] = shard.parents;
  const [first, last] = sequenceRange(shard);
  return {
    ShardId: shard.id,
    ...(parent === undefined ? {} : { ParentShardId: parent.id }),
    ...(adjacent === undefined ? {} : { AdjacentParentShardId: adjacent.id }),
    HashKeyRange: { StartingHashKey: String(shard.hashKeys[0]), EndingHashKey: String(shard.hashKeys[1]) },
    SequenceNumberRange: {
      StartingSequenceNumber: first,
      ...(last === undefined ? {} : { EndingSequenceNumber: last }),
    },
  };
}

function summaryOf({ name, arn, retentionHours, shards }: FakeStream) {
  const open = [...shards.values()].filter(({ closedAt }) => closedAt === undefined);
  return {
    StreamName: name,
    StreamARN: arn,
    StreamStatus: 'ACTIVE',
    RetentionPeriodHours: retentionHours,
    OpenShardCount: open.length,
  };
}
