import { setTimeout as sleep } from 'node:timers/promises';
import type { Message, Subscription } from '@google-cloud/pubsub';
import { afterEach, expect, it } from '@jest/globals';
import { until } from '../../support/until.js';
import { describePubSubFake } from '../describe-pubsub-fake.js';
import { rawStream } from './raw-stream.js';

const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const FAILED_PRECONDITION = 9;
const UNAVAILABLE = 14;

describePubSubFake('a fault that a spec asks for', (fake, pubsub) => {
  afterEach(() => fake().heal());
  const fresh = async (): Promise<{ topic: string; name: string }> => {
    const topic = await pubsub().createTopic();
    return { topic, name: await pubsub().createSubscription(topic) };
  };
  const consume = (name: string): { subscription: Subscription; messages: Message[]; events: unknown[] } => {
    const subscription = pubsub().newPubSub().subscription(name);
    const messages: Message[] = [];
    const events: unknown[] = [];
    subscription.on('message', (message: Message) => messages.push(message));
    subscription.on('error', ({ code }: { code: number }) => events.push(code));
    subscription.on('close', () => events.push('close'));
    return { subscription, messages, events };
  };

  it('fails so many calls, before they have an effect', async () => {
    const { topic } = await fresh();
    fake().fail('Publish', { code: 'RESOURCE_EXHAUSTED', count: 2, details: 'too much' });
    for (let turn = 0; turn < 2; turn++) {
      await expect(pubsub().publish(topic, 1)).rejects.toMatchObject({ code: 8, details: 'too much' });
    }
    await pubsub().publish(topic, 1);
    expect(fake().topic(topic).published).toBe(1);
    expect(fake().topic(topic).batches).toEqual([1]);
  });

  it('fails calls after they had their effect: the client’s retry publishes twice', async () => {
    const { topic } = await fresh();
    const calls = fake().calls('Publish');
    fake().fail('Publish', { applied: true });
    await pubsub()
      .newPubSub()
      .topic(topic)
      .publishMessage({ data: Buffer.from('twice') });
    expect(fake().topic(topic).published).toBe(2);
    expect(fake().calls('Publish')).toBe(calls + 2);
  });

  it('delays calls, each as long, in their order', async () => {
    const { topic, name } = await fresh();
    fake().delay('Publish', 200);
    const started = performance.now();
    await Promise.all([pubsub().publish(topic, 1), pubsub().publish(topic, 1, { first: 1 })]);
    const took = performance.now() - started;
    expect(took).toBeGreaterThan(190);
    expect(took).toBeLessThan(390);
    fake().delay('Publish', 0);
    expect((await pubsub().pull(name, 2)).map(({ data }) => String(data))).toEqual(['0', '1']);
  });

  it('denies calls and streams until it is healed', async () => {
    const { topic, name } = await fresh();
    fake().deny('Publish', 'StreamingPull');
    await expect(pubsub().publish(topic, 1)).rejects.toMatchObject({ code: PERMISSION_DENIED });
    expect(await pubsub().pull(name, 1)).toEqual([]);
    const { events } = consume(name);
    await until('the client gives up', () => events.length === 2);
    expect(events).toEqual([PERMISSION_DENIED, 'close']);
    fake().deny();
    await expect(pubsub().pull(name, 1)).rejects.toMatchObject({ code: PERMISSION_DENIED });
    fake().heal();
    await pubsub().publish(topic, 1);
  });

  it('cuts the streams of one subscription, or all: the client opens them again', async () => {
    const [one, other] = [await fresh(), await fresh()];
    const { subscription, messages } = consume(one.name);
    const stream = rawStream(fake().endpoint, other.name);
    await pubsub().publish(one.topic, 1);
    await until('both are open', () => messages.length === 1 && fake().subscription(other.name).streams === 1);
    const opened = fake().calls('StreamingPull');
    fake().cutStreams('UNAVAILABLE', one.name);
    expect(fake().subscription(one.name).streams).toBe(0);
    await until('it is open again', () => fake().calls('StreamingPull') > opened);
    expect(fake().subscription(other.name).streams).toBe(1);
    fake().cutStreams('INTERNAL');
    expect(await stream.ended).toMatchObject({ code: 13 });
    await pubsub().publish(one.topic, 1, { first: 1 });
    await until('the next has come', () => messages.length === 2);
    await subscription.close();
    await stream.close();
  });

  it('detaches a subscription under its stream: it keeps nothing and gives nothing', async () => {
    const { topic, name } = await fresh();
    const { messages, events } = consume(name);
    await pubsub().publish(topic, 1);
    await until('it is open', () => messages.length === 1);
    fake().detach(name);
    await until('it has ended', () => events.length === 2);
    expect(events).toEqual([FAILED_PRECONDITION, 'close']);
    await expect(pubsub().pull(name, 1)).rejects.toMatchObject({ code: FAILED_PRECONDITION });
    await pubsub().publish(topic, 1);
    expect(fake().subscription(name)).toMatchObject({ backlog: 0, outstanding: 0, config: { detached: true } });

    const other = await pubsub().createSubscription(topic);
    await pubsub().newPubSub().detachSubscription(other);
    await expect(pubsub().pull(other, 1)).rejects.toMatchObject({ code: FAILED_PRECONDITION });
  });

  it('ends what waits when a subscription is deleted', async () => {
    const { name } = await fresh();
    const pull = pubsub().pull(name, 1, { wait: true });
    const refused = expect(pull).rejects.toMatchObject({ code: NOT_FOUND });
    await sleep(50);
    await pubsub().deleteSubscription(name);
    await refused;
  });

  it('kills it: calls fail, streams break, and after a restart all goes on with what it has kept', async () => {
    const { topic, name } = await fresh();
    const { subscription, messages, events } = consume(name);
    await pubsub().publish(topic, 1);
    await until('it is open', () => messages.length === 1);
    const waiting = pubsub().pull(name, 1, { wait: true });
    const refused = expect(waiting).rejects.toMatchObject({ code: UNAVAILABLE });
    await sleep(50);
    fake().kill();
    await refused;
    await expect(pubsub().publish(topic, 1)).rejects.toMatchObject({ code: UNAVAILABLE });
    await fake().restart();
    await until('it is there again', () =>
      pubsub()
        .publish(topic, 1, { first: 1 })
        .then(
          () => true,
          () => false,
        ),
    );
    await until('the next has come', () => messages.length === 2);
    expect(events).toEqual([]);
    await subscription.close();
  });

  it('restarts it without what it had', async () => {
    const { topic, name } = await fresh();
    await pubsub().publish(topic, 1);
    await fake().restart('lost');
    await until('it is there again', () =>
      pubsub()
        .pull(name, 1)
        .then(
          () => true,
          ({ code }: { code: number }) => code === NOT_FOUND,
        ),
    );
    await expect(pubsub().publish(topic, 1)).rejects.toMatchObject({ code: NOT_FOUND });
    await pubsub().newPubSub().createTopic(topic);
  });
});
