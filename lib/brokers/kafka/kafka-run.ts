import type {
  KafkaBatchPayloadLike,
  KafkaClientLike,
  KafkaConsumerEvent,
  KafkaConsumerLike,
  KafkaMembership,
  KafkaOffsetsByTopic,
} from './kafka-client.js';
import { kafkaAssigner } from './kafka-assigner.js';
import { createEnds } from './kafka-ends.js';
import { kafkaState } from './kafka-errors.js';
import { createMembership } from './kafka-membership.js';
import type { ResolvedKafkaOptions } from './kafka-options.js';

/** One partition of one topic. @internal */
export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** The next offset to read of a partition, and what is done beyond it. @internal */
export interface Commit extends TopicPartition {
  readonly offset: string;
  readonly metadata?: string;
}

/** What a run tells of itself. @internal */
export interface RunHandlers {
  /** Whether the member may join (again) now; asked until it is true. */
  mayJoin(): boolean;
  /** A rebalance begins. */
  rebalancing(): void;
  /** The complete set of partitions that are ours from here on. */
  joined(partitions: readonly TopicPartition[]): void;
  batch(payload: KafkaBatchPayloadLike): void;
  /** A fetch that held nothing but control records, aborted or compacted ones: kafkajs has passed it already. */
  skipped(skip: TopicPartition & { readonly firstOffset: string | null; readonly lastOffset: string }): void;
  /** A fetch was answered. */
  fetched(): void;
  /** The consumer is dead; kafkajs has disconnected it. */
  crashed(error: unknown): void;
  mixedTopics(topics: readonly string[]): void;
}

/** One life of a kafkajs consumer, from connect to disconnect. @internal */
export interface Run {
  pause(target: TopicPartition): void;
  resume(target: TopicPartition): void;
  seek(target: TopicPartition, offset: string): void;
  /** Commits the next offsets to read, in the generation of this moment; rejects where the broker did not take them. */
  commit(offsets: readonly Commit[]): Promise<void>;
  /** Asks for the ends of these partitions, and tells each that it learns. Never rejects. */
  askEnds(partitions: readonly TopicPartition[], told: (of: TopicPartition, end: string) => void): Promise<void>;
  /** Looks whether the group still hears of us, and has kafkajs join again where it asks the wrong broker. Never rejects. */
  lookForCoordinator(): Promise<void>;
  /** Leaves the group and closes all connections. Never rejects. */
  end(): Promise<void>;
}

// kafkajs' own retries: short, so that a drain is soon followed by the join, and enough for minutes of an outage.
const RETRY = { retries: 1_000, initialRetryTime: 50, maxRetryTime: 250 };
// A join that waits for a drain is tried again after so long at least, once kafkajs has counted up to `maxRetryTime`.
const SHORTEST_RETRY_MS = 200;
// Handlers only enqueue, so this bounds nothing but an array of closures in kafkajs.
const HANDLERS = 64;
const PATIENCE_MS = 2_000;

/**
 * Starts a consumer. kafkajs is kept from what it does badly: commits by itself, restarts by itself, waiting handlers.
 * @internal
 */
