import { asyncScheduler, from, Observable, of, Subject, type Subscription } from 'rxjs';
import type {
  KinesisClientLike,
  KinesisFanOutEventLike,
  KinesisStreamEventLike,
} from '../../lib/brokers/kinesis/kinesis-client.js';
import { promised } from './kinesis-fake-calls.js';
import { sdkError, type SdkErrorShape } from './kinesis-fake-errors.js';
import { startOf } from './kinesis-fake-iterators.js';
import { rateExceeded } from './kinesis-fake-limits.js';
import { sequenceParts } from './kinesis-fake-sequence.js';
import { childOf, readPage, recordOf, shardNamed, type FakeKinesisReads } from './kinesis-fake-reads.js';
import { sequenceOf, type FakeShard, type FakeStream } from './kinesis-fake-stream.js';

/** What the service does about fan-out; the test servers know little of it. */
export interface FakeFanOutLimits {
  /** How long a subscription lasts. */
  subscriptionMs: number;
  /** How long a subscription keeps others from its shard; after that they take it over. */
  takeoverMs: number;
  /** Calls of `subscribeToShard` a second, of a consumer and a shard. */
  subscribesPerSecond: number;
  /** How many consumers a stream may have. */
  consumers: number;
  /** How long it takes to make one. */
  creatingMs: number;
  /** Records of an event. */
  eventRecords: number;
  /** How often a shard without records has an event. */
  quietMs: number;
}

export function fanOutLimits(): FakeFanOutLimits {
  return {
    subscriptionMs: 300_000,
    takeoverMs: 5_000,
    subscribesPerSecond: 1,
    consumers: 20,
    creatingMs: 0,
    eventRecords: 1_000,
    quietMs: 5_000,
  };
}

/** A subscription to a shard, as the service sees it. */
export interface FakeSubscription {
  readonly shard: string;
  readonly consumerArn: string;
  readonly position: Parameters<NonNullable<KinesisClientLike['subscribeToShard']>>[0]['StartingPosition'];
  readonly openedAt: number;
  /** `'open'`, then `'ended'`, the name of its error, or `'aborted'` where the client ended it. */
  state: string;
  /** The events that the client took. */
  readonly taken: KinesisFanOutEventLike[];
  /** The client waits for an event. */
  readonly isPulled: boolean;
  /** Whether the client has called `return` of its iterator. */
  isReturned: boolean;
  /** Ends it as the service does after five minutes: without children. */
  end(): void;
  /** Ends it by an error event, or as the network does. */
  fail(error: SdkErrorShape): void;
  /** Sends an event out of turn. */
  send(event: KinesisFanOutEventLike): void;
}

export interface FakeFanOut {
  readonly fanOut: FakeFanOutLimits;
  /** All subscriptions, from the first on. */
  readonly subscriptions: FakeSubscription[];
  /** Those of a shard. */
  subscriptionsOf(shard: string): FakeSubscription[];
  /** Those that are open. */
  openSubscriptions(): FakeSubscription[];
  /** The shards that are closed end without children, as on kinesis-local: never. Default false. */
  neverEnds: boolean;
  /** Whether the last event of a shard says how to go on, which makes no sense. Default false. */
  endContinues: boolean;
  deregister(stream: string, name: string): void;
}

interface Consumer {
  readonly name: string;
  readonly arn: string;
  readonly activeAt: number;
}

type Pulled = IteratorResult<KinesisStreamEventLike, undefined>;

