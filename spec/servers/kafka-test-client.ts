import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel, Partitioners, type Admin, type KafkaConfig, type Message, type Producer } from 'kafkajs';
import { readTopic, type StoredRecord } from './kafka/read-topic.js';
import { untilTopicIsReady } from './kafka/until-topic-is-ready.js';

const TRY_MS = 100;
const MOST_TRIES = 300;

/** How to make a topic. */
export interface TopicShape {
  /** The name begins with this. Default `'topic'`. */
  readonly prefix?: string;
  /** Default 4. */
  readonly partitions?: number;
  /** Settings of the topic, such as `'max.message.bytes': '1000'`. */
  readonly config?: Readonly<Record<string, string>>;
}

/** How the records of `produce` look; each function takes their number, from `first` on. */
export interface RecordShape {
  /** The number of the first record. Default 0. */
  readonly first?: number;
  /** Default: 100 keys in turn, `'key-0'` to `'key-99'`. */
  readonly key?: (index: number) => Message['key'];
  /** Default: the number in decimal. */
  readonly value?: (index: number) => Message['value'];
  /** Default none. */
  readonly headers?: (index: number) => Message['headers'];
  /** Default: by the key, as the Java client does. */
  readonly partition?: (index: number) => number;
}

/** What specs, benchmarks and examples do to a Kafka beside the code under test. */
export interface KafkaTestClient {
  readonly brokers: readonly string[];
  /** Makes a client for the code under test; silent, unless `config` says otherwise. */
  newKafka(config?: Partial<KafkaConfig>): Kafka;
  /** A name that nobody else has; a group of that name is deleted by `close`. */
  groupId(prefix?: string): string;
  /** Makes a topic with a name that nobody else has, which `close` deletes. */
  createTopic(shape?: TopicShape): Promise<string>;
  deleteTopic(topic: string): Promise<void>;
  /** Publishes `count` records, up to 2,000 or 500 kB a request, in the order of their numbers. */
  produce(topic: string, count: number, shape?: RecordShape): Promise<void>;
  /** Publishes these, in one request. */
  send(topic: string, messages: readonly Message[]): Promise<void>;
  /** All that the topic holds now, by partition and offset. */
  readAll(topic: string): Promise<StoredRecord[]>;
  /** The offsets that a group has committed, by partition; undefined where it has none. */
  committed(groupId: string, topic: string): Promise<(bigint | undefined)[]>;
  /** The offsets that the next record of each partition gets. */
  endOffsets(topic: string): Promise<bigint[]>;
  /** Deletes what was made through this client, and disconnects. */
  close(): Promise<void>;
}

// A broker takes 1 MB for a partition by default; kafkajs copies a partition's list once for each record of a request.
const REQUEST_RECORDS = 2_000;
const REQUEST_BYTES = 500_000;

/** Opens a test client; it connects when it is first used. */
export function kafkaTestClient({ brokers }: { readonly brokers: readonly string[] }): KafkaTestClient {
  const newKafka = (config: Partial<KafkaConfig> = {}): Kafka =>
    new Kafka({ brokers: [...brokers], clientId: 'rxsluice-spec', logLevel: logLevel.NOTHING, ...config });
  // Its defaults of a second and of 30 would measure the load.
  const patient = { connectionTimeout: 30_000, requestTimeout: 120_000 };
  const kafka = newKafka(patient);
  const topics = new Set<string>();
  const groups = new Set<string>();

  let openedAdmin: Promise<Admin> | undefined;
  const admin = (): Promise<Admin> => (openedAdmin ??= connected(kafka.admin()));
  let openedProducer: Promise<Producer> | undefined;
  // The partitioner is named, or kafkajs warns of its change.
  const producer = (): Promise<Producer> =>
    (openedProducer ??= connected(kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })));

  const groupId = (prefix = 'group'): string => {
    const group = `${prefix}-${randomUUID()}`;
    groups.add(group);
    return group;
  };
  const send = async (topic: string, messages: readonly Message[]): Promise<void> => {
    await (await producer()).send({ topic, messages: [...messages] });
  };

  /** A topic or a group that is gone already, or is still in use, does not fail the spec. */
  const deleteAll = async (): Promise<void> => {
    if (topics.size + groups.size === 0) return;
    // An admin of before a restart of the broker finds no way back, and tries for 10 seconds a call.
    const last = newKafka({ retry: { retries: 1 } }).admin();
    await last.connect().catch(() => undefined);
    if (topics.size > 0) await last.deleteTopics({ topics: [...topics] }).catch(() => undefined);
    if (groups.size > 0) await last.deleteGroups([...groups]).catch(() => undefined);
    await last.disconnect();
  };

  return {
    brokers,
    newKafka,
    groupId,
    send,
    createTopic: async ({ prefix = 'topic', partitions = 4, config = {} } = {}) => {
      const topic = `${prefix}-${randomUUID()}`;
      const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
      const topicConfig = { topic, numPartitions: partitions, configEntries };
      await (await admin()).createTopics({ topics: [topicConfig], waitForLeaders: false });
      topics.add(topic);
      await Promise.all(brokers.map((broker) => untilTopicIsReady(newKafka({ ...patient, brokers: [broker] }), topic)));
      return topic;
    },
    deleteTopic: async (topic) => {
      await (await admin()).deleteTopics({ topics: [topic] });
      topics.delete(topic);
    },
    produce: async (topic, count, shape = {}) => {
      const { first = 0, key = (index) => `key-${index % 100}`, value = String, headers, partition } = shape;
      let messages: Message[] = [];
      let bytes = 0;
      for (let index = first; index < first + count; index++) {
        const message = {
          key: key(index),
          value: value(index),
          headers: headers?.(index),
          partition: partition?.(index),
        };
        messages.push(message);
        bytes += Buffer.byteLength(message.value ?? '');
        if (messages.length < REQUEST_RECORDS && bytes < REQUEST_BYTES && index < first + count - 1) continue;
        await send(topic, messages);
        messages = [];
        bytes = 0;
      }
    },
    readAll: async (topic) => readTopic(kafka, await admin(), topic, groupId('read-all')),
    committed: async (group, topic) => {
      const [found] = await onceLoaded(async () => (await admin()).fetchOffsets({ groupId: group, topics: [topic] }));
      return byPartition(found?.partitions ?? []).map((offset) => (offset < 0n ? undefined : offset));
    },
    endOffsets: async (topic) => byPartition(await (await admin()).fetchTopicOffsets(topic)),
    close: async () => {
      await deleteAll();
      await (await openedProducer)?.disconnect();
      await (await openedAdmin)?.disconnect();
    },
  };
}

async function connected<C extends { connect(): Promise<void> }>(client: C): Promise<C> {
  await client.connect();
  return client;
}

/** Asks again while the broker is loading what it has of the group, or another one is about to have it. */
async function onceLoaded<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      if ((error as { readonly retriable?: unknown }).retriable !== true || tries === MOST_TRIES) throw error;
      await sleep(TRY_MS);
    }
  }
}

function byPartition(offsets: readonly { readonly partition: number; readonly offset: string }[]): bigint[] {
  return [...offsets].sort((a, b) => a.partition - b.partition).map(({ offset }) => BigInt(offset));
}
