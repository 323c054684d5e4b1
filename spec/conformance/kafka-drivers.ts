import { randomUUID } from 'node:crypto';
import { Partitioners, type Admin, type Message as KafkaMessage, type Producer } from 'kafkajs';
import type { Message } from '../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../lib/kafka.js';
import type { MessageFeature } from '../../lib/testing/message-feature.js';
import type { PublisherDriver, SourceDriver } from '../../lib/testing.js';
import type { KafkaTestClient } from '../servers/kafka-test-client.js';
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

// The least that the broker allows.
const LEASE_MS = 6_000;
const COMMIT_INTERVAL_MS = 100;
// What is not to happen would, within a few commits and fetches.
const timings = { withinMs: 300_000, quietMs: 500, drainMs: 600, leaseMs: LEASE_MS };
const MAX_MESSAGE_BYTES = 100_000;

/** kafkajs on a live Apache Kafka; each source has a client of its own. */
export function kafkaSourceDriver(kafka: () => KafkaTestClient, restartBroker?: () => Promise<void>): SourceDriver {
  return {
    name: 'fromKafka',
    timings,
    features: {
      ...KEPT,
      groups: true,
      startEarliest: true,
      startLatest: true,
      startTimestamp: true,
      until: true,
      committedPositions: true,
      acksAbove: true,
      attempts: true,
      rebalance: true,
      cleanHandover: true,
      positionLost: true,
      leases: true,
      reshard: false,
      brokerRestart: restartBroker !== undefined,
      openHandles: true,
    },
    open: async () => {
      const clients = await openClients(kafka());
      return {
        createTopic: ({ partitions }) => kafka().createTopic({ partitions }),
        createGroup: () => kafka().groupId(),
        source: ({ topic, group, drainTimeoutMs = 10_000, ...options }) =>
          fromKafka(kafka().newKafka(), {
            ...options,
            groupId: group,
            topics: [topic],
            drainTimeoutMs,
            commitIntervalMs: COMMIT_INTERVAL_MS,
            heartbeatIntervalMs: 300,
            // The drain must fit in.
            sessionTimeoutMs: Math.max(LEASE_MS, drainTimeoutMs + LEASE_MS),
          }),
        publish: (topic, messages) => clients.producer.send({ topic, acks: -1, messages: messages.map(toKafka) }),
        committed: async (group, topic) =>
          (await kafka().committed(group, topic)).map((offset) => (offset === undefined ? null : Number(offset))),
        losePosition: async (group, topic) => {
          const [committed = 0n] = await kafka().committed(group, topic);
          await clients.admin.fetchTopicOffsets(topic); // kafkajs wants to know the topic first
          await clients.admin.deleteTopicRecords({
            topic,
            partitions: [{ partition: 0, offset: String(committed + 1n) }],
          });
        },
        restartBroker,
        openHandles: timersAndSockets,
        close: clients.close,
      };
    },
  };
}

export function kafkaPublisherDriver(kafka: () => KafkaTestClient): PublisherDriver {
  return {
    name: 'kafkaPublisher',
    timings,
    features: { ...KEPT, maxMessageBytes: true, unknownTopics: true, openHandles: true },
    open: () => ({
      createTopic: ({ partitions }) =>
        kafka().createTopic({ partitions, config: { 'max.message.bytes': String(MAX_MESSAGE_BYTES) } }),
      publisher: (topic) => kafkaPublisher(kafka().newKafka(), { topic }),
      read: (topic) => kafka().readAll(topic),
      maxMessageBytes: MAX_MESSAGE_BYTES,
      openHandles: timersAndSockets,
    }),
  };
}

function timersAndSockets(): string[] {
  return [...openTimers(), ...process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Connect/i.test(name))];
}

async function openClients(kafka: KafkaTestClient): Promise<{
  readonly admin: Admin;
  readonly producer: Producer;
  readonly close: () => Promise<void>;
}> {
  const client = kafka.newKafka({ clientId: `conformance-${randomUUID()}` });
  const admin = client.admin();
  const producer = client.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await Promise.all([admin.connect(), producer.connect()]);
  return {
    admin,
    producer,
    close: async () => {
      await Promise.all([admin.disconnect(), producer.disconnect()]);
    },
  };
}

function toKafka({ value, key, headers, partition, timestamp }: Message): KafkaMessage {
  return {
    value: bufferOf(value),
    key: bufferOf(key ?? null),
    partition,
    timestamp: timestamp === undefined ? undefined : String(timestamp),
    headers: Object.fromEntries(
      Object.entries(headers ?? {}).map(([name, given]) => {
        const values =
          given === undefined || typeof given === 'string' || given instanceof Uint8Array ? [given ?? ''] : given;
        const buffers = values.map((one) => bufferOf(one) as Buffer);
        return [name, buffers.length === 1 ? (buffers[0] as Buffer) : buffers];
      }),
    ),
  };
}

function bufferOf(value: Uint8Array | string | null): Buffer | null {
  return value === null ? null : Buffer.from(value as string);
}
