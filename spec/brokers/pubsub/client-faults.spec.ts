import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { Duration, type Message, type PubSub, type Subscription, type SubscriptionOptions } from '@google-cloud/pubsub';
import { ackEach, handle, ordered } from '../../../lib/index.js';
import { fromPubSub } from '../../../lib/pubsub.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { until } from '../../support/until.js';

/** What a handler did: who is at work now, and who has begun, in order. */
interface Work {
  readonly begun: string[];
  now: number;
  most: number;
}

const work = (): Work => ({ begun: [], now: 0, most: 0 });

async function doWork(done: Work, text: string, ms: number): Promise<void> {
  done.begun.push(text);
  done.now++;
  done.most = Math.max(done.most, done.now);
  await sleep(ms, undefined, { ref: false });
  done.now--;
}

const repeatsOf = ({ begun }: Work): number => begun.length - new Set(begun).size;

describePubSubFake('What the bare client does to its users, and fromPubSub does not', (fake, pubsub) => {
  const opened: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((close) => close()));
  });

  /** The client as its guide shows it: the handler is awaited by nobody. */
  const openBare = (name: string, options: SubscriptionOptions, onMessage: (message: Message) => Promise<void>) => {
    const client: PubSub = pubsub().newPubSub();
    const subscription: Subscription = client.subscription(name, options);
    subscription.on('error', () => undefined);
    subscription.on('message', (message: Message) => void onMessage(message));
    opened.push(() => client.close());
    return subscription;
  };

  describe('more at work than allowed, once leases have run out (nodejs-pubsub 1213)', () => {
    it('the bare client: frees the places of messages that it gave up, with their work still under way', async () => {
      const topic = await pubsub().createTopic();
      const name = await pubsub().createSubscription(topic, { ackDeadlineSeconds: 10 });
      await pubsub().publish(topic, 40);
      const done = work();
      openBare(
        name,
        {
          flowControl: { maxMessages: 2, allowExcessMessages: false },
          maxExtensionTime: Duration.from({ seconds: 1 }),
          minAckDeadline: Duration.from({ seconds: 10 }),
        },
        async (message) => {
          await doWork(done, String(message.data), 60_000);
        },
      );
      await until('done.most > 2', () => done.most > 2, 30_000);
      expect(done.most).toBeGreaterThan(2);
    });

    it('fromPubSub: never, streaming or by pulls', async () => {
      // Side by side: each would wait for its leases.
      const dones = await Promise.all(
        (['streaming', 'pull'] as const).map(async (mode) => {
          const topic = await pubsub().createTopic();
          const name = await pubsub().createSubscription(topic, { ackDeadlineSeconds: 10 });
          await pubsub().publish(topic, 40);
          const done = work();
          const source = fromPubSub(pubsub().newPubSub().subscription(name), {
            mode,
            maxInFlight: 2,
            ackDeadlineMs: 10_000,
            maxExtensionMs: 10_000,
            drainTimeoutMs: 0,
            telemetry: () => undefined,
          });
          const subscription = source
            .pipe(
              handle((value) => doWork(done, String(value), 60_000), { concurrency: 100 }),
              ackEach(),
            )
            .subscribe();
          opened.push(() => Promise.resolve(subscription.unsubscribe()));
          await until('done.now === 2', () => done.now === 2, 10_000);
          return done;
        }),
      );
      // The leases run out, and the service sends the messages again.
      await sleep(11_000);
      fake().advance(11_000);
      await sleep(2_000);
      expect(dones.map((done) => [done.most, repeatsOf(done)])).toEqual([
        [2, 0],
        [2, 0],
      ]);
    });
  });

  describe('messages of one ordering key at work at once (nodejs-pubsub 1796)', () => {
    const publishKey = async (): Promise<string> => {
      const topic = await pubsub().createTopic();
      const name = await pubsub().createSubscription(topic, { enableMessageOrdering: true });
      await pubsub().publish(topic, 20, { orderingKey: () => 'a' });
      return name;
    };

    it('the bare client: all that it has', async () => {
      const name = await publishKey();
      const done = work();
      openBare(name, {}, async (message) => {
        await doWork(done, String(message.data), 50);
        message.ack();
      });
      await until('done.begun.length === 20', () => done.begun.length === 20, 10_000);
      expect(done.most).toBeGreaterThan(1);
    });

    it.each(['streaming', 'pull'] as const)(
      'fromPubSub with ordered(), %s: one, in order',
      async (mode) => {
        const name = await publishKey();
        const done = work();
        const subscription = fromPubSub(pubsub().newPubSub().subscription(name), { mode })
          .pipe(
            ordered({ by: 'key' }),
            handle((value) => doWork(done, String(value), 10), { concurrency: 20 }),
            ackEach(),
          )
          .subscribe();
        opened.push(() => Promise.resolve(subscription.unsubscribe()));
        await until(
          'done.begun.length === 20 && done.now === 0',
          () => done.begun.length === 20 && done.now === 0,
          20_000,
        );
        subscription.unsubscribe();
        expect([done.most, done.begun]).toEqual([1, Array.from({ length: 20 }, (_, index) => String(index))]);
      },
      30_000,
    );
  });

  describe('finished work that comes again after a close (nodejs-pubsub 1860)', () => {
    it('the bare client: all that was under way', async () => {
      const topic = await pubsub().createTopic();
      const name = await pubsub().createSubscription(topic);
      await pubsub().publish(topic, 10);
      const done = work();
      const subscription = openBare(name, {}, async (message) => {
        await doWork(done, String(message.data), 300);
        message.ack();
      });
      await until('done.now === 10', () => done.now === 10, 10_000);
      await subscription.close();
      await until('done.now === 0', () => done.now === 0, 10_000);
      expect(await pubsub().take(name, 10)).toHaveLength(10);
    });

    it.each(['streaming', 'pull'] as const)('fromPubSub, %s: nothing', async (mode) => {
      const topic = await pubsub().createTopic();
      const name = await pubsub().createSubscription(topic);
      await pubsub().publish(topic, 10);
      const done = work();
      const stop = new AbortController();
      const ended = new Promise<void>((complete) => {
        fromPubSub(pubsub().newPubSub().subscription(name), { mode, stop: stop.signal })
          .pipe(
            handle((value) => doWork(done, String(value), 300), { concurrency: 10 }),
            ackEach(),
          )
          .subscribe({ complete });
      });
      await until('done.now === 10', () => done.now === 10, 10_000);
      stop.abort();
      await ended;
      expect([await pubsub().pull(name, 10), fake().subscription(name).backlog]).toEqual([[], 0]);
    });
  });

  describe('a limit of bytes with messages of different sizes', () => {
    const publishSizes = async (): Promise<string> => {
      const topic = await pubsub().createTopic();
      const name = await pubsub().createSubscription(topic);
      await pubsub().publish(topic, 3, { data: (index) => 'x'.repeat(index === 0 ? 2_000 : 600) });
      return name;
    };

    it('the bare client: two small messages wait behind a big one that is long acked', async () => {
      const name = await publishSizes();
      const sizes: number[] = [];
      const flowControl = { maxBytes: 1_000, maxMessages: 100, allowExcessMessages: false };
      openBare(name, { flowControl, batching: { maxMilliseconds: 1 } }, async (message) => {
        sizes.push(message.length);
        await sleep(200);
        if (message.length > 1_000) message.ack();
      });
      await sleep(3_000);
      expect(sizes.length).toBeLessThan(3);
    });

    it.each(['streaming', 'pull'] as const)('fromPubSub, %s: all are worked on', async (mode) => {
      const name = await publishSizes();
      const done = work();
      const subscription = fromPubSub(pubsub().newPubSub().subscription(name), { mode, maxBufferedBytes: 1_000 })
        .pipe(
          handle((value) => doWork(done, String(value), 50), { concurrency: 1 }),
          ackEach(),
        )
        .subscribe();
      opened.push(() => Promise.resolve(subscription.unsubscribe()));
      await until('done.begun.length === 3', () => done.begun.length === 3, 10_000);
      subscription.unsubscribe();
    });
  });
});
