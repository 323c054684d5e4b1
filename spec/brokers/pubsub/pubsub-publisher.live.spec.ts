import { expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { firstValueFrom, from, lastValueFrom, ReplaySubject } from 'rxjs';
import { pubsubPublisher, type PubSubPublisherOptions } from '../../../lib/brokers/pubsub/pubsub-publisher.js';
import type { PubSubPublishedPosition } from '../../../lib/brokers/pubsub/pubsub-published-position.js';
import { publish, type Message, type PublisherConnection, type PublishOutcome } from '../../../lib/index.js';
import { describeOwnPubSub } from '../../servers/describe-own-pubsub.js';
import { describePubSub } from '../../servers/describe-pubsub.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { pubsubTestClient, type PubSubTestClient } from '../../servers/pubsub-test-client.js';
import { until } from '../../support/until.js';

type Options = Partial<PubSubPublisherOptions>;

const MOST_BYTES = 9_998_960;
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const statuses = (outcomes: readonly PublishOutcome[]): string[] => [...new Set(outcomes.map(({ status }) => status))];
const idsOf = (outcomes: readonly PublishOutcome[]): (string | null)[] =>
  outcomes.map((outcome) => (outcome.status === 'ok' ? (outcome.position as PubSubPublishedPosition).messageId : null));

async function topicAndSubscription(pubsub: PubSubTestClient): Promise<{ topic: string; subscription: string }> {
  const topic = await pubsub.createTopic();
  return { topic, subscription: await pubsub.createSubscription(topic, { enableMessageOrdering: true }) };
}

function send(pubsub: PubSubTestClient, topic: string, messages: readonly Message[], options: Options = {}) {
  return lastValueFrom(publish(pubsubPublisher(pubsub.newPubSub(), { topic, ...options }), messages));
}

async function connect(pubsub: PubSubTestClient, options: Options & { readonly topic: string }) {
  const connections = new ReplaySubject<PublisherConnection>(1);
  const held = pubsubPublisher(pubsub.newPubSub(), options).connect().subscribe(connections);
  const connection = await firstValueFrom(connections);
  return {
    publish: (messages: readonly Message[]) => lastValueFrom(from(connection.publish(messages))),
    close: () => held.unsubscribe(),
  };
}

for (const server of ['fake', 'emulator'] as const) {
  describePubSub(server, 'pubsubPublisher', (pubsub) => {
    it('stores keys, values and attributes as they are, and says under which ids', async () => {
      const { topic, subscription } = await topicAndSubscription(pubsub());
      const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const odd = Object.fromEntries([
        ['__proto__', 'a'],
        ['constructor', 'b'],
        ['ü 鍵', ''],
        ['project', 'of {{projectId}}'],
      ]);
      const outcomes = await send(pubsub(), topic, [
        { key: 'ü 鍵', value: bytes },
        { value: 'text ü', headers: odd },
        { key: '{{projectId}}', value: null, headers: { only: 'this' } },
      ]);
      const taken = await pubsub().take(subscription, 3);
      const byId = new Map(taken.map((message) => [message.id, message]));
      const [first, second, third] = idsOf(outcomes).map((id) => byId.get(id ?? ''));
      expect([first?.orderingKey, Buffer.from(bytes).equals(first?.data ?? Buffer.of())]).toEqual(['ü 鍵', true]);
      expect([
        second?.orderingKey,
        text(second?.data ?? bytes),
        Object.entries(second?.attributes ?? {}).sort(),
      ]).toEqual(['', 'text ü', Object.entries(odd).sort()]);
      expect(third).toMatchObject({ orderingKey: '{{projectId}}', attributes: { only: 'this' } });
      expect(third?.data).toHaveLength(0);
    });

    it('does not rewrite texts, as the client does above its own service', async () => {
      const { topic, subscription } = await topicAndSubscription(pubsub());
      const client = pubsub().newPubSub();
      await client.topic(topic).publishMessage({ data: Buffer.from('bare'), attributes: { a: '{{projectId}}' } });
      await send(pubsub(), topic, [{ value: 'ours', headers: { a: '{{projectId}}' } }]);
      const taken = await pubsub().take(subscription, 2);
      expect(Object.fromEntries(taken.map(({ data, attributes }) => [text(data), attributes['a']]))).toEqual({
        bare: 'demo',
        ours: '{{projectId}}',
      });
    });

    it('keeps the order of thousands of keys, over calls that are not waited for', async () => {
      const { topic, subscription } = await topicAndSubscription(pubsub());
      const { publish, close } = await connect(pubsub(), { topic });
      const KEYS = 2_000;
      const messages = Array.from({ length: 3 * KEYS }, (_, i) => ({ key: `key-${i % KEYS}`, value: String(i) }));
      const calls = Array.from({ length: messages.length / 500 }, (_, i) => messages.slice(i * 500, (i + 1) * 500));
      const outcomes = (await Promise.all(calls.map(publish))).flat();
      expect(statuses(outcomes)).toEqual(['ok']);
      close();
      const came = new Map<string, number[]>();
      for (const { orderingKey, data } of await pubsub().take(subscription, messages.length)) {
        came.set(orderingKey, [...(came.get(orderingKey) ?? []), Number(text(data))]);
      }
      expect(came.size).toBe(KEYS);
      for (const [key, numbers] of came) {
        const nth = Number(key.slice(4));
        expect([key, numbers]).toEqual([key, [nth, nth + KEYS, nth + 2 * KEYS]]);
      }
    });

    it('publishes 10 MB with what a request needs besides, and refuses a byte more at once', async () => {
      const { topic, subscription } = await topicAndSubscription(pubsub());
      const began = performance.now();
      const outcomes = await send(pubsub(), topic, [
        { key: 'k', value: new Uint8Array(MOST_BYTES + 1) },
        { value: new Uint8Array(MOST_BYTES) },
        { key: 'k', value: 'after it' },
        ...Array.from({ length: 4 }, () => ({ value: new Uint8Array(3_000_000) })),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['permanent', 'ok', 'ok', 'ok', 'ok', 'ok', 'ok']);
      expect(performance.now() - began).toBeLessThan(20_000);
      const taken = await pubsub().take(subscription, 6);
      expect(Math.max(...taken.map(({ data }) => data.length))).toBe(MOST_BYTES);
    });

    it('does not open a topic that does not exist, and fails the call where one goes', async () => {
      await expect(send(pubsub(), 'not-there', [{ value: 'a' }])).rejects.toMatchObject({
        code: 'unknown-topic',
        details: { topic: 'not-there' },
      });
      const { topic } = await topicAndSubscription(pubsub());
      const { publish, close } = await connect(pubsub(), { topic });
      await pubsub().deleteTopic(topic);
      await expect(publish([{ value: 'a' }])).rejects.toMatchObject({ code: 'unknown-topic' });
      close();
    });

    it('names a topic in full, and its projects with it', async () => {
      const { topic, subscription } = await topicAndSubscription(pubsub());
      const name = `projects/demo/topics/${topic}`;
      const outcomes = await send(pubsub(), name, [{ value: 'a' }]);
      expect(outcomes).toMatchObject([{ status: 'ok', position: { broker: 'pubsub', topic: name } }]);
      await pubsub().take(subscription, 1);
    });

    it('leaves the PubSub open, and fails typed once its owner has closed it', async () => {
      const { topic } = await topicAndSubscription(pubsub());
      const client = pubsub().newPubSub();
      const publisher = pubsubPublisher(client, { topic });
      for (let i = 0; i < 2; i++)
        expect(statuses(await lastValueFrom(publish(publisher, [{ value: 'a' }])))).toEqual(['ok']);
      await client.close();
      await expect(lastValueFrom(publish(publisher, [{ value: 'a' }]))).rejects.toMatchObject({
        code: 'connection-failed',
        message: expect.stringContaining('the PubSub object is closed') as unknown,
      });
    });
  });
}

describePubSubFake('pubsubPublisher, of which the service sees', (fake, pubsub) => {
  it('each request as it was packed', async () => {
    const { topic } = await topicAndSubscription(pubsub());
    const outcomes = await send(
      pubsub(),
      topic,
      Array.from({ length: 2_500 }, (_, i) => ({ value: String(i) })),
    );
    expect(statuses(outcomes)).toEqual(['ok']);
    expect(fake().topic(topic).batches).toEqual([1_000, 1_000, 500]);
  });

  it('one try of what it throttles at a time, and the key goes on by itself', async () => {
    const { topic, subscription } = await topicAndSubscription(pubsub());
    const { publish, close } = await connect(pubsub(), { topic, backoff: () => 50 });
    const before = fake().calls('Publish');
    fake().fail('Publish', { code: 'RESOURCE_EXHAUSTED', count: 3 });
    const calls = [publish([{ key: 'k', value: '0' }]), publish([{ key: 'k', value: '1' }])];
    expect(statuses((await Promise.all(calls)).flat())).toEqual(['ok']);
    expect(fake().calls('Publish') - before).toBe(4);
    expect((await pubsub().take(subscription, 2)).map(({ data }) => text(data))).toEqual(['0', '1']);
    close();
  });

  it('a key go on after its publish has failed', async () => {
    const { topic, subscription } = await topicAndSubscription(pubsub());
    const { publish, close } = await connect(pubsub(), { topic });
    fake().fail('Publish', { code: 'FAILED_PRECONDITION' });
    const failed = [publish([{ key: 'k', value: '0' }]), publish([{ key: 'k', value: '1' }])];
    for (const call of failed) await expect(call).rejects.toMatchObject({ code: 'publish-failed' });
    const again = [publish([{ key: 'k', value: '0' }]), publish([{ key: 'k', value: '1' }])];
    expect(statuses((await Promise.all(again)).flat())).toEqual(['ok']);
    expect((await pubsub().take(subscription, 2)).map(({ data }) => text(data))).toEqual(['0', '1']);
    close();
  });

  it('a key of the bare client go on too, although nobody resumed it and nothing was published again', async () => {
    const { topic, subscription } = await topicAndSubscription(pubsub());
    const bare = pubsub().newPubSub().topic(topic, { messageOrdering: true });
    const put = (value: string) => bare.publishMessage({ data: Buffer.from(value), orderingKey: 'k' });
    fake().fail('Publish', { code: 'FAILED_PRECONDITION' });
    await expect(put('0')).rejects.toMatchObject({ code: 9 });
    await put('1');
    expect((await pubsub().take(subscription, 1)).map(({ data }) => text(data))).toEqual(['1']);
  });

  it('the request that it answered in vain again, in order', async () => {
    const { topic, subscription } = await topicAndSubscription(pubsub());
    fake().fail('Publish', { code: 'INTERNAL', applied: true });
    const outcomes = await send(
      pubsub(),
      topic,
      ['0', '1', '2'].map((value) => ({ key: 'k', value })),
    );
    expect(statuses(outcomes)).toEqual(['ok']);
    expect((await pubsub().take(subscription, 6)).map(({ data }) => text(data)).join('')).toBe('012012');
  });

  it('who may publish and not look, and refuses who may not publish', async () => {
    const { topic } = await topicAndSubscription(pubsub());
    fake().deny('GetTopic');
    expect(statuses(await send(pubsub(), topic, [{ value: 'a' }]))).toEqual(['ok']);
    fake().deny('Publish');
    await expect(send(pubsub(), topic, [{ value: 'a' }])).rejects.toMatchObject({ code: 'not-authorized' });
    fake().heal();
  });

  it('nothing of a request after its time-out', async () => {
    const { topic } = await topicAndSubscription(pubsub());
    fake().delay('Publish', 60_000);
    const began = performance.now();
    await expect(send(pubsub(), topic, [{ value: 'a' }], { requestTimeoutMs: 500 })).rejects.toMatchObject({
      code: 'connection-failed',
    });
    expect(performance.now() - began).toBeLessThan(3_000);
    fake().heal();
  });

  it('all of them in order after it was killed and restarted in the middle', async () => {
    const { topic, subscription } = await topicAndSubscription(pubsub());
    const { publish, close } = await connect(pubsub(), { topic, maxBatch: 20 });
    const KEYS = 5;
    const calls: Promise<readonly PublishOutcome[]>[] = [];
    let stop = false;
    const publishing = (async () => {
      for (let from = 0; !stop; from += 50) {
        calls.push(
          publish(Array.from({ length: 50 }, (_, i) => ({ key: `k${(from + i) % KEYS}`, value: String(from + i) }))),
        );
        await pause(10);
      }
    })();
    await pause(100);
    fake().kill();
    await pause(500);
    await fake().restart('kept');
    await pause(300);
    stop = true;
    await publishing;
    const outcomes = (await Promise.all(calls)).flat();
    expect(statuses(outcomes)).toEqual(['ok']);
    const firsts = new Map<string, Set<number>>();
    const { published } = fake().topic(topic);
    for (const { orderingKey, data } of await pubsub().take(subscription, published)) {
      firsts.set(orderingKey, (firsts.get(orderingKey) ?? new Set()).add(Number(text(data))));
    }
    for (let nth = 0; nth < KEYS; nth++) {
      expect([...(firsts.get(`k${nth}`) ?? [])]).toEqual(
        Array.from({ length: outcomes.length / KEYS }, (_, i) => nth + i * KEYS),
      );
    }
    close();
  });
});

describeOwnPubSub('emulator', 'pubsubPublisher, whose server goes', (server) => {
  it('fails the call, typed, and goes on when it is back', async () => {
    const pubsub = pubsubTestClient(server());
    const topic = await pubsub.createTopic();
    const { publish, close } = await connect(pubsub, { topic, retryTimeoutMs: 500 });
    const put = () => publish([{ key: 'k', value: 'v' }]);
    expect(statuses(await put())).toEqual(['ok']);
    await server().kill();
    await expect(put()).rejects.toMatchObject({ code: 'connection-failed', details: { topic } });
    await server().restart();
    await pubsub.newPubSub().createTopic(topic);
    await until('a publish is ok again', async () => statuses(await put().catch(() => [])).join() === 'ok');
    close();
    await pubsub.close();
  });
});
