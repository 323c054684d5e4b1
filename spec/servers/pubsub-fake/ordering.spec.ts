import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from '@jest/globals';
import { until } from '../../support/until.js';
import { describePubSubFake } from '../describe-pubsub-fake.js';
import type { SubscriptionShape } from '../pubsub-test-client.js';
import { rawStream, type RawStream } from './raw-stream.js';

const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describePubSubFake('an ordering key', (fake, pubsub) => {
  const streams: RawStream[] = [];
  const open = (...args: Parameters<typeof rawStream>): RawStream => {
    const stream = rawStream(...args);
    streams.push(stream);
    return stream;
  };
  afterEach(async () => {
    await Promise.all(streams.splice(0).map((stream) => stream.close()));
  });
  const quiet = (): Promise<void> => sleep(150);
  const ordered = async (shape: SubscriptionShape = {}): Promise<{ topic: string; name: string }> => {
    const topic = await pubsub().createTopic();
    return { topic, name: await pubsub().createSubscription(topic, { enableMessageOrdering: true, ...shape }) };
  };
  const one = { orderingKey: () => 'one' };
  const datas = (stream: RawStream): number[] => stream.messages.map(({ data }) => Number(data));
  const ackIds = (stream: RawStream, ...places: number[]): string[] =>
    places.map((place) => stream.messages[place]?.ackId ?? '');

  it('is delivered in order, many messages at once', async () => {
    const { topic, name } = await ordered();
    await pubsub().publish(topic, 100, one);
    const stream = open(fake().endpoint, name);
    await until('all have come', () => stream.messages.length === 100);
    expect(datas(stream)).toEqual(range(100));
  });

  it('is delivered again from a nacked message on, acked ones after it too, none before it', async () => {
    const { topic, name } = await ordered();
    await pubsub().publish(topic, 8, one);
    const stream = open(fake().endpoint, name);
    await until('all have come', () => stream.messages.length === 8);
    await pubsub().acknowledge(name, ackIds(stream, 0, 1, 5));
    expect(fake().subscription(name).backlog).toBe(5);
    await pubsub().modifyDeadline(name, ackIds(stream, 3), 0);
    await until('the tail has come', () => stream.messages.length === 13);
    expect(datas(stream).slice(8)).toEqual([3, 4, 5, 6, 7]);
    expect(fake().subscription(name)).toMatchObject({ backlog: 6, outstanding: 6 });

    // The acks of the deliveries before count no more.
    await pubsub().acknowledge(name, ackIds(stream, 4, 5, 6, 7));
    expect(fake().subscription(name)).toMatchObject({ backlog: 6, counts: { stale: 4 } });
    await pubsub().acknowledge(name, ackIds(stream, 2, 8, 9, 10, 11, 12));
    expect(fake().subscription(name)).toMatchObject({ backlog: 0, outstanding: 0 });
  });

  it('is delivered again from a message on whose deadline passed', async () => {
    const { topic, name } = await ordered();
    await pubsub().publish(topic, 4, one);
    const stream = open(fake().endpoint, name);
    await until('all have come', () => stream.messages.length === 4);
    await pubsub().modifyDeadline(name, ackIds(stream, 0, 2, 3), 60);
    fake().advance(10_000);
    await until('the tail has come', () => stream.messages.length === 7);
    expect(datas(stream).slice(4)).toEqual([1, 2, 3]);
  });

  it('counts a failed delivery for each message whose deadline passed', async () => {
    const deadLetterPolicy = { deadLetterTopic: `projects/demo/topics/${await pubsub().createTopic('dead')}` };
    const { topic, name } = await ordered({ deadLetterPolicy });
    await pubsub().publish(topic, 3, one);
    const stream = open(fake().endpoint, name);
    await until('all have come', () => stream.messages.length === 3);
    await pubsub().modifyDeadline(name, ackIds(stream, 2), 60);
    fake().advance(10_000);
    await until('all have come again', () => stream.messages.length === 6);
    expect(stream.messages.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 2, 2, 1]);
    expect(fake().subscription(name).counts.expired).toBe(2);
  });

  it('never has messages with two streams, however they ack', async () => {
    const { topic, name } = await ordered();
    const bounds = [1, 2, 3].map((maxOutstandingMessages) => ({ maxOutstandingMessages }));
    const all = bounds.map((bound) => open(fake().endpoint, name, bound));
    await pubsub().publish(topic, 120, { orderingKey: (index) => `key-${index % 2}` });
    const acked = new Set<string>();
    const keysOut = (stream: RawStream): number[] => {
      const out = stream.messages.filter(({ ackId }) => !acked.has(ackId));
      return [...new Set(out.map(({ data }) => Number(data) % 2))];
    };
    await until('all are acked', async () => {
      const out = all.flatMap(keysOut);
      expect(out).toHaveLength(new Set(out).size);
      for (const { messages } of all) {
        const ids = messages.map(({ ackId }) => ackId).filter((ackId) => !acked.has(ackId));
        if (ids.length === 0) continue;
        // What comes meanwhile may be of the same key.
        for (const id of ids) acked.add(id);
        await pubsub().acknowledge(name, ids);
      }
      await sleep(5);
      return acked.size === 120;
    });
  });

  it('goes to one stream at a time, until nothing of it is out', async () => {
    const { topic, name } = await ordered();
    const bound = { maxOutstandingMessages: 2 };
    const both = [open(fake().endpoint, name, bound), open(fake().endpoint, name, bound)];
    await pubsub().publish(topic, 4, one);
    await quiet();
    const [owner, other] = both[0]?.messages.length === 2 ? both : both.reverse();
    if (owner === undefined || other === undefined) throw new Error('no streams');
    expect([datas(owner), datas(other)]).toEqual([[0, 1], []]);
    await pubsub().acknowledge(name, ackIds(owner, 0));
    await quiet();
    expect([datas(owner), datas(other)]).toEqual([[0, 1, 2], []]);

    await owner.close();
    await pubsub().acknowledge(name, ackIds(owner, 1));
    await quiet();
    expect(datas(other)).toEqual([]);
    await pubsub().acknowledge(name, ackIds(owner, 2));
    await until('the other stream has the key', () => other.messages.length === 1);
    expect(datas(other)).toEqual([3]);
  });

  it('has one pulled batch out at a time', async () => {
    const { topic, name } = await ordered();
    await pubsub().publish(topic, 5, one);
    await pubsub().publish(topic, 1, { first: 5, orderingKey: () => 'two' });
    const first = await pubsub().pull(name, 3);
    expect(first.map(({ data }) => String(data)).filter((data) => data !== '5')).toEqual(
      range(first.some(({ orderingKey }) => orderingKey === 'two') ? 2 : 3).map(String),
    );
    const second = await pubsub().pull(name, 10);
    expect(second.filter(({ orderingKey }) => orderingKey === 'one')).toEqual([]);
    const acked = [...first, ...second].map(({ ackId }) => ackId);
    await pubsub().acknowledge(name, acked);
    const rest = await pubsub().take(name, 6 - acked.length);
    expect(rest.map(({ data }) => Number(data)).at(-1)).toBe(4);
  });

  it('does not hold the others back, nor messages without a key', async () => {
    const { topic, name } = await ordered();
    const orderingKey = (index: number): string => (index < 100 ? 'hot' : index < 110 ? `cold-${index}` : '');
    await pubsub().publish(topic, 120, { orderingKey });
    const stream = open(fake().endpoint, name, { maxOutstandingMessages: 40 });
    await until('the others have come', () => datas(stream).filter((data) => data >= 100).length === 20);
    expect(datas(stream).filter((data) => data < 100)).toEqual(range(20));
  });

  it('waits as a whole where a retry policy lets one message wait', async () => {
    const { topic, name } = await ordered({ retryPolicy: { minimumBackoff: { seconds: 20 } } });
    await pubsub().publish(topic, 3, one);
    const stream = open(fake().endpoint, name);
    await until('all have come', () => stream.messages.length === 3);
    await pubsub().modifyDeadline(name, ackIds(stream, 0), 0);
    fake().advance(19_000);
    await quiet();
    expect(stream.messages).toHaveLength(3);
    fake().advance(2_000);
    await until('all have come again', () => stream.messages.length === 6);
    expect(datas(stream).slice(3)).toEqual([0, 1, 2]);
  });

  it('goes on after a message that was forwarded as a dead letter', async () => {
    const dead = await pubsub().createTopic('dead');
    const deadLetterPolicy = { deadLetterTopic: `projects/demo/topics/${dead}`, maxDeliveryAttempts: 5 };
    const { topic, name } = await ordered({ deadLetterPolicy });
    await pubsub().publish(topic, 2, one);
    const stream = open(fake().endpoint, name);
    for (let turn = 1; turn <= 5; turn++) {
      await until('both have come', () => stream.messages.length === 2 * turn);
      await pubsub().modifyDeadline(name, ackIds(stream, 2 * turn - 2), 0);
    }
    await quiet();
    expect(fake().topic(dead).published).toBe(1);
    expect(stream.messages).toHaveLength(10);
    await pubsub().publish(topic, 1, { ...one, first: 2 });
    await until('the next has come', () => stream.messages.length === 11);
    expect(datas(stream).slice(9)).toEqual([1, 2]);
    await pubsub().acknowledge(name, ackIds(stream, 9, 10));
    expect(fake().subscription(name)).toMatchObject({ backlog: 0, counts: { deadLettered: 1 } });
  });

  it('is one of thousands, each in order, each message once', async () => {
    const { topic, name } = await ordered();
    await pubsub().publish(topic, 9_000, { orderingKey: (index) => `key-${index % 3_000}` });
    const stream = open(fake().endpoint, name, { maxOutstandingMessages: 500 });
    let acked = 0;
    await until('all are acked', async () => {
      const news = stream.messages.slice(acked).map(({ ackId }) => ackId);
      acked += news.length;
      if (news.length > 0) await pubsub().acknowledge(name, news);
      return acked === 9_000;
    });
    const seen = new Map<number, number[]>();
    for (const data of datas(stream)) seen.set(data % 3_000, [...(seen.get(data % 3_000) ?? []), data]);
    expect([...seen].every(([key, list]) => list.join() === [key, key + 3_000, key + 6_000].join())).toBe(true);
    expect(seen.size).toBe(3_000);
  });
});
