import { describe, expect, it } from '@jest/globals';
import { throwError } from 'rxjs';
import { kinesisPublisher } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import { ackEach, handle, permanent, publish, publishTo, retryToDlq } from '../../../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryBroker } from '../../../lib/memory.js';
import { sdkError } from '../../support/kinesis-fake-errors.js';
import { putFake } from '../../support/kinesis-put-fake.js';
import { storedOf } from '../../support/kinesis-publishing.js';
import { marbles } from '../../support/marbles.js';

function brokerWith(count: number): MemoryBroker {
  const broker = memoryBroker();
  broker.createTopic('in', { partitions: 1 });
  const messages = Array.from({ length: count }, (_, i) => ({ key: `k${i % 3}`, value: String(i) }));
  publish(memoryPublisher(broker, { topic: 'in' }), messages).subscribe();
  return broker;
}

describe('a pipeline that publishes to Kinesis', () => {
  it('holds while the service is out, counts no attempt, and goes on in order', () => {
    marbles(({ drive, advanceTo, now }) => {
      const broker = brokerWith(20);
      const fake = putFake();
      fake.fail = () => (now() < 5_000 ? { error: sdkError({ code: 'ECONNRESET' }) } : null);
      const events: string[] = [];
      const run = drive(
        fromMemory(broker, { groupId: 'g', topics: ['in'], telemetry: ({ type }) => events.push(type) }).pipe(
          retryToDlq({ maxRetries: 0, deadLetters: kinesisPublisher(fake.client, { stream: 'dlq', headers: 'drop' }) }),
          publishTo(kinesisPublisher(fake.client, { stream: 'orders' }), (value, { key }) => ({ key, value })),
          ackEach(),
        ),
      );
      advanceTo(20_000);
      expect(run.values).toHaveLength(20);
      expect(
        storedOf(fake)
          .split(' ')
          .map(Number)
          .sort((a, b) => a - b),
      ).toEqual(Array.from({ length: 20 }, (_, i) => i));
      for (const key of ['k0', 'k1', 'k2']) {
        const numbers = fake.stored.flatMap((record) => (record.key === key ? [Number(record.value)] : []));
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      }
      expect(events).toEqual(expect.arrayContaining(['unavailable', 'recovered']));
      expect(events).not.toContain('dead-lettered');
    });
  });

  it('stores dead letters whose value tells what failed', () => {
    marbles(({ drive, advanceTo }) => {
      const broker = brokerWith(1);
      const fake = putFake();
      drive(
        fromMemory(broker, { groupId: 'g', topics: ['in'] }).pipe(
          retryToDlq({
            format: 'json',
            deadLetters: kinesisPublisher(fake.client, { stream: 'dlq', headers: 'drop' }),
          }),
          handle(() => throwError(() => permanent(new Error('no such order'))), { concurrency: 1 }),
          ackEach(),
        ),
      );
      advanceTo(5_000);
      expect(fake.stored.map(({ key }) => key)).toEqual(['k0']);
      expect(JSON.parse(fake.stored[0]?.value ?? '')).toMatchObject({
        original: 0,
        error: { message: 'no such order' },
      });
      expect(broker.committed('g', 'in')).toEqual([1]);
    });
  });
});
