import type {
  KafkaAdminLike,
  KafkaAssignerLike,
  KafkaBatchPayloadLike,
  KafkaBrokerLike,
  KafkaClientLike,
  KafkaConsumerConfig,
  KafkaConsumerLike,
  KafkaOffsetsByTopic,
  KafkaRecord,
} from '../../lib/kafka.js';
import { fakeProducer, type FakeProducers } from './kafka-fake-producer.js';

/** An error as kafkajs makes it: its class by name, the broker's word as `type`. */
export function kafkaJsError(name: string, type?: string, more: object = {}): Error {
  return Object.assign(new Error(type ?? name), { name, ...(type === undefined ? {} : { type }) }, more);
}

export const protocolError = (type: string, retriable = false): Error =>
  kafkaJsError('KafkaJSProtocolError', type, { retriable });

export interface FakeRecord extends KafkaRecord {
  readonly control?: boolean;
}

/** What the broker keeps of one partition; offsets are numbers here, and records may have gaps. */
export interface FakeLog {
  low: number;
  high: number;
  /** Where the oldest open transaction begins; that is the end that an admin client tells. */
  stable?: number;
  records: FakeRecord[];
}

/** Where a call may be made to wait or to fail. */
export type FakeStep =
  | 'admin'
  | 'coordinator'
  | 'ends'
  | 'connect'
  | 'join'
  | 'run'
  | 'fetch'
  | 'fetchOffsets'
  | 'commit'
  | 'disconnect'
  | 'produce';

export interface FakeKafka extends KafkaClientLike, FakeProducers {
  readonly topics: Map<string, FakeLog[]>;
  /** What the group has stored, by `topic/partition`. */
  readonly committed: Map<string, { offset: string; metadata: string | null }>;
  /** Every commit that the broker took, in order: `topic/partition:offset`. */
  readonly commits: string[];
  readonly consumers: FakeConsumer[];
  /** Connections of any kind that are open. */
  open: number;
  /** What the next join gives; without it all partitions of all topics subscribed. */
  assignment: Record<string, number[]> | null;
  /** How many records a fetch brings. */
  fetchRecords: number;
  /** How many partitions each question for ends named, by the leader that was asked. */
  readonly endsAsked: { readonly leader: number; readonly partitions: number }[];
  /** Leaders that do not answer for their ends. */
  readonly silent: Set<number>;
  /** Its brokers have no `listOffsets`. */
  withoutListOffsets: boolean;
  append(topic: string, partition: number, ...values: (string | null | { control: true } | { gap: number })[]): void;
  truncate(topic: string, partition: number, low: number): void;
  /** Makes a step wait; the answer lets all of them go. */
  hold(step: FakeStep): () => void;
  /** Makes a step fail so many times. */
  fail(step: FakeStep, error: Error, times?: number): void;
  pass(step: FakeStep): Promise<void>;
}

export interface FakeConsumer {
  readonly config: KafkaConsumerConfig;
  readonly assigner: KafkaAssignerLike;
  readonly assigned: ReadonlySet<string>;
  readonly paused: ReadonlySet<string>;
  readonly resolved: string[];
  readonly seeks: string[];
  /** The broker forgets the member: commits are refused until it joins again. */
  fenced: 'UNKNOWN_MEMBER_ID' | 'ILLEGAL_GENERATION' | null;
  /** The broker that coordinated the group is dead, another one does; kafkajs asks the dead one until it joins again. */
  astray: boolean;
  connected: boolean;
  /** Joins again, as after a failed heartbeat; quietly, as where kafkajs says nothing of it. */
  rebalance(options?: { readonly quietly?: boolean }): Promise<void>;
  crash(error: Error): Promise<void>;
  /** Hands a batch over that was fetched elsewhere or earlier. */
  deliver(topic: string, partition: number, fetchedOffset: number): Promise<void>;
  emit(event: string, payload: unknown): void;
}

