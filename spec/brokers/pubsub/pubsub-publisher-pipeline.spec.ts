import { describe, expect, it } from '@jest/globals';
import { throwError } from 'rxjs';
import { pubsubPublisher } from '../../../lib/brokers/pubsub/pubsub-publisher.js';
import { ackEach, handle, permanent, publish, publishTo, retryToDlq, topicPublisher } from '../../../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryBroker } from '../../../lib/memory.js';
import { marbles } from '../../support/marbles.js';
import { grpcError, publishFake } from '../../support/pubsub-publish-fake.js';

function brokerWith(count: number, valueOf: (i: number) => string = String): MemoryBroker {
  const broker = memoryBroker();
  broker.createTopic('in', { partitions: 1 });
  const messages = Array.from({ length: count }, (_, i) => ({ key: `k${i % 3}`, value: valueOf(i) }));
  publish(memoryPublisher(broker, { topic: 'in' }), messages).subscribe();
  return broker;
}

describe('a pipeline that publishes to Pub/Sub', () => {
  it('holds while the service is out, counts no attempt, and goes on in order', () => {
    marbles(({ drive, advanceTo, now }) => {
      const broker = brokerWith(20);
      const fake = publishFake();
      fake.fail = () => (now() < 15_000 ? { error: grpcError(14) } : null);
      const events: string[] = [];
      const run = drive(
        fromMemory(broker, { groupId: 'g', topics: ['in'], telemetry: ({ type }) => events.push(type) }).pipe(
          retryToDlq({ maxRetries: 0, deadLetters: pubsubPublisher(fake.pubsub, { topic: 'dlq' }) }),
          publishTo(pubsubPublisher(fake.pubsub, { topic: 'orders' }), (value, { key }) => ({ key, value })),
          ackEach(),
        ),
      );
      advanceTo(40_000);
      expect(run.values).toHaveLength(20);
      for (const key of ['k0', 'k1', 'k2']) {
        const numbers = fake.stored.flatMap((message) => (message.key === key ? [Number(message.value)] : []));
        expect(numbers).toEqual(Array.from({ length: 20 }, (_, i) => i).filter((i) => key === `k${i % 3}`));
      }
      expect(events).toEqual(expect.arrayContaining(['unavailable', 'recovered']));
      expect(events).not.toContain('dead-lettered');
      expect(fake.violations).toEqual([]);
    });
  });

  it.each([
    ['the stack, longer than an attribute, is left out', '0'.repeat(1_000), undefined],
    ['the stack, of a small message, is short enough', '0', expect.stringMatching(/^x{500,1024}$/)],
  ])('stores dead letters with what failed; %s', (_, value, stack) => {
    marbles(({ drive, advanceTo }) => {
      const broker = brokerWith(1, () => value);
      const fake = publishFake();
      drive(
        fromMemory(broker, { groupId: 'g', topics: ['in'] }).pipe(
          retryToDlq({ deadLetters: pubsubPublisher(fake.pubsub, { topic: 'dlq' }) }),
          handle(
            () =>
              throwError(() => {
                const error = permanent(new Error('no such order'));
                error.stack = 'x'.repeat(2_000);
                return error;
              }),
            { concurrency: 1 },
          ),
          ackEach(),
        ),
      );
      advanceTo(5_000);
      expect(fake.stored).toMatchObject([
        {
          key: 'k0',
          value,
          attributes: { 'dead-letter-error-message': 'no such order', 'dead-letter-attempts': '1' },
        },
      ]);
      expect(fake.stored[0]?.attributes?.['dead-letter-error-stack']).toEqual(stack);
      expect(broker.committed('g', 'in')).toEqual([1]);
    });
  });

  it('fails the messages of a topic that is not there, and no others', () => {
    marbles(({ drive, advanceTo }) => {
      const [there, gone] = [publishFake(), publishFake()];
      gone.failLook = () => ({ error: grpcError(5) });
      const publisher = topicPublisher((topic) => pubsubPublisher((topic === 'gone' ? gone : there).pubsub, { topic }));
      const outcomes = drive(
        publish(publisher, [
          { topic: 'there', value: 'a' },
          { topic: 'gone', value: 'b' },
        ]),
      );
      advanceTo(1_000);
      expect(outcomes.values[0]?.map(({ status }) => status)).toEqual(['ok', 'transient']);
    });
  });
});
