import type { PublishOutcome } from '../../core/publisher.js';
import type { KafkaProducerLike } from './kafka-client.js';
import { kafkaError, typeOf } from './kafka-errors.js';
import { refused, type KafkaOutgoing } from './kafka-outgoing.js';

/** The broker's words for a record that it will never take. */
const REFUSALS = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'CORRUPT_MESSAGE',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'POLICY_VIOLATION',
]);

/** @internal */
export interface SendOptions {
  readonly topic: string;
  readonly compression: number;
}

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
  try {
    return await sendOnce(producer, options, messages);
  } catch (error) {
    if (!REFUSALS.has(typeOf(error) ?? '')) throw kafkaError('kafkaPublisher', error, { topic: options.topic });
    if (messages.length === 1) return [{ status: 'permanent', error: refusalOf(options.topic, error) }];
  }
  const outcomes = new Map<KafkaOutgoing, PublishOutcome>();
  for (const part of partsOf(messages)) {
    const answers = await sendBatch(producer, options, part);
    part.forEach((message, index) => outcomes.set(message, answers[index] as PublishOutcome));
  }
  return messages.map((message) => outcomes.get(message) as PublishOutcome);
}

function partsOf(messages: readonly KafkaOutgoing[]): readonly KafkaOutgoing[][] {
  const partitions = new Map<number, KafkaOutgoing[]>();
  for (const message of messages) {
    const group = partitions.get(message.partition);
    if (group === undefined) partitions.set(message.partition, [message]);
    else group.push(message);
  }
  if (partitions.size > 1) return [...partitions.values()];
  const half = Math.ceil(messages.length / 2);
  return [messages.slice(0, half), messages.slice(half)];
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
  return type === 'UNKNOWN_TOPIC_OR_PARTITION'
    ? kafkaError('kafkaPublisher', error, { topic })
    : refused(`${topic} does not take this message: ${type}`, error);
}