const EVENTS = {
  GROUP_JOIN: 'consumer.group_join',
  REBALANCING: 'consumer.rebalancing',
  COMMIT_OFFSETS: 'consumer.commit_offsets',
  HEARTBEAT: 'consumer.heartbeat',
  CRASH: 'consumer.crash',
  FETCH: 'consumer.fetch',
  START_BATCH_PROCESS: 'consumer.start_batch_process',
} as const;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A Kafka of one group in this process, with the quirks of kafkajs 2.2.4 that the adapter must stand. */
export function fakeKafka(topics: Readonly<Record<string, number>> = { t: 1 }): FakeKafka {
  const held = new Map<FakeStep, { readonly until: Promise<void>; readonly release: () => void }>();
  const failures = new Map<FakeStep, { readonly error: Error; left: number }>();
  const kafka: FakeKafka = {
    topics: new Map(
      Object.entries(topics).map(([topic, partitions]) => [
        topic,
        Array.from({ length: partitions }, () => ({ low: 0, high: 0, records: [] })),
      ]),
    ),
    committed: new Map(),
    commits: [],
    consumers: [],
    open: 0,
    assignment: null,
    fetchRecords: 10,
    endsAsked: [],
    silent: new Set(),
    withoutListOffsets: false,
    requests: [],
    producers: [],
    maxMessageBytes: Infinity,
    leaders: () => 1,
    append: (topic, partition, ...values) => {
      const log = logOf(kafka, topic, partition);
      for (const value of values) {
        if (typeof value === 'object' && value !== null && 'gap' in value) {
          log.high += value.gap;
          continue;
        }
        const control = typeof value === 'object' && value !== null;
        const offset = String(log.high);
        const bytes = typeof value === 'string' ? Buffer.from(value) : null;
        log.records.push({ offset, key: null, value: bytes, timestamp: String(log.high++ * 1_000), control });
      }
    },
    truncate: (topic, partition, low) => {
      const log = logOf(kafka, topic, partition);
      log.low = low;
      log.high = Math.max(log.high, low);
      log.records = log.records.filter(({ offset }) => Number(offset) >= low);
    },
    hold: (step) => {
      let release = (): void => undefined;
      const until = new Promise<void>((resolve) => (release = resolve));
      held.set(step, { until, release });
      return () => {
        held.delete(step);
        release();
      };
    },
    fail: (step, error, times = 1) => void failures.set(step, { error, left: times }),
    pass: async (step) => {
      await held.get(step)?.until;
      const failure = failures.get(step);
      if (failure === undefined || failure.left-- <= 0) return;
      throw failure.error;
    },
    consumer: (config) => fakeConsumer(kafka, config),
    producer: (config) => fakeProducer(kafka, config),
    admin: () => fakeAdmin(kafka),
  };
  return kafka;
}

export function logOf(kafka: FakeKafka, topic: string, partition: number): FakeLog {
  const log = kafka.topics.get(topic)?.[partition];
  if (log === undefined) throw protocolError('UNKNOWN_TOPIC_OR_PARTITION', true);
  return log;
}

function fakeAdmin(kafka: FakeKafka): KafkaAdminLike {
  let connected = false;
  const logs = async (topic: string): Promise<FakeLog[]> => {
    await kafka.pass('admin');
    const found = kafka.topics.get(topic);
    if (!connected || found === undefined) throw protocolError('UNKNOWN_TOPIC_OR_PARTITION', true);
    return found;
  };
  return {
    connect: async () => {
      kafka.open++;
      connected = true;
      await kafka.pass('admin');
    },
    disconnect: async () => {
      if (connected) kafka.open--;
      connected = false;
      await Promise.resolve();
    },
    fetchTopicMetadata: async ({ topics }) => ({
      topics: await Promise.all(
        topics.map(async (name) => ({
          name,
          partitions: (await logs(name)).map((_, partitionId) => ({ partitionId, leader: kafka.leaders(partitionId) })),
        })),
      ),
    }),
    fetchOffsets: async ({ topics }) => {
      const stored = topics.map((topic) => ({
        topic,
        partitions: (kafka.topics.get(topic) ?? []).map((_, partition) => ({
          partition,
          ...(kafka.committed.get(`${topic}/${partition}`) ?? { offset: '-1', metadata: null }),
        })),
      }));
      // Answered as things were when it was asked.
      await kafka.pass('fetchOffsets');
      return stored;
    },
    fetchTopicOffsets: async (topic) =>
      (await logs(topic)).map(({ low, high, stable = high }, partition) => ({
        partition,
        low: String(low),
        high: String(stable),
      })),
    fetchTopicOffsetsByTimestamp: async (topic, timestamp) =>
      (await logs(topic)).map(({ records, high }, partition) => ({
        partition,
        offset: records.find((record) => Number(record.timestamp) >= timestamp)?.offset ?? String(high),
      })),
  };
}

