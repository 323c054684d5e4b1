import { firstValueFrom } from 'rxjs';
import { publish } from '../../lib/index.js';
import { fromMemory, memoryBroker, memoryLeaseStore, memoryPublisher } from '../../lib/memory.js';
import type { MessageFeature } from '../../lib/testing/message-feature.js';
import type { LeaseStoreDriver, PublisherDriver, SourceDriver } from '../../lib/testing.js';
import { openTimers } from '../support/open-timers.js';

const KEPT: Readonly<Record<MessageFeature, boolean>> = {
  partitions: true,
  order: true,
  keys: true,
  keyOrder: true,
  binaryKeys: true,
  keylessMessages: true,
  emptyValues: true,
  tombstones: true,
  headers: true,
  binaryHeaders: true,
  repeatedHeaders: true,
  timestamps: true,
};

// In this process all of it takes a turn or two.
const timings = { withinMs: 2_000, quietMs: 30, drainMs: 40 };
const MAX_MESSAGE_BYTES = 1_000_000;

/** The memory broker, one a case. */
export const memorySourceDriver: SourceDriver = {
  name: 'fromMemory',
  timings,
  features: {
    ...KEPT,
    groups: true,
    startEarliest: true,
    startLatest: true,
    startTimestamp: true,
    until: true,
    committedPositions: true,
    acksAbove: false,
    attempts: true,
    rebalance: true,
    cleanHandover: true,
    positionLost: true,
    leases: false,
    reshard: false,
    brokerRestart: false,
    openHandles: true,
  },
  open: () => {
    const broker = memoryBroker();
    let made = 0;
    return {
      createTopic: (options) => {
        const topic = `topic-${made++}`;
        broker.createTopic(topic, options);
        return topic;
      },
      createGroup: () => `group-${made++}`,
      source: ({ topic, group, ...options }) => fromMemory(broker, { ...options, groupId: group, topics: [topic] }),
      publish: async (topic, messages) => {
        const outcomes = await firstValueFrom(publish(memoryPublisher(broker, { topic }), messages));
        for (const outcome of outcomes) if (outcome.status !== 'ok') throw outcome.error;
      },
      committed: (group, topic) => broker.committed(group, topic),
      losePosition: (group, topic) => broker.deleteRecords(topic, 0, (broker.committed(group, topic)[0] ?? 0) + 1),
      openHandles: () => openTimers(),
    };
  },
};

export const memoryPublisherDriver: PublisherDriver = {
  name: 'memoryPublisher',
  timings,
  features: { ...KEPT, maxMessageBytes: true, unknownTopics: true, openHandles: true },
  open: () => {
    const broker = memoryBroker();
    const counts = new Map<string, number>();
    let made = 0;
    return {
      createTopic: ({ partitions }) => {
        const topic = `topic-${made++}`;
        broker.createTopic(topic, { partitions, maxMessageBytes: MAX_MESSAGE_BYTES });
        counts.set(topic, partitions);
        return topic;
      },
      publisher: (topic) => memoryPublisher(broker, { topic }),
      read: (topic) =>
        Array.from({ length: counts.get(topic) ?? 0 }, (_, partition) =>
          broker.messages(topic, partition).map((record) => ({ ...record, partition })),
        ).flat(),
      maxMessageBytes: MAX_MESSAGE_BYTES,
      openHandles: () => openTimers(),
    };
  },
};

export const memoryLeaseStoreDriver: LeaseStoreDriver = {
  name: 'memoryLeaseStore',
  open: () => {
    const store = memoryLeaseStore();
    return { worker: () => store };
  },
};
