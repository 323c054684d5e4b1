import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { mergeMap } from 'rxjs';
import { ackEach, handle, ordered, settling } from '../../../lib/index.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import type { SubscriptionShape } from '../../servers/pubsub-test-client.js';
import { watchPubSub, type PubSubDelivery } from '../../support/pubsub-watch.js';
import { until } from '../../support/until.js';

/** Keeps the order of keys, and sends again at once. */
const IN_ORDER: SubscriptionShape = {
  enableMessageOrdering: true,
  retryPolicy: { minimumBackoff: { seconds: 0 }, maximumBackoff: { seconds: 0.1 } },
};
const MODES = ['streaming', 'pull'] as const;
const textOf = ({ value }: PubSubDelivery): string => Buffer.from(value ?? []).toString();

describePubSubFake('fromPubSub', (fake, pubsub) => {
  const { open, endAll } = watchPubSub(pubsub);
  afterEach(async () => {
    fake().heal();
    await endAll();
  });

  const place = async (shape: SubscriptionShape = {}): Promise<{ topic: string; name: string }> => {
    const topic = await pubsub().createTopic();
    return { topic, name: await pubsub().createSubscription(topic, shape) };
  };

  const has = (count: number, seen: { readonly deliveries: readonly unknown[] }) =>
    until(`${count} messages`, () => seen.deliveries.length >= count, 10_000);

  describe.each(MODES)('%s', (mode) => {
    it('tells what a message is: value, key, attributes, time, id and where it stands', async () => {
      const { topic, name } = await place({ enableMessageOrdering: true });
      // A key of JavaScript's own, made by computing it: written down it would be the prototype.
      const attributes = { ['__proto__']: 'p', constructor: 'c', 'ünï cödé ': '', traceparent: '00-1-2-01' };
      const [id] = await pubsub().publish(topic, 1, {
        orderingKey: () => 'köy',
        data: () => Uint8Array.of(0, 255, 128),
        attributes: () => attributes,
      });
      const seen = open(name, { mode });
      await has(1, seen);
      const [delivery] = seen.deliveries as [PubSubDelivery];
      expect([...(delivery.value ?? [])]).toEqual([0, 255, 128]);
      expect(Object.entries(delivery.headers).sort()).toEqual(Object.entries(attributes).sort());
      expect(delivery).toMatchObject({
        key: 'köy',
        id: `${topic}/${name}/${id}`,
        attempt: 1,
        position: { broker: 'pubsub', topic, subscription: name, messageId: id },
      });
      expect(Math.abs(delivery.timestamp - Date.now())).toBeLessThan(60_000);
    });

    it('tells on a timer what is buffered and in flight, and no lag: only the service knows what else waits', async () => {
      const { topic, name } = await place();
      await pubsub().publish(topic, 20);
      const seen = open(name, { mode, maxInFlight: 4, lagEveryMs: 100 });
      const lags = () => seen.events.flatMap((event) => (event.type === 'lag' ? [event] : []));
      await until('it is told', () => lags().some(({ inFlight }) => inFlight === 4));
      const from = lags().length;
      await until('and again, though nothing moves', () => lags().length >= from + 3);
      for (const event of lags().slice(from)) {
        expect(event).toMatchObject({ partition: { topic, partition: name }, inFlight: 4 });
        expect(event.bufferedMessages).toBeGreaterThanOrEqual(0);
        expect(Object.keys(event).sort()).toEqual([
          'bufferedBytes',
          'bufferedMessages',
          'inFlight',
          'partition',
          'type',
        ]);
      }
    });

    it('takes messages of 9 MB, and thousands of keys', async () => {
      const { topic, name } = await place({ enableMessageOrdering: true });
      await pubsub().publish(topic, 2, { data: () => Buffer.alloc(9_000_000, 1) });
      await pubsub().publish(topic, 1_500, { first: 2, orderingKey: (index) => `key-${index}` });
      const seen = open(name, { mode }, (source) => source.pipe(ordered({ by: 'key' }), ackEach()));
      await until('all are done', () => seen.values.length === 1_502, 30_000);
      await until('and acked', () => fake().subscription(name).backlog === 0, 10_000);
    });

    it('sends a nack after its delay, holds its credit until then, and counts the attempts', async () => {
      const { topic, name } = await place();
      await pubsub().publish(topic, 2);
      const seen = open(name, { mode, maxInFlight: 1 });
      await has(1, seen);
      const [first] = seen.deliveries as [PubSubDelivery];
      first.nack('no', { delayMs: 400 });
      await sleep(250);
      expect([seen.deliveries.length, fake().subscription(name).counts.nacks]).toEqual([1, 0]);
      await has(2, seen);
      // The other one, or the same again: whichever the service sends first.
      for (let count = 1; count < 12 && seen.deliveries.at(-1)?.id !== first.id; count++) {
        seen.deliveries.at(-1)?.ack();
        await has(count + 2, seen);
      }
      const again = seen.deliveries.find((delivery) => delivery !== first && delivery.id === first.id);
      expect(again?.attempt).toBe(2);
    });

    it('takes the number of the attempt from a service that counts', async () => {
      const deadLetterTopic = await pubsub().createTopic();
      const { topic, name } = await place({
        deadLetterPolicy: { deadLetterTopic: `projects/demo/topics/${deadLetterTopic}`, maxDeliveryAttempts: 20 },
      });
      await pubsub().publish(topic, 1);
      const [raw] = await pubsub().pull(name, 1, { wait: true });
      await pubsub().modifyDeadline(name, [raw?.ackId ?? ''], 0);
      const seen = open(name, { mode });
      await has(1, seen);
      expect(seen.deliveries[0]?.attempt).toBe(2);
      expect(seen.ofType('misuse')).toEqual([]);
    });

    it('warns where the dead letter policy allows few attempts, which each deploy uses up', async () => {
      const deadLetterTopic = await pubsub().createTopic();
      const { name } = await place({
        deadLetterPolicy: { deadLetterTopic: `projects/demo/topics/${deadLetterTopic}`, maxDeliveryAttempts: 5 },
      });
      const seen = open(name, { mode });
      await until('a warning', () => seen.ofType('misuse').length === 1, 5_000);
      expect(seen.ofType('misuse')).toMatchObject([{ code: 'few-delivery-attempts' }]);
    });

    it('does not start a message again that comes again while it is worked on, and acks it by its last arrival', async () => {
      const { topic, name } = await place({ ackDeadlineSeconds: 10 });
      await pubsub().publish(topic, 1);
      const seen = open(name, { mode, maxInFlight: 5 });
      await has(1, seen);
      const arrivals = () => Math.max(...fake().subscription(name).counts.deliveries.values());
      fake().advance(15_000);
      await until('it was sent again', () => arrivals() >= 2, 20_000);
      await sleep(200);
      expect(seen.deliveries).toHaveLength(1);
      seen.deliveries[0]?.ack();
      await until('it is acked', () => fake().subscription(name).backlog === 0, 5_000);
    });

    it('gives back a key from the message on that goes back, and has it again in order', async () => {
      const { topic, name } = await place(IN_ORDER);
      await pubsub().publish(topic, 8, { orderingKey: () => 'a' });
      const done: string[] = [];
      let isBroken = true;
      const seen = open(name, { mode }, (source) =>
        source.pipe(
          ordered({ by: 'key' }),
          mergeMap((delivery) =>
            settling(delivery, () => {
              const text = textOf(delivery);
              if (text === '3' && isBroken) {
                isBroken = false;
                throw new Error('no');
              }
              done.push(text);
              return [text];
            }),
          ),
          ackEach(),
        ),
      );
      await until('all are done', () => seen.values.length === 8, 20_000);
      expect(done).toEqual(['0', '1', '2', '3', '4', '5', '6', '7']);
    });

    it('lets each of a key be where the subscription keeps no order: one that failed holds up no other', async () => {
      const { topic, name } = await place({ retryPolicy: { minimumBackoff: { seconds: 30 } } });
      await pubsub().publish(topic, 2, { orderingKey: () => 'a' });
      const seen = open(name, { mode, maxInFlight: 1 });
      await has(1, seen);
      seen.deliveries[0]?.nack('no', { delayMs: 0 });
      // The one that was fetched with it, and one that comes later.
      await has(2, seen);
      seen.deliveries[1]?.ack();
      await pubsub().publish(topic, 1, { first: 2, orderingKey: () => 'a' });
      await has(3, seen);
      expect(seen.deliveries.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
      expect(fake().subscription(name).counts.nacks).toBe(1);
    });

    it('counts no attempt of what went back behind another of its key', async () => {
      const { topic, name } = await place(IN_ORDER);
      await pubsub().publish(topic, 2, { orderingKey: () => 'a' });
      const attempts: string[] = [];
      open(name, { mode }, (source) =>
        source.pipe(
          ordered({ by: 'key' }),
          handle((_, delivery) => {
            attempts.push(`${textOf(delivery)} ${delivery.attempt}`);
            if (attempts.length < 4) delivery.nack('no', { delayMs: 0 });
            return Promise.resolve();
          }),
          ackEach(),
        ),
      );
      await until('both are acked', () => fake().subscription(name).backlog === 0, 10_000);
      expect(attempts).toEqual(['0 1', '0 2', '0 3', '0 4', '1 1']);
    });

    it('has what is acked acked before it completes on stop, though the service is out meanwhile', async () => {
      const { topic, name } = await place();
      const stop = new AbortController();
      fake().fail('Acknowledge', { count: 1_000 });
      await pubsub().publish(topic, 5);
      const seen = open(name, { mode, stop: stop.signal, drainTimeoutMs: 10_000 }, (source) => source.pipe(ackEach()));
      await has(5, seen);
      stop.abort();
      await sleep(2_000);
      expect(seen.isComplete).toBe(false);
      fake().heal();
      await until('it is complete', () => seen.isComplete, 10_000);
      expect([fake().subscription(name).backlog, seen.ofType('ack-failed')]).toEqual([0, []]);
    });

    it('tells of each ack that was not answered when its drain ended', async () => {
      const { topic, name } = await place();
      fake().fail('Acknowledge', { count: 1_000 });
      await pubsub().publish(topic, 5);
      const seen = open(name, { mode }, (source) => source.pipe(ackEach()));
      await has(5, seen);
      seen.end();
      await until('it is closed', () => seen.isClosed(), 10_000);
      expect(seen.ofType('ack-failed')).toHaveLength(5);
      expect(seen.ofType('ack-failed')[0]).toMatchObject({
        error: { code: 'connection-failed', message: expect.stringContaining('ended before Pub/Sub answered') },
      });
    });

    it('gives back what is out with drainTimeoutMs 0 too', async () => {
      const { topic, name } = await place();
      await pubsub().publish(topic, 5);
      const seen = open(name, { mode, drainTimeoutMs: 0 });
      await has(5, seen);
      seen.end();
      await until('it is closed', () => seen.isClosed(), 5_000);
      expect(fake().subscription(name)).toMatchObject({ outstanding: 0, backlog: 5 });
    });

    it('completes on stop with what is started done and the rest given back at once', async () => {
      const { topic, name } = await place();
      await pubsub().publish(topic, 20);
      const stop = new AbortController();
      const seen = open(name, { mode, maxInFlight: 5, stop: stop.signal }, (source) =>
        source.pipe(
          handle(() => sleep(300), { concurrency: 5 }),
          ackEach(),
        ),
      );
      await has(5, seen);
      stop.abort();
      await until('the rest is back', () => fake().subscription(name).outstanding <= 5, 250);
      await until('it is complete', () => seen.isComplete, 5_000);
      expect([seen.values.length, seen.isClosed(), seen.deliveries.length]).toEqual([5, true, 5]);
      const { backlog, outstanding, streams } = fake().subscription(name);
      expect([backlog, outstanding, streams]).toEqual([15, 0, 0]);
    });

    it('closes at once where nothing is under way, with a subscription that has nothing', async () => {
      const { name } = await place();
      const stop = new AbortController();
      const seen = open(name, { mode, stop: stop.signal });
      await sleep(300);
      const from = performance.now();
      stop.abort();
      await until('it is complete', () => seen.isComplete, 5_000);
      expect(performance.now() - from).toBeLessThan(1_000);
    });

    it('says which subscription is missing', async () => {
      const seen = open('none-such', { mode });
      await until('it fails', () => seen.error !== null, 5_000);
      expect(seen.error).toMatchObject({ code: 'unknown-topic', details: { subscription: 'none-such' } });
      expect(String((seen.error as Error).message)).toContain('none-such');
    });

    it('ends where the subscription is deleted under it', async () => {
      const { name } = await place();
      const seen = open(name, { mode, refusalTimeoutMs: 500 });
      await sleep(300);
      await pubsub().deleteSubscription(name);
      await until('it fails', () => seen.error !== null, 10_000);
      expect(seen.error).toMatchObject({ code: 'unknown-topic' });
      await until('it is closed', () => seen.isClosed(), 5_000);
    });

    it('says that a subscription is detached', async () => {
      const { name } = await place();
      fake().detach(name);
      const seen = open(name, { mode });
      await until('it fails', () => seen.error !== null, 5_000);
      expect(seen.error).toMatchObject({ code: 'source-failed' });
      expect(String((seen.error as Error).message)).toContain('detached');
    });

    it('reads on where it may consume and not look', async () => {
      const { topic, name } = await place();
      fake().deny('GetSubscription');
      await pubsub().publish(topic, 1);
      const seen = open(name, { mode });
      await has(1, seen);
      // Nobody told the topic.
      expect(seen.deliveries[0]?.position.topic).toBe(name);
    });

    it('ends with not-authorized where it may not consume', async () => {
      const { name } = await place();
      fake().deny();
      const seen = open(name, { mode });
      await until('it fails', () => seen.error !== null, 5_000);
      expect(seen.error).toMatchObject({ code: 'not-authorized' });
    });

    it('fails with connection-failed where no service ever answers', async () => {
      const { name } = await place();
      fake().fail('GetSubscription', { count: 99 });
      const seen = open(name, { mode });
      await until('it fails', () => seen.error !== null, 30_000);
      expect(seen.error).toMatchObject({ code: 'connection-failed' });
      expect(fake().calls('GetSubscription')).toBeGreaterThanOrEqual(5);
    });

    it('says that its client was closed', async () => {
      const { name } = await place();
      const seen = open(name, { mode });
      await sleep(300);
      await seen.client.close();
      await until('it fails', () => seen.error !== null, 10_000);
      expect(seen.error).toMatchObject({ code: 'source-failed' });
      expect(String((seen.error as Error).message)).toContain('closed');
    });

    it('goes on after a restart of the service, says that it was out, and that it is back', async () => {
      const { topic, name } = await place();
      const seen = open(name, { mode }, (source) => source.pipe(ackEach()));
      await pubsub().publish(topic, 5);
      await until('five are done', () => seen.values.length === 5, 10_000);
      fake().kill();
      await until('it says so', () => seen.ofType('unavailable').length === 1, 20_000);
      expect(seen.ofType('unavailable')[0]).toMatchObject({
        error: { code: 'connection-failed', message: expect.stringContaining(`(subscription ${name}): Pub/Sub says `) },
      });
      await fake().restart('kept');
      await pubsub().publish(topic, 5, { first: 5 });
      await until('five more are done', () => seen.values.length === 10, 30_000);
      await until('it says so', () => seen.ofType('recovered').length === 1, 20_000);
      expect([seen.error, seen.ofType('unavailable').length]).toEqual([null, 1]);
    });

    it('loses nothing where acks fail for a while', async () => {
      const { topic, name } = await place();
      fake().fail('Acknowledge', { count: 3 });
      await pubsub().publish(topic, 20);
      const seen = open(name, { mode }, (source) => source.pipe(ackEach()));
      await until('all are acked', () => seen.values.length >= 20 && fake().subscription(name).backlog === 0, 20_000);
    });

    it('tells of an ack that failed for good: its message comes again', async () => {
      const { topic, name } = await place();
      fake().fail('Acknowledge', { code: 'INVALID_ARGUMENT', count: 1 });
      await pubsub().publish(topic, 1);
      const seen = open(name, { mode }, (source) => source.pipe(ackEach()));
      await until('it is told', () => seen.ofType('ack-failed').length === 1, 10_000);
      const message = `fromPubSub (subscription ${name}): Pub/Sub says INVALID_ARGUMENT (3). The cause says more.`;
      expect(seen.ofType('ack-failed')[0]).toMatchObject({ error: { code: 'source-failed', message } });
      fake().advance(70_000);
      await until('it came again', () => seen.values.length === 2, 10_000);
    });
  });

  // Side by side: each takes longer than a lease.
  it('extends the lease of what is worked on for longer than the deadline, streaming and by pulls', async () => {
    const all = await Promise.all(
      MODES.map(async (mode) => {
        const { topic, name } = await place({ ackDeadlineSeconds: 10 });
        await pubsub().publish(topic, 1);
        const seen = open(name, { mode });
        await has(1, seen);
        return { name, seen };
      }),
    );
    await sleep(13_000);
    for (const { name, seen } of all) {
      expect([seen.deliveries.length, fake().subscription(name).outstanding]).toEqual([1, 1]);
      seen.deliveries[0]?.ack();
      await until('it is acked', () => fake().subscription(name).backlog === 0, 5_000);
    }
  });

  describe('streaming', () => {
    it('holds no more than maxInFlight and readAhead together', async () => {
      const { topic, name } = await place();
      await pubsub().publish(topic, 200);
      const seen = open(name, { maxInFlight: 10, readAhead: 5 });
      await has(10, seen);
      await sleep(300);
      expect([seen.deliveries.length, fake().subscription(name).outstanding]).toEqual([10, 15]);
    });

    it('opens its stream again each time it is cut, without a word about that', async () => {
      const { topic, name } = await place();
      const seen = open(name, {}, (source) => source.pipe(ackEach()));
      for (let round = 1; round <= 4; round++) {
        await pubsub().publish(topic, 3);
        await until('three more', () => seen.values.length === 3 * round, 10_000);
        fake().cutStreams();
      }
      expect([seen.error, seen.ofType('unavailable')]).toEqual([null, []]);
    });

    it('holds no more than twice its bytes, however often a stream is opened again under a stalled handler', async () => {
      const { topic, name } = await place();
      await pubsub().publish(topic, 60, { data: () => Buffer.alloc(1_000_000) });
      const seen = open(name, { maxBufferedBytes: 10_000_000 });
      await until('it is full', () => fake().subscription(name).outstanding >= 10, 10_000);
      for (let cut = 0; cut < 5; cut++) {
        fake().cutStreams();
        await sleep(1_000);
      }
      expect(fake().subscription(name).outstanding).toBeLessThanOrEqual(32);
      const acking = setInterval(() => seen.deliveries.forEach((delivery) => delivery.ack()), 20);
      await until('all are done', () => fake().subscription(name).backlog === 0, 20_000);
      clearInterval(acking);
    });

    it('mends a stream that ends for a reason that may pass, of which the client gives up', async () => {
      const { topic, name } = await place();
      const seen = open(name, {}, (source) => source.pipe(ackEach()));
      await until('it streams', () => fake().subscription(name).streams === 5, 5_000);
      fake().cutStreams('UNKNOWN');
      await pubsub().publish(topic, 3);
      await until('three are done', () => seen.values.length === 3, 10_000);
      expect(seen.error).toBeNull();
    });

    it('lets an ack wait until the service has confirmed it, where delivery is exactly once', async () => {
      const { topic, name } = await place({ enableExactlyOnceDelivery: true });
      fake().delay('Acknowledge', 400);
      await pubsub().publish(topic, 2);
      const seen = open(name, { maxInFlight: 1 });
      await has(1, seen);
      seen.deliveries[0]?.ack();
      await sleep(200);
      expect([seen.deliveries.length, seen.ofType('settled').length]).toEqual([1, 0]);
      await has(2, seen);
      expect(seen.ofType('settled')).toHaveLength(1);
    });

    it('tells of an exactly-once ack that was refused, and tries one again that may pass', async () => {
      const { topic, name } = await place({ enableExactlyOnceDelivery: true });
      await pubsub().publish(topic, 2);
      const seen = open(name, { maxInFlight: 2 });
      await has(2, seen);
      fake().fail('Acknowledge', { code: 'FAILED_PRECONDITION', reason: 'PERMANENT_FAILURE_INVALID_ACK_ID' });
      seen.deliveries[0]?.ack();
      await until('it is told', () => seen.ofType('ack-failed').length === 1, 5_000);
      expect(seen.ofType('ack-failed')[0]).toMatchObject({
        error: { message: expect.stringContaining(`(subscription ${name}): Pub/Sub refused an ack: INVALID`) },
      });
      expect(seen.ofType('settled')).toEqual([]);
      fake().fail('Acknowledge', { code: 'UNAVAILABLE', reason: 'TRANSIENT_FAILURE_SERVICE_UNAVAILABLE' });
      seen.deliveries[1]?.ack();
      await until('it is settled', () => seen.ofType('settled').length === 1, 10_000);
      expect(seen.ofType('ack-failed')).toHaveLength(1);
    });
  });

  describe('pull', () => {
    it('holds no more than maxInFlight, whatever the backlog, and asks for no more than is free', async () => {
      const { topic, name } = await place();
      await pubsub().publish(topic, 200);
      const seen = open(name, { mode: 'pull', maxInFlight: 10 });
      await has(10, seen);
      await sleep(300);
      expect([seen.deliveries.length, fake().subscription(name).outstanding]).toEqual([10, 10]);
      for (const delivery of seen.deliveries.slice(0, 4)) delivery.ack();
      await has(14, seen);
      await sleep(100);
      expect(fake().subscription(name).outstanding).toBe(10);
    });

    it('refuses a subscription that delivers exactly once, and says to stream', async () => {
      const { name } = await place({ enableExactlyOnceDelivery: true });
      const seen = open(name, { mode: 'pull' });
      await until('it fails', () => seen.error !== null, 5_000);
      expect(seen.error).toMatchObject({ code: 'unsupported' });
      expect(String((seen.error as Error).message)).toContain("mode: 'pull'");
    });
  });
});