export function startRun(client: KafkaClientLike, options: ResolvedKafkaOptions, handlers: RunHandlers): Run {
  let ended = false;
  let commitNow: ((offsets: KafkaOffsetsByTopic) => Promise<void>) | null = null;
  let committed = 0;
  const membership = createMembership(options.groupId);
  const ends = createEnds(options.readUncommitted);
  const assigner = kafkaAssigner({
    beforeJoin: () => {
      // Anything but a rebalance ends the join for good: so is a consumer stopped that never got in.
      if (ended) throw new Error('the subscription has ended');
      if (!handlers.mayJoin()) throw rebalancing('draining');
    },
    onMixedTopics: (topics) => handlers.mixedTopics(topics),
  });

  const consumer = client.consumer({
    groupId: options.groupId,
    partitionAssigners: [
      (config) => {
        membership.cluster = config.cluster;
        return assigner(config);
      },
    ],
    sessionTimeout: options.sessionTimeoutMs,
    rebalanceTimeout: options.rebalanceTimeoutMs,
    heartbeatInterval: options.heartbeatIntervalMs,
    maxBytesPerPartition: options.fetchMaxBytesPerPartition,
    minBytes: options.fetchMinBytes,
    maxBytes: options.fetchMaxBytes,
    maxWaitTimeInMs: options.fetchMaxWaitMs,
    metadataMaxAge: options.metadataMaxAgeMs,
    readUncommitted: options.readUncommitted,
    rackId: options.rackId,
    allowAutoTopicCreation: false,
    retry: {
      ...RETRY,
      retries: RETRY.retries + Math.ceil(options.drainTimeoutMs / SHORTEST_RETRY_MS),
      restartOnFailure: () => Promise.resolve(false),
    },
  });

  const listeners: (() => void)[] = [];
  const listen = (event: KafkaConsumerEvent, handle: (payload: never) => void): void => {
    listeners.push(
      consumer.on(event, ({ payload }) => {
        if (!ended) handle(payload as never);
      }),
    );
  };
  const { events } = consumer;
  listen(events.GROUP_JOIN, ({ memberAssignment }: { memberAssignment: Record<string, number[]> }) => {
    membership.joined();
    handlers.joined(
      Object.entries(memberAssignment).flatMap(([topic, partitions]) =>
        partitions.map((partition) => ({ topic, partition })),
      ),
    );
  });
  listen(events.REBALANCING, () => handlers.rebalancing());
  listen(events.FETCH, () => {
    handlers.fetched();
    // A throw of a listener comes out of the fetch, and kafkajs takes it for the answer of a broker.
    if (membership.takeRejoin()) throw rebalancing('the coordinator is another broker');
  });
  listen(events.HEARTBEAT, (member: KafkaMembership) => membership.confirmed(member));
  listen(events.CRASH, ({ error }: { error: unknown }) => handlers.crashed(error));
  listen(events.START_BATCH_PROCESS, (skip: Skip) => {
    if (skip.batchSize === 0) handlers.skipped(skip);
  });
  listeners.push(
    consumer.on(events.COMMIT_OFFSETS, ({ payload }) => {
      committed++;
      membership.confirmed(payload as KafkaMembership);
    }),
  );

  const starting = start(consumer, options, (payload) => {
    // Bound to the generation of each call, tried once: kafkajs' own `commitOffsets` tries again in the next one.
    commitNow = payload.commitOffsetsIfNecessary;
    if (!ended) handlers.batch(payload);
    return Promise.resolve();
  }).catch((error: unknown) => {
    if (!ended) handlers.crashed(error);
  });

  // Between a crash and the next run there is nothing to pause; each join states it anew.
  const whileRunning = (call: () => void): void => {
    try {
      call();
    } catch {
      return;
    }
  };

  return {
    pause: ({ topic, partition }) => whileRunning(() => consumer.pause([{ topic, partitions: [partition] }])),
    resume: ({ topic, partition }) => whileRunning(() => consumer.resume([{ topic, partitions: [partition] }])),
    seek: ({ topic, partition }, offset) => whileRunning(() => consumer.seek({ topic, partition, offset })),
    commit: (offsets) => {
      const before = committed;
      return membership.commit(byTopic(offsets), async () => {
        // Before the first batch only start positions are committed.
        if (commitNow === null)
          await consumer.commitOffsets(offsets.map(({ topic, partition, offset }) => ({ topic, partition, offset })));
        else await commitNow(byTopic(offsets));
        // It answers as if all were well where it did nothing, before the consumer runs and once it stops.
        if (committed === before) throw kafkaState('kafkajs did not commit, for the consumer is not running');
      });
    },
    askEnds: async (partitions, told) => {
      if (ended || membership.cluster === null) return;
      await ends.ask(membership.cluster, partitions, told);
      // What it opened after our disconnect nobody else would close.
      if (ended) await consumer.disconnect().catch(() => undefined);
    },
    // kafkajs gives a sign of life after a fetch at the earliest.
    lookForCoordinator: () =>
      membership.look(3 * Math.max(options.heartbeatIntervalMs, options.fetchMaxWaitMs) + PATIENCE_MS),
    end: async () => {
      ended = true;
      // A join under way ends with its connection.
      const stopping = consumer.disconnect().catch(() => undefined);
      await starting;
      await stopping;
      await consumer.disconnect().catch(() => undefined);
      for (const unlisten of listeners) unlisten();
    },
  };
}

// What kafkajs answers by joining (again).
function rebalancing(why: string): Error {
  return Object.assign(new Error(why), { type: 'REBALANCE_IN_PROGRESS' });
}

interface Skip extends TopicPartition {
  readonly batchSize: number;
  readonly firstOffset: string | null;
  readonly lastOffset: string;
}

async function start(
  consumer: KafkaConsumerLike,
  { topics }: ResolvedKafkaOptions,
  eachBatch: (payload: KafkaBatchPayloadLike) => Promise<void>,
): Promise<void> {
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    partitionsConsumedConcurrently: HANDLERS,
    eachBatch,
  });
}

function byTopic(offsets: readonly Commit[]): KafkaOffsetsByTopic {
  const topics = new Map<string, KafkaOffsetsByTopic['topics'][number]['partitions']>();
  for (const { topic, partition, offset, metadata = '' } of offsets) {
    const partitions = topics.get(topic) ?? [];
    partitions.push({ partition, offset, metadata });
    topics.set(topic, partitions);
  }
  return { topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })) };
}
