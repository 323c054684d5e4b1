import type { PublishOutcome } from '../../core/publisher.js';
import type { KafkaProducerLike } from './kafka-client.js';
import { kafkaError, typeOf } from './kafka-errors.js';
import { refused, type KafkaOutgoing } from './kafka-outgoing.js';

const UNKNOWN_TOPIC = 'UNKNOWN_TOPIC_OR_PARTITION';

/** The broker's words for a record that it will never take. */
const REFUSALS = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'CORRUPT_MESSAGE',
  UNKNOWN_TOPIC,
  'POLICY_VIOLATION',
]);

/** @internal */
export interface SendOptions {
  readonly topic: string;
  readonly compression: number;
  /** The broker that leads a partition. */
  readonly leaderOf: (partition: number) => unknown;
}

type Outcomes = Map<KafkaOutgoing, PublishOutcome>;

/**
 * Sends a batch as one request a broker and answers message by message. What is refused as a whole is sent again
 * partition by partition, then by halves, until the one is found that the broker will not take. The same producer
 * sends the same records of a partition under the same sequence numbers, which the broker recognises: nothing that was
 * stored is stored again. Rejects where nothing is known; then the producer must not be used any more, since kafkajs
 * has turned its sequence numbers back.
 * @internal
 */
export async function sendBatch(
  producer: KafkaProducerLike,
  options: SendOptions,
  messages: readonly KafkaOutgoing[],
): Promise<PublishOutcome[]> {
  const outcomes: Outcomes = new Map();
  // A call for each leader: where one refuses, kafkajs forgets what others have stored, but not their sequence numbers.
  const calls = groupsOf(messages, ({ partition }) => options.leaderOf(partition));
  const sent = await Promise.allSettled(calls.map((call) => sendPart(producer, options, call, outcomes)));
  for (const one of sent) if (one.status === 'rejected') throw one.reason;
  return messages.map((message) => outcomes.get(message) as PublishOutcome);
}

async function sendPart(
  producer: KafkaProducerLike,
  options: SendOptions,
  messages: readonly KafkaOutgoing[],
  outcomes: Outcomes,
): Promise<void> {
  try {
    const answers = await sendOnce(producer, options, messages);
    messages.forEach((message, index) => outcomes.set(message, answers[index] as PublishOutcome));
    return;
  } catch (error) {
    const type = typeOf(error) ?? '';
    if (!REFUSALS.has(type)) throw kafkaError('kafkaPublisher', error, { topic: options.topic });
    // Partitions were looked at before: the topic itself is gone, and kafkajs looks for it for seconds each time.
    if (messages.length === 1 || type === UNKNOWN_TOPIC) {
      const refusal = { status: 'permanent', error: refusalOf(options.topic, error) } as const;
      for (const message of messages) outcomes.set(message, refusal);
      return;
    }
  }
  for (const part of partsOf(messages)) await sendPart(producer, options, part, outcomes);
}

function partsOf(messages: readonly KafkaOutgoing[]): readonly KafkaOutgoing[][] {
  const partitions = groupsOf(messages, ({ partition }) => partition);
  if (partitions.length > 1) return partitions;
  const half = Math.ceil(messages.length / 2);
  return [messages.slice(0, half), messages.slice(half)];
}

function groupsOf(messages: readonly KafkaOutgoing[], by: (message: KafkaOutgoing) => unknown): KafkaOutgoing[][] {
  const groups = new Map<unknown, KafkaOutgoing[]>();
  for (const message of messages) {
    const group = groups.get(by(message));
    if (group === undefined) groups.set(by(message), [message]);
    else group.push(message);
  }
  return [...groups.values()];
}

async function sendOnce(
  producer: KafkaProducerLike,
  { topic, compression }: SendOptions,
  messages: readonly KafkaOutgoing[],
): Promise<PublishOutcome[]> {
  const answers = await producer.sendBatch({
    acks: -1,
    compression,
    topicMessages: [{ topic, messages: [...messages] }],
  });
  const next = new Map(answers.map(({ partition, baseOffset }) => [partition, baseOffset]));
  return messages.map(({ partition }) => {
    const offset = next.get(partition);
    // kafkajs says nothing of a partition that has gone since its last look.
    if (!next.has(partition)) {
      return { status: 'transient', error: refused(`the broker did not answer for ${topic}/${partition}`) };
    }
    if (offset === undefined) return { status: 'ok' };
    next.set(partition, String(BigInt(offset) + 1n));
    return { status: 'ok', position: { broker: 'kafka', topic, partition, offset } };
  });
}

function refusalOf(topic: string, error: unknown): unknown {
  const type = typeOf(error);
  return type === UNKNOWN_TOPIC
    ? kafkaError('kafkaPublisher', error, { topic })
    : refused(`${topic} does not take this message: ${type}`, error);
}
