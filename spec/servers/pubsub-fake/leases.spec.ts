import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { until } from '../../support/until.js';
import { describePubSubFake } from '../describe-pubsub-fake.js';
import { rawStream } from './raw-stream.js';

describePubSubFake('the lease of a message', (fake, pubsub) => {
  const seconds = (count: number): void => fake().advance(count * 1_000);

  it('lasts as long as the subscription says for a pull, as the stream says for a stream', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic, { ackDeadlineSeconds: 100 });
    await pubsub().publish(topic, 1);
    const [{ id } = { id: '' }] = await pubsub().pull(name, 1);
    const { deliveries } = fake().subscription(name).counts;
    seconds(99);
    expect(await pubsub().pull(name, 1)).toEqual([]);
    seconds(1);

    const stream = rawStream(fake().endpoint, name, { streamAckDeadlineSeconds: 30 });
    await until('it has come again', () => deliveries.get(id) === 2);
    seconds(29);
    await sleep(100);
    expect(deliveries.get(id)).toBe(2);
    stream.write({ streamAckDeadlineSeconds: 300 });
    await sleep(100);
    seconds(1);
    await until('it has come again', () => deliveries.get(id) === 3);
    seconds(299);
    await sleep(100);
    expect(deliveries.get(id)).toBe(3);
    await stream.close();
  });

  it('outlives the stream, and a restart that keeps what there was', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 1);
    const stream = rawStream(fake().endpoint, name);
    await until('it has come', () => stream.messages.length === 1);
    await stream.close();
    await until('the stream is gone', () => fake().subscription(name).streams === 0);
    expect(await pubsub().pull(name, 1)).toEqual([]);
    await fake().restart('kept');
    // The connection that broke is another's concern.
    await until('it answers again', () =>
      pubsub()
        .pull(name, 1)
        .then(
          (messages) => messages.length === 0,
          () => false,
        ),
    );
    expect(fake().subscription(name)).toMatchObject({ outstanding: 1, backlog: 1 });
    await pubsub().acknowledge(name, [stream.messages[0]?.ackId ?? '']);
    expect(fake().subscription(name)).toMatchObject({ outstanding: 0, backlog: 0 });
  });

  it('that lapsed counts as a failed delivery, as a nack does', async () => {
    const dead = await pubsub().createTopic('dead');
    const topic = await pubsub().createTopic();
    const deadLetterTopic = `projects/demo/topics/${dead}`;
    const shape = { deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 5 } };
    const name = await pubsub().createSubscription(topic, shape);
    await pubsub().publish(topic, 1);
    const attempts: number[] = [];
    for (let turn = 0; turn < 5; turn++) {
      const [message] = await pubsub().pull(name, 1);
      attempts.push(message?.deliveryAttempt ?? 0);
      if (turn % 2 === 0) await pubsub().modifyDeadline(name, [message?.ackId ?? ''], 0);
      else seconds(10);
    }
    expect(attempts).toEqual([1, 2, 3, 4, 5]);
    expect(fake().topic(dead).published).toBe(1);
    const counts = { nacks: 3, expired: 2, deadLettered: 1 };
    expect(fake().subscription(name)).toMatchObject({ backlog: 0, counts });
  });

  it('goes on being given where the dead letter topic is missing', async () => {
    const topic = await pubsub().createTopic();
    const dead = await pubsub().createTopic('dead');
    const deadLetterTopic = `projects/demo/topics/${dead}`;
    const shape = { deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 5 } };
    const name = await pubsub().createSubscription(topic, shape);
    await pubsub().deleteTopic(dead);
    await pubsub().publish(topic, 1);
    for (let turn = 1; turn <= 7; turn++) {
      const [message] = await pubsub().pull(name, 1);
      expect(message?.deliveryAttempt).toBe(turn);
      await pubsub().modifyDeadline(name, [message?.ackId ?? ''], 0);
    }
  });

  it('is followed by a wait where there is a retry policy, twice as long each time, up to its bound', async () => {
    const topic = await pubsub().createTopic();
    const retryPolicy = { minimumBackoff: { seconds: 2 }, maximumBackoff: { seconds: 5 } };
    const name = await pubsub().createSubscription(topic, { retryPolicy });
    await pubsub().publish(topic, 1);
    for (const wait of [2, 4, 5, 5]) {
      const [message] = await pubsub().pull(name, 1);
      await pubsub().modifyDeadline(name, [message?.ackId ?? ''], 0);
      fake().advance(wait * 1_000 - 500);
      expect(await pubsub().pull(name, 1)).toEqual([]);
      fake().advance(500);
    }
    expect(await pubsub().pull(name, 1)).toHaveLength(1);
  });
});