/** Registered consumers, and subscriptions that last as long as the service has them. */
export function fakeFanOut(
  kinesis: FakeKinesisReads & FakeFanOut & { readonly streams: ReadonlyMap<string, FakeStream> },
  find: (stream: string, shard?: string) => FakeStream,
) {
  const consumers = new WeakMap<FakeStream, Map<string, Consumer>>();
  const calls = new Map<string, number[]>();
  let made = 0;

  const consumersOf = (stream: FakeStream): Map<string, Consumer> => {
    const found = consumers.get(stream) ?? new Map<string, Consumer>();
    consumers.set(stream, found);
    return found;
  };
  const told = ({ name, arn, activeAt }: Consumer) => ({
    ConsumerName: name,
    ConsumerARN: arn,
    ConsumerStatus: asyncScheduler.now() >= activeAt ? 'ACTIVE' : 'CREATING',
  });
  const gone = (what: string): Error =>
    sdkError({ name: 'ResourceNotFoundException', message: `Consumer ${what} not found.` });
  const byArn = (arn: string): { stream: FakeStream; consumer: Consumer } => {
    const stream = find(/:stream\/([^/]+)\/consumer\//.exec(arn)?.[1] ?? '');
    const consumer = [...consumersOf(stream).values()].find((one) => one.arn === arn);
    if (consumer === undefined) throw gone(arn);
    return { stream, consumer };
  };
  const withinCalls = (stream: FakeStream, shard: FakeShard, consumer: Consumer): void => {
    const now = asyncScheduler.now();
    const key = `${consumer.arn} ${shard.id}`;
    const times = (calls.get(key) ?? []).filter((at) => at > now - 1_000);
    calls.set(key, times);
    if (times.length >= kinesis.fanOut.subscribesPerSecond) {
      throw sdkError({ name: 'LimitExceededException', message: rateExceeded(stream, shard) });
    }
    times.push(now);
  };

  return {
    register: (arn: string, name: string) => {
      const stream = find(arn.split('/').at(-1) ?? '');
      const all = consumersOf(stream);
      if (all.has(name)) {
        throw sdkError({
          name: 'ResourceInUseException',
          message: `Consumer ${name} under stream ${stream.name} already exists for account 000000000000.`,
        });
      }
      if (all.size >= kinesis.fanOut.consumers) {
        throw sdkError({ name: 'LimitExceededException', message: `Stream ${stream.name} has too many consumers.` });
      }
      const now = asyncScheduler.now();
      const consumer = {
        name,
        arn: `${stream.arn}/consumer/${name}:${Math.floor(now / 1_000) + made++}`,
        activeAt: now + kinesis.fanOut.creatingMs,
      };
      all.set(name, consumer);
      return { Consumer: { ...told(consumer), ConsumerStatus: 'CREATING' } };
    },

    describe: ({ StreamARN = '', ConsumerName = '', ConsumerARN }: DescribeInput) => {
      if (ConsumerARN !== undefined) return { ConsumerDescription: told(byArn(ConsumerARN).consumer) };
      const found = consumersOf(find(StreamARN.split('/').at(-1) ?? '')).get(ConsumerName);
      if (found === undefined) throw gone(ConsumerName);
      return { ConsumerDescription: told(found) };
    },

    deregister: (stream: string, name: string): void => {
      const consumer = consumersOf(find(stream)).get(name);
      if (consumer === undefined) throw new Error(`${stream} has no consumer ${name}`);
      consumersOf(find(stream)).delete(name);
      for (const one of kinesis.openSubscriptions()) {
        if (one.consumerArn === consumer.arn) one.fail({ name: 'ResourceNotFoundException' });
      }
    },

    subscribe: (
      { ConsumerARN, ShardId, StartingPosition }: SubscribeInput,
      signal: AbortSignal | undefined,
      latencyMs: () => number,
    ) => {
      const { stream, consumer } = byArn(ConsumerARN);
      const shard = shardNamed(stream, ShardId);
      const now = asyncScheduler.now();
      withinCalls(stream, shard, consumer);
      const inUse = (message: string): SdkErrorShape => ({ name: 'ResourceInUseException', message });
      if (now < consumer.activeAt) throw sdkError(inUse(`Consumer ${consumer.name} is not active.`));
      const { Type, SequenceNumber, Timestamp } = StartingPosition;
      const cursor = startOf(stream, shard, {
        ShardId,
        ShardIteratorType: Type,
        ...(SequenceNumber === undefined ? {} : { StartingSequenceNumber: SequenceNumber }),
        ...(Timestamp === undefined ? {} : { Timestamp }),
      });
      const last = kinesis
        .subscriptionsOf(ShardId)
        .filter((one) => one.consumerArn === ConsumerARN)
        .at(-1);
      if (last !== undefined && now - last.openedAt < kinesis.fanOut.takeoverMs) {
        throw sdkError(inUse('Another active subscription exists for this consumer.'));
      }
      if (last?.state === 'open') last.fail(inUse('The subscription was taken over.'));
      const isGone = (): boolean => kinesis.streams.get(stream.name) !== stream || !stream.shards.has(shard.number);
      const opened = openSubscription({
        kinesis,
        stream,
        shard,
        cursor,
        position: StartingPosition,
        signal,
        consumerArn: ConsumerARN,
        latencyMs,
        isGone,
      });
      kinesis.subscriptions.push(opened.subscription);
      return { EventStream: opened.events };
    },
  };
}

/** The number that what follows comes after: of the last record, or one that no record has. */
function continuationOf(shard: FakeShard, cursor: string): string {
  const before = String(BigInt(cursor) - 1n);
  if (sequenceParts(before) !== undefined) return before;
  const index = sequenceParts(cursor)?.index ?? 0n;
  return index === 0n ? cursor : sequenceOf(shard, index - 1n, LAST_SECOND * 1_000);
}

const LAST_SECOND = 0xf_ffff_ffff;

type DescribeInput = Parameters<NonNullable<KinesisClientLike['describeStreamConsumer']>>[0];
type SubscribeInput = Parameters<NonNullable<KinesisClientLike['subscribeToShard']>>[0];

interface Opening {
  readonly kinesis: FakeKinesisReads & FakeFanOut;
  readonly stream: FakeStream;
  readonly shard: FakeShard;
  readonly cursor: string;
  readonly position: FakeSubscription['position'];
  readonly consumerArn: string;
  readonly signal: AbortSignal | undefined;
  readonly latencyMs: () => number;
  /** The stream was deleted, or retention has passed the shard. */
  readonly isGone: () => boolean;
}

/** Events are made when the client asks for one, so nothing is under way where it does not; timers run only meanwhile. */
function openSubscription({ kinesis, stream, shard, signal, latencyMs, isGone, ...given }: Opening) {
  const { fanOut } = kinesis;
  const openedAt = asyncScheduler.now();
  const ready: KinesisFanOutEventLike[] = [];
  const woken = new Subject<void>();
  let { cursor } = given;
  let quietSince = openedAt;
  let error: unknown;
  let isOver = false;
  let isPulled = false;

  const settle = (state: string, reason?: unknown): void => {
    if (subscription.state !== 'open') return;
    subscription.state = state;
    error = reason;
    signal?.removeEventListener('abort', abort);
    woken.next();
  };
  const abort = (): void => settle('aborted', sdkError({ name: 'AbortError', message: 'Request aborted' }));
  const subscription: FakeSubscription = {
    shard: shard.id,
    consumerArn: given.consumerArn,
    position: given.position,
    openedAt,
    state: 'open',
    taken: [],
    get isPulled() {
      return isPulled;
    },
    isReturned: false,
    end: () => settle('ended'),
    fail: (shape) => settle(shape.name ?? shape.code ?? 'error', sdkError(shape)),
    send: (event) => {
      ready.push(event);
      woken.next();
    },
  };
  if (signal?.aborted) abort();
  else signal?.addEventListener('abort', abort);

  /** The next event, if there is one by now. */
  const nextEvent = (): KinesisFanOutEventLike | undefined => {
    const sent = ready.shift();
    if (sent !== undefined) return sent;
    const now = asyncScheduler.now();
    const {
      records,
      next,
      from: after,
      isEnd,
    } = readPage({ ...kinesis, endOfShard: 'last-records' }, shard, cursor, fanOut.eventRecords);
    const ends = isEnd && !kinesis.neverEnds;
    if (records.length === 0 && !ends && now < quietSince + fanOut.quietMs) return undefined;
    cursor = after;
    quietSince = now;
    isOver = ends;
    return {
      Records: records.map(recordOf),
      MillisBehindLatest: next === undefined ? 0 : now - (records.at(-1) ?? next).at,
      ...(ends && !kinesis.endContinues ? {} : { ContinuationSequenceNumber: continuationOf(shard, cursor) }),
      ...(ends ? { ChildShards: shard.children.map(childOf) } : {}),
    };
  };

  const pull = (): Observable<Pulled> =>
    new Observable<Pulled>((subscriber) => {
      let waiting: Subscription | undefined;
      isPulled = true;
      const answer = (tell: () => void, ms: number): void => {
        waiting?.unsubscribe();
        listening.unsubscribe();
        waiting = asyncScheduler.schedule(() => {
          isPulled = false;
          tell();
        }, ms);
      };
      const done = (): void => {
        subscriber.next({ done: true, value: undefined });
        subscriber.complete();
      };
      const look = (): void => {
        const now = asyncScheduler.now();
        if (subscription.state === 'open' && now >= openedAt + fanOut.subscriptionMs) settle('ended');
        else if (subscription.state === 'open' && isGone()) subscription.fail({ name: 'ResourceNotFoundException' });
        if (subscription.state !== 'open') {
          answer(() => (error === undefined ? done() : subscriber.error(error)), 0);
          return;
        }
        if (isOver) {
          settle('ended');
          return;
        }
        const event = nextEvent();
        if (event !== undefined) {
          answer(() => {
            subscription.taken.push(event);
            subscriber.next({ done: false, value: { SubscribeToShardEvent: event } });
            subscriber.complete();
          }, latencyMs());
          return;
        }
        waiting?.unsubscribe();
        const until = Math.min(quietSince + fanOut.quietMs, openedAt + fanOut.subscriptionMs);
        waiting = asyncScheduler.schedule(look, Math.max(1, until - now));
      };
      const listening = stream.changes.subscribe(look);
      listening.add(woken.subscribe(look));
      look();
      return () => {
        isPulled = false;
        listening.unsubscribe();
        waiting?.unsubscribe();
      };
    });

  const events: AsyncIterable<KinesisStreamEventLike> = {
    [Symbol.asyncIterator]: () => ({
      next: () => promised(pull()),
      return: () => {
        subscription.isReturned = true;
        return promised(from(of({ done: true, value: undefined } as Pulled)));
      },
    }),
  };
  return { subscription, events };
}
