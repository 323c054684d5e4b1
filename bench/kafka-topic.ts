import { randomUUID } from 'node:crypto';
import { kafkaTestClient, type KafkaTestClient } from '../spec/servers/kafka-test-client.js';
import { openKafka } from '../spec/servers/open-kafka.js';

export const MILLION = 1_000_000;

/** JSON of some 100 bytes, as a service would send it. */
export function recordOf(index: number): string {
  return JSON.stringify({ id: index, at: 1_700_000_000_000 + index, amount: index % 997, text: 'x'.repeat(40) });
}

/** Runs a benchmark on a Kafka: the user's (`KAFKA_BROKERS`), else one that is started and removed again. */
export async function onKafka<T>(run: (client: KafkaTestClient) => Promise<T>): Promise<T> {
  const server = await openKafka({ heapMiB: 1_024 });
  const client = kafkaTestClient(server);
  try {
    return await run(client);
  } finally {
    await client.close();
    await server.stop();
  }
}

/** A topic of `count` records over `keys` keys. */
export async function filledTopic(
  client: KafkaTestClient,
  count: number,
  options: { readonly partitions?: number; readonly key?: (index: number) => string } = {},
): Promise<string> {
  const { partitions = 4, key = (index) => `key-${(index * 7919) % 10_000}` } = options;
  const topic = await client.createTopic({ prefix: 'bench', partitions });
  await client.produce(topic, count, { key, value: recordOf });
  return topic;
}

/** A group that nobody else has. */
export function newGroup(): string {
  return `bench-${randomUUID()}`;
}
