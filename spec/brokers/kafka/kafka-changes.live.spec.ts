import { expect, it } from '@jest/globals';
import { Partitioners, type Producer } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromKafka, type KafkaSourceOptions } from '../../../lib/kafka.js';
import type { Delivery, TelemetryEvent } from '../../../lib/index.js';
import { describeKafka } from '../../servers/describe-kafka.js';
import type { KafkaTestClient } from '../../servers/kafka-test-client.js';
import { until } from '../../support/until.js';

/** Reads and acks; keeps what came, what was told and how it ended. */
function follow(kafka: KafkaTestClient, options: Partial<KafkaSourceOptions> & { readonly topics: string[] }) {
  const { groupId = kafka.groupId() } = options;
  const all: Delivery<Uint8Array | null>[] = [];
  const events: TelemetryEvent[] = [];
  const ends: unknown[] = [];
  const telemetry = (event: TelemetryEvent): void => void events.push(event);
  const subscription = fromKafka(kafka.newKafka(), { telemetry, commitIntervalMs: 50, ...options, groupId }).subscribe({
    next: (delivery) => {
      all.push(delivery);
      delivery.ack();
    },
    error: (error) => ends.push(error),
    complete: () => ends.push('complete'),
  });
  const is = (type: TelemetryEvent['type']): boolean => events.some((event) => event.type === type);
  return {
    groupId,
    all,
    ends,
    is,
    close: async (): Promise<void> => {
      subscription.unsubscribe();
      await until('it is closed', () => is('closed'));
    },
  };
}

async function transactional(kafka: KafkaTestClient, transactionalId: string): Promise<Producer> {
  const producer = kafka.newKafka().producer({
    transactionalId,
    idempotent: true,
    maxInFlightRequests: 1,
    createPartitioner: Partitioners.DefaultPartitioner,
  });
  await producer.connect();
  return producer;
}

describeKafka('fromKafka over a topic that changes', (kafka) => {
  it('takes a header without a value for an empty one, and goes on', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const { byteLength } = Buffer;
    // kafkajs can write such a header and trips over the length of it; the Java client sends them as a matter of course.
    Buffer.byteLength = (value, encoding) => (value === null ? 0 : byteLength(value, encoding));
    try {
      await kafka().send(topic, [{ value: 'a', headers: { none: null as unknown as string, one: '1' } }]);
    } finally {
      Buffer.byteLength = byteLength;
    }
    await kafka().send(topic, [{ value: 'b' }]);
    const reading = follow(kafka(), { topics: [topic] });
    await until('both have come', () => reading.all.length === 2 || reading.ends.length > 0);
    expect([reading.ends, reading.all[0]?.headers]).toEqual([[], { none: new Uint8Array(0), one: Buffer.from('1') }]);
    await reading.close();
  });

  it("finds partitions that are added, and reads them from their oldest message, by 'latest' too", async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    await kafka().send(topic, [{ value: 'old', partition: 0 }]);
    const reading = follow(kafka(), { topics: [topic], start: 'latest', metadataMaxAgeMs: 1_000 });
    await until('it is assigned', () => reading.is('assigned'));
    await sleep(500);
    const admin = kafka().newKafka().admin();
    await admin.connect();
    await admin.createPartitions({ topicPartitions: [{ topic, count: 3 }] });
    await admin.disconnect();
    const producer = kafka().newKafka().producer({ createPartitioner: Partitioners.DefaultPartitioner });
    await producer.connect();
    await producer.send({ topic, messages: [{ value: 'new', partition: 2 }] });
    await producer.disconnect();
    await until('the new one has come', () => reading.all.length > 0, 20_000);
    expect(reading.all.map(({ id }) => id)).toEqual([`${topic}/2/0`]);
    await reading.close();
  });

  it('commits past an aborted transaction that nothing follows', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    await kafka().send(topic, [{ value: 'a' }]);
    const reading = follow(kafka(), { topics: [topic] });
    await until('it has come', () => reading.all.length === 1);
    const producer = await transactional(kafka(), reading.groupId);
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: 'b' }, { value: 'c' }] });
    await transaction.abort();
    await producer.disconnect();
    // Two messages and the marker.
    await until(
      'the end is committed',
      async () => (await kafka().committed(reading.groupId, topic))[0] === 4n,
      10_000,
    );
    await expect(kafka().endOffsets(topic)).resolves.toEqual([4n]);
    expect(reading.all.length).toBe(1);
    await reading.close();
  });

  it('goes on where it was within a transaction that is open, where it reads what is not committed', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const groupId = kafka().groupId();
    const producer = await transactional(kafka(), groupId);
    const transaction = await producer.transaction();
    await transaction.send({ topic, messages: [{ value: 'a' }, { value: 'b' }] });
    for (const expected of [2, 1]) {
      const reading = follow(kafka(), { topics: [topic], groupId, readUncommitted: true });
      await until('all have come', () => reading.all.length === expected || reading.ends.length > 0);
      expect(reading.ends).toEqual([]);
      await reading.close();
      await transaction.send({ topic, messages: [{ value: 'c' }] });
    }
    await transaction.commit();
    await producer.disconnect();
  });

  it('ends with a typed error where the topic is deleted', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    await kafka().send(topic, [{ value: 'a' }]);
    const reading = follow(kafka(), { topics: [topic] });
    await until('it has come', () => reading.all.length === 1);
    await kafka().deleteTopic(topic);
    await until('it has ended', () => reading.ends.length > 0, 60_000);
    expect(reading.ends).toMatchObject([{ code: 'unknown-topic' }]);
    await reading.close();
  });
});