function fakeBroker(kafka: FakeKafka, leader: number): KafkaBrokerLike {
  const isConnected = (): boolean => true;
  if (kafka.withoutListOffsets) return { isConnected };
  return {
    isConnected,
    listOffsets: async ({ isolationLevel, topics }) => {
      const partitions = topics.reduce((sum, topic) => sum + topic.partitions.length, 0);
      kafka.endsAsked.push({ leader, partitions });
      if (kafka.silent.has(leader)) await new Promise(() => undefined);
      const endOf = ({ high, stable = high }: FakeLog): number => (isolationLevel === 0 ? high : stable);
      return {
        responses: topics.map(({ topic, partitions: asked }) => ({
          topic,
          partitions: asked.map(({ partition }) => {
            if (kafka.leaders(partition) !== leader) throw protocolError('NOT_LEADER_FOR_PARTITION', true);
            return { partition, offset: String(endOf(logOf(kafka, topic, partition))) };
          }),
        })),
      };
    },
  };
}

function fakeConsumer(kafka: FakeKafka, config: KafkaConsumerConfig): KafkaConsumerLike {
  const listeners = new Set<{ event: string; listener: (event: { payload: unknown }) => void }>();
  const assigned = new Set<string>();
  const paused = new Set<string>();
  const seeks = new Map<string, number>();
  const positions = new Map<string, number>();
  let topics: string[] = [];
  let eachBatch: (payload: KafkaBatchPayloadLike) => Promise<void> = () => Promise.resolve();
  // A consumer group exists: between run() and a crash or a disconnect.
  let grouped = false;
  let running = false;
  let looping: Promise<void> = Promise.resolve();
  let generation = 0;
  let leave: (error: Error) => void = () => undefined;

  const emit = (event: string, payload: unknown): void => {
    for (const one of [...listeners]) if (one.event === event) one.listener({ payload });
  };

  const member = () => ({ memberId: 'm', groupGenerationId: generation });

  const commit = async (offsets: KafkaOffsetsByTopic): Promise<void> => {
    if (fake.astray) throw kafkaJsError('KafkaJSBrokerNotFound', undefined, { retriable: true });
    await store(offsets);
    emit(EVENTS.COMMIT_OFFSETS, member());
  };

  const store = async ({ topics: all }: KafkaOffsetsByTopic): Promise<void> => {
    const { fenced } = fake;
    await kafka.pass('commit');
    if (fenced !== null) throw protocolError(fenced);
    for (const { topic, partitions } of all) {
      for (const { partition, offset, metadata } of partitions) {
        kafka.committed.set(`${topic}/${partition}`, { offset, metadata });
        kafka.commits.push(`${topic}/${partition}:${offset}`);
      }
    }
  };

  const join = async (): Promise<void> => {
    for (let tries = 0; ; tries++) {
      try {
        if (!fake.connected) await reconnect();
        fake.assigner.protocol({ topics });
        break;
      } catch (error) {
        if ((error as { type?: string }).type !== 'REBALANCE_IN_PROGRESS' || tries === config.retry.retries)
          throw error;
        await sleep(config.retry.initialRetryTime);
      }
    }
    // A join that hangs ends with its connection.
    await Promise.race([kafka.pass('join'), new Promise<void>((_, reject) => (leave = reject))]);
    fake.fenced = null;
    fake.astray = false;
    generation++;
    const given =
      kafka.assignment ??
      Object.fromEntries(topics.map((topic) => [topic, (kafka.topics.get(topic) ?? []).map((_, p) => p)]));
    assigned.clear();
    positions.clear();
    for (const topic of Object.keys(given)) for (const p of given[topic] ?? []) assigned.add(`${topic}/${p}`);
    emit(EVENTS.GROUP_JOIN, { memberAssignment: given });
  };

  const reconnect = async (): Promise<void> => {
    await Promise.resolve();
    kafka.open++;
    fake.connected = true;
  };

  const crash = async (error: Error): Promise<void> => {
    await disconnect();
    if (await config.retry.restartOnFailure(error)) throw new Error('the adapter restarts its consumers itself');
    emit(EVENTS.CRASH, { error });
  };

  const disconnect = async (): Promise<void> => {
    const wasRunning = running;
    running = false;
    if (wasRunning) await looping;
    grouped = false;
    await kafka.pass('disconnect');
    if (fake.connected) kafka.open--;
    fake.connected = false;
    leave(kafkaJsError('KafkaJSConnectionClosedError'));
  };

  const payloadOf = (topic: string, partition: number, fetched: readonly FakeRecord[], fetchedOffset: number) => {
    const log = logOf(kafka, topic, partition);
    const lastOffset = fetched.at(-1)?.offset ?? String(fetchedOffset);
    return {
      batch: {
        topic,
        partition,
        highWatermark: String(log.high),
        fetchedOffset: String(fetchedOffset),
        messages: fetched.filter(({ control }) => !control),
        lastOffset: () => lastOffset,
      },
      resolveOffset: (offset: string): void => {
        fake.resolved.push(`${topic}/${partition}:${offset}`);
        positions.set(`${topic}/${partition}`, Number(offset) + 1);
      },
      commitOffsetsIfNecessary: commit,
    };
  };

  const hand = async (topic: string, partition: number, fetched: readonly FakeRecord[], from: number) => {
    const payload = payloadOf(topic, partition, fetched, from);
    const { messages, lastOffset } = payload.batch;
    const [first] = fetched;
    const skip = { topic, partition, batchSize: messages.length, firstOffset: first?.offset ?? null };
    emit(EVENTS.START_BATCH_PROCESS, { ...skip, lastOffset: lastOffset() });
    if (messages.length > 0) await eachBatch(payload);
    // Nothing but control records: kafkajs goes on by itself.
    else positions.set(`${topic}/${partition}`, Number(lastOffset()) + 1);
  };

  const fetchOne = async (name: string): Promise<void> => {
    const [topic, number] = name.split('/') as [string, string];
    const partition = Number(number);
    const sought = seeks.get(name);
    seeks.delete(name);
    if (sought !== undefined) positions.set(name, sought);
    const log = logOf(kafka, topic, partition);
    const stored = Number(kafka.committed.get(name)?.offset ?? '-2');
    const from = positions.get(name) ?? (stored < 0 ? log.low : stored);
    if (from < log.low || from > log.high) {
      // What kafkajs does in spite of `autoCommit: false`.
      kafka.committed.set(name, { offset: '-2', metadata: null });
      positions.delete(name);
      return;
    }
    positions.set(name, from);
    const fetched = log.records.filter(({ offset }) => Number(offset) >= from).slice(0, kafka.fetchRecords);
    if (fetched.length > 0 && !seeks.has(name) && !paused.has(name)) await hand(topic, partition, fetched, from);
  };

  const loop = async (): Promise<void> => {
    while (running) {
      for (const name of [...assigned]) if (running && !paused.has(name)) await fetchOne(name);
      await kafka.pass('fetch');
      await fetched();
      await sleep(config.maxWaitTimeInMs);
    }
  };

  // What a listener throws comes out of the fetch.
  const fetched = async (): Promise<void> => {
    try {
      emit(EVENTS.FETCH, {});
      if (!fake.astray) emit(EVENTS.HEARTBEAT, member());
    } catch (error) {
      if ((error as { type?: string }).type !== 'REBALANCE_IN_PROGRESS') throw error;
      await fake.rebalance();
    }
  };

  const ofGroup = (call: () => void): void => {
    if (!grouped) throw kafkaJsError('KafkaJSNonRetriableError');
    call();
  };

  const fake: FakeConsumer = {
    config,
    assigner: (config.partitionAssigners[0] as KafkaConsumerConfig['partitionAssigners'][number])({
      groupId: config.groupId,
      cluster: {
        addTargetTopic: () => Promise.resolve(),
        findTopicPartitionMetadata: (topic) =>
          (kafka.topics.get(topic) ?? []).map((_, partitionId) => ({
            partitionId,
            leader: kafka.leaders(partitionId),
          })),
        findBroker: async ({ nodeId }) => {
          await kafka.pass('ends');
          // kafkajs connects where it is not, also after a disconnect.
          if (!fake.connected) await reconnect();
          return fakeBroker(kafka, Number(nodeId));
        },
        findGroupCoordinator: async () => {
          await kafka.pass('coordinator');
          return {
            offsetCommit: async ({ topics: all, memberId, groupGenerationId }) => {
              if (memberId !== 'm' || groupGenerationId !== generation) throw protocolError('ILLEGAL_GENERATION');
              await store({ topics: all });
            },
          };
        },
      },
    }),
    assigned,
    paused,
    resolved: [],
    seeks: [],
    fenced: null,
    astray: false,
    connected: false,
    rebalance: async ({ quietly = false } = {}) => {
      if (!quietly) emit(EVENTS.REBALANCING, {});
      await join().catch(crash);
    },
    crash,
    deliver: (topic, partition, fetchedOffset) => {
      const { records } = logOf(kafka, topic, partition);
      const fetched = records.filter(({ offset }) => Number(offset) >= fetchedOffset).slice(0, kafka.fetchRecords);
      return hand(topic, partition, fetched, fetchedOffset);
    },
    emit,
  };
  kafka.consumers.push(fake);

  return {
    events: EVENTS,
    connect: async () => {
      await reconnect();
      await kafka.pass('connect');
    },
    subscribe: async (subscription) => {
      ({ topics } = subscription);
      await Promise.resolve();
    },
    run: async (options) => {
      if (options.autoCommit || options.eachBatchAutoResolve) throw new Error('kafkajs must not commit or resolve');
      ({ eachBatch } = options);
      grouped = true;
      // A failed join is told by CRASH alone.
      const joined = await join().then(
        () => true,
        (error: Error) => crash(error).then(() => false),
      );
      if (!joined || !fake.connected) return;
      await kafka.pass('run');
      running = true;
      looping = loop();
    },
    commitOffsets: async (offsets) => {
      if (!grouped) throw kafkaJsError('KafkaJSNonRetriableError');
      // Silently nothing, before the consumer runs and once it stops.
      if (!running) return;
      const partitions = offsets.map(({ topic, ...one }) => ({ topic, partitions: [{ ...one, metadata: '' }] }));
      await commit({ topics: partitions });
    },
    pause: (all) => ofGroup(() => each(all, (name) => paused.add(name))),
    resume: (all) => ofGroup(() => each(all, (name) => paused.delete(name))),
    seek: ({ topic, partition, offset }) =>
      ofGroup(() => {
        fake.seeks.push(`${topic}/${partition}:${offset}`);
        seeks.set(`${topic}/${partition}`, Number(offset));
      }),
    stop: disconnect,
    disconnect,
    on: (event, listener) => {
      const one = { event, listener };
      listeners.add(one);
      return () => void listeners.delete(one);
    },
  };
}

function each(all: readonly { topic: string; partitions: number[] }[], call: (name: string) => void): void {
  for (const { topic, partitions } of all) for (const partition of partitions) call(`${topic}/${partition}`);
}
