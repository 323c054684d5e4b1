import { expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { ackEach, handle, ordered } from '../../../lib/index.js';
import { fromPubSub } from '../../../lib/pubsub.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { until } from '../../support/until.js';

describePubSubFake(
  'fromPubSub and a message that was on its way when an earlier one of its key went back',
  (fake, pubsub) => {
    it.each([
      ['a moment', 500, 100],
      ['longer than what was under way may take', 12_000, 11_000],
    ])(
      'does not start it before that one, which takes %s to be known',
      async (_, delayMs, endBMs) => {
        const topic = await pubsub().createTopic();
        const name = await pubsub().createSubscription(topic, { enableMessageOrdering: true });
        await pubsub().publish(topic, 2, { orderingKey: () => 'a', data: (n) => `a${n}` });
        await pubsub().publish(topic, 1, { orderingKey: () => 'b', data: () => 'b' });
        const begun: string[] = [];
        let endB = (): void => undefined;
        let failA = (): void => undefined;
        const client = pubsub().newPubSub();
        let isClosed = false;
        const consumer = fromPubSub(client.subscription(name), {
          maxInFlight: 3,
          readAhead: 0,
          telemetry: ({ type }) => void (isClosed ||= type === 'closed'),
        })
          .pipe(
            ordered({ by: 'key' }),
            handle(
              async (value, delivery) => {
                const text = new TextDecoder().decode(value as Uint8Array);
                begun.push(text);
                if (text === 'b') await new Promise<void>((resolve) => (endB = resolve));
                if (text !== 'a0' || begun.filter((one) => one === 'a0').length > 1) return;
                await new Promise<void>((resolve) => (failA = resolve));
                delivery.nack('later', { delayMs: 0 });
              },
              { concurrency: 3 },
            ),
            ackEach(),
          )
          .subscribe();
        await until('three are out', () => begun.length === 2 && fake().subscription(name).outstanding === 3, 10_000);
        // Its place is taken until b is acked, which happens before the service learns that a0 goes back.
        await pubsub().publish(topic, 1, { first: 2, orderingKey: () => 'a', data: (n) => `a${n}` });
        fake().delay('ModifyAckDeadline', delayMs);
        failA();
        await sleep(endBMs);
        endB();
        await sleep(200);
        fake().heal();
        await until('all are done', () => fake().subscription(name).backlog === 0, 15_000);
        consumer.unsubscribe();
        await until('it is closed', () => isClosed);
        await client.close();
        expect(begun.slice(2)).toEqual(['a0', 'a1', 'a2']);
      },
      30_000,
    );
  },
);
