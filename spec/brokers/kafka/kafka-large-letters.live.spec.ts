import { createHash } from 'node:crypto';
import { expect, it } from '@jest/globals';
import { CompressionTypes, Partitioners } from 'kafkajs';
import { ackEach, decode, json, retryToDlq, type TelemetryEvent } from '../../../lib/index.js';
import { fromKafka, kafkaPublisher } from '../../../lib/kafka.js';
import { describeOwnKafka } from '../../servers/describe-own-kafka.js';
import { kafkaTestClient } from '../../servers/kafka-test-client.js';
import { until } from '../../support/until.js';

const MOST_REQUEST_BYTES = 400_000;
const PATIENCE_MS = 150_000;

describeOwnKafka(
  'a letter for which the broker closes the connection',
  (server) => {
    it.each(['headers', 'json'] as const)(
      "is found among others, and has size and digest of its value at last (format: '%s')",
      async (format) => {
        const client = kafkaTestClient(server());
        try {
          const topic = await client.createTopic({ partitions: 2 });
          const dlq = await client.createTopic({ partitions: 2 });
          const groupId = client.groupId();
          // Compressed it is small; a request that has it uncompressed is not.
          const large = Buffer.alloc(2 * MOST_REQUEST_BYTES, 'x');
          const producer = client.newKafka().producer({ createPartitioner: Partitioners.DefaultPartitioner });
          await producer.connect();
          await producer.send({
            topic,
            compression: CompressionTypes.GZIP,
            messages: [{ partition: 0, value: large }],
          });
          await producer.disconnect();
          const bad = Array.from({ length: 20 }, (_, i) => `bad ${i}`);
          await client.send(
            topic,
            [...bad, '{"ok":1}'].map((value) => ({ partition: 1, value })),
          );
          const events: TelemetryEvent[] = [];
          // A request that fails is tried six times by kafkajs: here without its long waits.
          const kafka = client.newKafka({ retry: { initialRetryTime: 10, maxRetryTime: 50 } });
          const deadLetters = kafkaPublisher(kafka, { topic: dlq });
          const telemetry = (event: TelemetryEvent): void => void events.push(event);
          const passed: unknown[] = [];
          const subscription = fromKafka(kafka, { groupId, topics: [topic], telemetry })
            .pipe(retryToDlq({ deadLetters, format }), decode(json()), ackEach())
            .subscribe((value) => passed.push(value));
          await until(
            'all is committed',
            async () => String(await client.committed(groupId, topic)) === '1,21',
            PATIENCE_MS,
          );
          expect(passed).toEqual([{ ok: 1 }]);
          const letters = await client.readAll(dlq);
          // Each at least once: what a failed call had stored is stored again.
          const texts = letters.map(({ value }) => String(value));
          for (const text of bad) expect(texts.some((value) => value.includes(text))).toBe(true);
          const digest = letters.find(({ headers }) => headers?.['dead-letter-value-sha256'] !== undefined);
          expect(JSON.parse(String(digest?.value))).toMatchObject({
            original: null,
            bytes: large.length,
            sha256: createHash('sha256').update(large).digest('hex'),
            error: { source: { topic, partition: 0, position: '0' } },
          });
          const told = events.filter(({ type }) => type === 'undeliverable');
          expect(told.map((event) => event.type === 'undeliverable' && event.message.id)).toEqual([`${topic}/0/0`]);
          subscription.unsubscribe();
          await until('it is closed', () => events.some(({ type }) => type === 'closed'), PATIENCE_MS);
        } finally {
          await client.close();
        }
      },
    );
  },
  { config: { 'socket.request.max.bytes': String(MOST_REQUEST_BYTES) } },
);
