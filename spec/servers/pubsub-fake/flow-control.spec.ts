import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from '@jest/globals';
import { until } from '../../support/until.js';
import { describePubSubFake } from '../describe-pubsub-fake.js';
import { rawStream, type RawStream } from './raw-stream.js';

describePubSubFake('a stream with a bound', (fake, pubsub) => {
  const streams: RawStream[] = [];
  const open = (...args: Parameters<typeof rawStream>): RawStream => {
    const stream = rawStream(...args);
    streams.push(stream);
    return stream;
  };
  afterEach(async () => {
    await Promise.all(streams.splice(0).map((stream) => stream.close()));
  });
  /** Gets so many, however slow the machine is, and then no more. */
  const gets = async (stream: RawStream, count: number): Promise<void> => {
    await until(`${count} have come`, () => stream.messages.length >= count);
    await sleep(150);
    expect(stream.messages).toHaveLength(count);
  };
  const subscriptionWith = async (count: number, data?: (index: number) => string): Promise<string> => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, count, data === undefined ? {} : { data });
    return subscription;
  };

  it('gets no more messages than it may have out, and one for each that is acked, nacked or lapses', async () => {
    const name = await subscriptionWith(40);
    const stream = open(fake().endpoint, name, { maxOutstandingMessages: 10 });
    await gets(stream, 10);

    const ackIds = stream.messages.map(({ ackId }) => ackId);
    await pubsub().acknowledge(name, ackIds.slice(0, 3));
    await gets(stream, 13);
    await pubsub().modifyDeadline(name, ackIds.slice(3, 5), 0);
    await gets(stream, 15);
    await pubsub().modifyDeadline(name, ackIds.slice(5, 7), 60);
    await gets(stream, 15);
    fake().advance(10_000);
    // All but the two whose deadline was moved.
    await gets(stream, 23);
    expect(fake().subscription(name)).toMatchObject({ outstanding: 10, counts: { expired: 8, nacks: 2, acks: 3 } });
  });

  it('gets no more when the bytes reach the bound, which the last message may pass', async () => {
    const name = await subscriptionWith(10, () => 'x'.repeat(1_000));
    const stream = open(fake().endpoint, name, { maxOutstandingBytes: 2_500 });
    await gets(stream, 3);
    await pubsub().acknowledge(name, [stream.messages[0]?.ackId ?? '']);
    await gets(stream, 4);
  });

  it('has its bound for itself: two streams have twice as many out', async () => {
    const name = await subscriptionWith(100);
    const bound = { maxOutstandingMessages: 10 };
    const [first, second] = [open(fake().endpoint, name, bound), open(fake().endpoint, name, bound)];
    await gets(first, 10);
    await gets(second, 10);
    expect(fake().subscription(name)).toMatchObject({ streams: 2, outstanding: 20, held: 20, backlog: 100 });
    await second.close();
    await until('it is gone', () => fake().subscription(name).streams === 1);
    expect(fake().subscription(name)).toMatchObject({ outstanding: 20, held: 10 });
  });

  it('gets all where it has no bound', async () => {
    const name = await subscriptionWith(3_000);
    const stream = open(fake().endpoint, name);
    await until('all have come', () => stream.messages.length === 3_000);
  });

  it('that does not read keeps the rest on the server', async () => {
    const name = await subscriptionWith(60, () => 'x'.repeat(1_000_000));
    const stream = open(fake().endpoint, name);
    stream.pause();
    await sleep(500);
    // What the client's own buffers take: 16 answers each, of a message.
    expect(fake().subscription(name).outstanding).toBeLessThan(50);
    stream.resume();
    await until('all have come', () => stream.messages.length === 60);
  });

  it('is refused where it changes its bound, its subscription or names none', async () => {
    const name = await subscriptionWith(1);
    const path = `projects/demo/subscriptions/${name}`;
    for (const later of [{ maxOutstandingMessages: 5 }, { maxOutstandingBytes: 5 }, { subscription: path }]) {
      const stream = open(fake().endpoint, name);
      stream.write(later);
      expect(await stream.ended).toMatchObject({ code: 3 });
    }
    const nameless = open(fake().endpoint, name, { subscription: '' });
    expect(await nameless.ended).toMatchObject({ code: 3 });
    for (const streamAckDeadlineSeconds of [0, 9, 601]) {
      expect(await open(fake().endpoint, name, { streamAckDeadlineSeconds }).ended).toMatchObject({ code: 3 });
    }
  });
});
