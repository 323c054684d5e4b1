import { setTimeout as sleep } from 'node:timers/promises';
import type { Message } from '@google-cloud/pubsub';
import { expect, it } from '@jest/globals';
import { until } from '../support/until.js';
import { describePubSub } from './describe-pubsub.js';
import type { PubSubTestClient, PulledMessage } from './pubsub-test-client.js';

const NAME = 'what Pub/Sub promises';

const NOT_FOUND = 5;
const ALREADY_EXISTS = 6;

const numbers = (messages: readonly { readonly data: Buffer }[]): number[] =>
  messages.map(({ data }) => Number(String(data)));
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
const ackIdsOf = (messages: readonly PulledMessage[]): string[] => messages.map(({ ackId }) => ackId);

/** What the fake does because the service does it: the emulator does it too. */
const truths = (pubsub: () => PubSubTestClient): void => {
  const pullAll = async (subscription: string, count: number): Promise<PulledMessage[]> => {
    const messages: PulledMessage[] = [];
    await until(`${count} messages have come`, async () => {
      messages.push(...(await pubsub().pull(subscription, count - messages.length)));
      return messages.length >= count;
    });
    return messages;
  };

  it('gives a message again when its deadline passes, and not while that is moved', async () => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 2);
    const [kept, lost] = await pullAll(subscription, 2);
    await pubsub().modifyDeadline(subscription, [lost?.ackId ?? ''], 1);
    await pubsub().modifyDeadline(subscription, [kept?.ackId ?? ''], 1);
    await pubsub().modifyDeadline(subscription, [kept?.ackId ?? ''], 20);

    const started = performance.now();
    const [again] = await pullAll(subscription, 1);
    expect(again?.id).toBe(lost?.id);
    // Half a second for the way there, on a busy machine.
    expect(performance.now() - started).toBeGreaterThan(500);
    await sleep(500);
    expect(await pubsub().pull(subscription, 2)).toEqual([]);
  });

  it('waits with the answer to a pull until there is a message', async () => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic);
    let isAnswered = false;
    const pull = pubsub().pull(subscription, 10, { wait: true });
    void pull.then(() => (isAnswered = true));
    await sleep(300);
    expect(isAnswered).toBe(false);
    await pubsub().publish(topic, 1);
    expect(numbers(await pull)).toEqual([0]);
  });

  it('counts the deliveries where there is a dead letter policy, and forwards after the last', async () => {
    const deadTopic = await pubsub().createTopic('dead');
    const dead = await pubsub().createSubscription(deadTopic);
    const topic = await pubsub().createTopic();
    const deadLetterTopic = `projects/demo/topics/${deadTopic}`;
    const subscription = await pubsub().createSubscription(topic, {
      deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 5 },
    });
    const [id] = await pubsub().publish(topic, 1, { attributes: () => ({ own: 'yes' }) });
    const attempts: number[] = [];
    for (let turn = 0; turn < 5; turn++) {
      const [message] = await pullAll(subscription, 1);
      attempts.push(message?.deliveryAttempt ?? 0);
      await pubsub().modifyDeadline(subscription, [message?.ackId ?? ''], 0);
    }
    expect(attempts).toEqual([1, 2, 3, 4, 5]);

    const letters: PulledMessage[] = [];
    await until('it is forwarded', async () => {
      // The emulator forwards when it would have delivered.
      expect(await pubsub().pull(subscription, 1)).toEqual([]);
      letters.push(...(await pubsub().pull(dead, 1)));
      return letters.length > 0;
    });
    const [letter] = letters;
    expect(numbers(letters)).toEqual([0]);
    expect(letter?.id).not.toBe(id);
    expect(letter?.attributes).toEqual({
      own: 'yes',
      CloudPubSubDeadLetterSourceDeliveryCount: '5',
      CloudPubSubDeadLetterSourceSubscription: subscription,
      CloudPubSubDeadLetterSourceSubscriptionProject: 'demo',
      CloudPubSubDeadLetterSourceTopicPublishTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as unknown,
    });
  });

  it('acks by answers where delivery is exactly once', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic, { enableExactlyOnceDelivery: true });
    const subscription = pubsub().newPubSub().subscription(name);
    const answers: string[] = [];
    subscription.on('message', (message: Message) => {
      void message.ackWithResponse().then(
        (answer) => answers.push(answer),
        (error: Error) => answers.push(error.message),
      );
    });
    await pubsub().publish(topic, 3);
    await until('all are answered', () => answers.length === 3);
    expect(answers).toEqual(['SUCCESS', 'SUCCESS', 'SUCCESS']);
    await subscription.close();
  });

  it('refuses an ack id of a delivery before the newest, where delivery is exactly once', async () => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic, { enableExactlyOnceDelivery: true });
    await pubsub().publish(topic, 1);
    const [old] = await pullAll(subscription, 1);
    await pubsub().modifyDeadline(subscription, [old?.ackId ?? ''], 0);
    const [newest] = await pullAll(subscription, 1);
    await expect(pubsub().acknowledge(subscription, [old?.ackId ?? ''])).rejects.toMatchObject({ code: 3 });
    await pubsub().acknowledge(subscription, [newest?.ackId ?? '']);
  });

  it('takes an ack that comes too late, without a word, where delivery is not exactly once', async () => {
    const topic = await pubsub().createTopic();
    const subscription = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 1);
    const old = await pullAll(subscription, 1);
    await pubsub().modifyDeadline(subscription, ackIdsOf(old), 0);
    await pullAll(subscription, 1);
    await pubsub().acknowledge(subscription, ackIdsOf(old));
    await pubsub().acknowledge(subscription, ackIdsOf(old));
  });

  it('ends the stream of a subscription that is deleted', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    const subscription = pubsub().newPubSub().subscription(name);
    const events: unknown[] = [];
    const messages: Message[] = [];
    subscription.on('error', ({ code }: { code: number }) => events.push(code));
    subscription.on('close', () => events.push('close'));
    subscription.on('message', (message: Message) => messages.push(message));
    await pubsub().publish(topic, 1);
    await until('the stream is open', () => messages.length === 1);
    await pubsub().deleteSubscription(name);
    await until('it has ended', () => events.includes('close'));
    expect(events).toEqual([NOT_FOUND, 'close']);
  });

  it('refuses a stream on a subscription that is not there', async () => {
    const subscription = pubsub().newPubSub().subscription('nowhere');
    const events: unknown[] = [];
    subscription.on('error', ({ code }: { code: number }) => events.push(code));
    subscription.on('close', () => events.push('close'));
    subscription.on('message', () => undefined);
    await until('it has ended', () => events.includes('close'));
    expect(events).toEqual([NOT_FOUND, 'close']);
  });

  it('keeps the stream of a subscription whose topic is deleted', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 1);
    await pubsub().deleteTopic(topic);
    const subscription = pubsub().newPubSub().subscription(name);
    const messages: Message[] = [];
    subscription.on('message', (message: Message) => messages.push(message));
    await until('what was published has come', () => messages.length === 1);
    const [{ topic: source }] = await pubsub().newPubSub().subscription(name).getMetadata();
    expect(source).toBe('_deleted-topic_');
    await subscription.close();
  });

  it('refuses what is there already, what is not there, and messages without content', async () => {
    const topic = await pubsub().createTopic();
    const client = pubsub().newPubSub();
    await expect(client.createTopic(topic)).rejects.toMatchObject({ code: ALREADY_EXISTS });
    await expect(client.createSubscription('nowhere', 'no-topic')).rejects.toMatchObject({ code: NOT_FOUND });
    await expect(pubsub().publish('nowhere', 1)).rejects.toMatchObject({ code: NOT_FOUND });
    await expect(pubsub().publish(topic, 1, { data: () => '' })).rejects.toMatchObject({ code: 3 });
  });

  it('gives what was published before a stream opened, and to each of its streams', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 2_000);
    const subscription = pubsub().newPubSub().subscription(name);
    const messages: Message[] = [];
    subscription.on('message', (message: Message) => {
      messages.push(message);
      message.ack();
    });
    await until('all have come', () => messages.length === 2_000);
    expect(numbers(messages).sort((a, b) => a - b)).toEqual(range(2_000));
    await subscription.close();
  });
};

for (const server of ['emulator', 'fake'] as const) describePubSub(server, NAME, truths);
