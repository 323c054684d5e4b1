import type { KafkaProducerConfig, KafkaProducerLike } from '../../lib/kafka.js';
import { logOf, protocolError, type FakeKafka } from './kafka-fake.js';

type Batch = Parameters<KafkaProducerLike['sendBatch']>[0];
type Outgoing = Batch['topicMessages'][number]['messages'][number];

export interface FakeProducers {
  /** What was asked of a broker, request by request: the values, partition by partition. */
  readonly requests: { readonly producer: number; readonly leader: number; readonly values: string[] }[];
  readonly producers: { connected: boolean; readonly config: KafkaProducerConfig }[];
  /** The largest record batch that a broker takes. */
  maxMessageBytes: number;
  /** Which broker leads a partition. */
  leaders: (partition: number) => number;
}

/** What a broker remembers of the last batch of a producer in a partition: it knows a repeat by it. */
interface Sent {
  readonly first: number;
  readonly count: number;
  readonly offset: number;
}

const remembered = new WeakMap<FakeKafka, Map<string, Sent>>();

/**
 * A producer as kafkajs has it: a request to each leader, sequence numbers that go back where a request is refused, and
 * no retry. The broker stores what it can of a refused request.
 */
export function fakeProducer(kafka: FakeKafka, config: KafkaProducerConfig): KafkaProducerLike {
  const producer = { connected: false, config };
  const id = kafka.producers.push(producer);
  const sequences = new Map<string, number>();
  const sent = remembered.get(kafka) ?? new Map<string, Sent>();
  remembered.set(kafka, sent);

  // Answers with the offset of the first message, or throws what the broker says of this partition.
  const store = (topic: string, partition: number, messages: readonly Outgoing[]): string => {
    const log = logOf(kafka, topic, partition);
    const name = `${topic}/${partition}`;
    const first = sequences.get(name) ?? 0;
    const last = sent.get(`${id} ${name}`);
    if (last?.first === first && last.count === messages.length) return String(last.offset);
    if (first !== (last === undefined ? 0 : last.first + last.count)) {
      throw protocolError('OUT_OF_ORDER_SEQUENCE_NUMBER');
    }
    const bytes = messages.reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
    if (bytes > kafka.maxMessageBytes) throw protocolError('MESSAGE_TOO_LARGE');
    sent.set(`${id} ${name}`, { first, count: messages.length, offset: log.high });
    const offset = String(log.high);
    for (const { value, key } of messages) {
      log.records.push({ offset: String(log.high++), key, value, timestamp: '0' });
    }
    return offset;
  };

  const request = async (topic: string, leader: number, partitions: ReadonlyMap<number, readonly Outgoing[]>) => {
    const values = [...partitions.values()].flat().map(({ value }) => String(value));
    kafka.requests.push({ producer: id, leader, values });
    await kafka.pass('produce');
    const answers: { partition: number; baseOffset: string }[] = [];
    const refusals: unknown[] = [];
    for (const [partition, messages] of partitions) {
      try {
        answers.push({ partition, baseOffset: store(topic, partition, messages) });
      } catch (error) {
        refusals.push(error);
      }
    }
    if (refusals.length > 0) throw refusals[0];
    for (const [partition, messages] of partitions) {
      const name = `${topic}/${partition}`;
      sequences.set(name, (sequences.get(name) ?? 0) + messages.length);
    }
    return answers;
  };

  return {
    connect: async () => {
      kafka.open++;
      producer.connected = true;
      await kafka.pass('connect');
    },
    disconnect: async () => {
      if (producer.connected) kafka.open--;
      producer.connected = false;
      await Promise.resolve();
    },
    sendBatch: async ({ topicMessages }) => {
      if (!producer.connected) throw protocolError('NOT_CONNECTED');
      const answers = topicMessages.flatMap(({ topic, messages }) => {
        const leaders = new Map<number, Map<number, Outgoing[]>>();
        for (const message of messages) {
          const partition = message.partition ?? 0;
          const partitions = leaders.get(kafka.leaders(partition)) ?? new Map<number, Outgoing[]>();
          partitions.set(partition, [...(partitions.get(partition) ?? []), message]);
          leaders.set(kafka.leaders(partition), partitions);
        }
        return [...leaders].map(([leader, partitions]) => request(topic, leader, partitions));
      });
      const settled = await Promise.allSettled(answers);
      return settled.flatMap((one) => {
        if (one.status === 'rejected') throw one.reason;
        return one.value;
      });
    },
  };
}
