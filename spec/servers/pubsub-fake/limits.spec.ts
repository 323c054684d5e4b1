import { expect, it } from '@jest/globals';
import { describePubSubFake } from '../describe-pubsub-fake.js';

const INVALID_ARGUMENT = { code: 3 };
const MB = 1_000_000;

describePubSubFake('a limit of the service', (fake, pubsub) => {
  const attributes = (count: number, key: string, value: string) => () =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`${key}${index}`, value]));

  it('is kept for messages: their size, their attributes, their ordering key', async () => {
    const topic = await pubsub().createTopic();
    await pubsub().publish(topic, 1, { data: () => 'x'.repeat(10 * MB) });
    await pubsub().publish(topic, 1, { attributes: attributes(100, 'k'.repeat(250), 'v'.repeat(1_024)) });
    await pubsub().publish(topic, 1, { orderingKey: () => 'k'.repeat(1_024) });
    await pubsub().publish(topic, 1, { data: () => '', attributes: () => ({ only: '' }) });
    const refused = [
      { data: () => 'x'.repeat(10 * MB + 1) },
      { data: () => 'x'.repeat(11 * MB) },
      { data: () => 'x'.repeat(10 * MB), attributes: () => ({ one: 'more' }) },
      { attributes: attributes(101, 'k', 'v') },
      { attributes: attributes(1, 'k'.repeat(256), 'v') },
      { attributes: attributes(1, 'k', 'v'.repeat(1_025)) },
      { attributes: () => ({ '': 'nameless' }) },
      { orderingKey: () => 'k'.repeat(1_025) },
      { data: () => '' },
    ];
    for (const shape of refused) {
      await expect(pubsub().publish(topic, 1, shape)).rejects.toMatchObject(INVALID_ARGUMENT);
    }
    expect(fake().topic(topic).published).toBe(4);
  });

  it('is kept for requests: 10 MB together, 1,000 messages, one ordering key', async () => {
    const topic = await pubsub().createTopic();
    const data = Buffer.from('x');
    const large = Buffer.alloc(6 * MB, 'x');
    const many = Array.from({ length: 1_000 }, () => ({ data }));
    expect(await pubsub().send(topic, many)).toHaveLength(1_000);
    const refused = [
      [],
      [...many, { data }],
      [{ data: large }, { data: large }],
      [
        { data, orderingKey: 'one' },
        { data, orderingKey: 'two' },
      ],
      [{ data }, { data, orderingKey: 'one' }],
    ];
    for (const messages of refused) {
      await expect(pubsub().send(topic, messages)).rejects.toMatchObject(INVALID_ARGUMENT);
    }
    expect(fake().topic(topic).published).toBe(1_000);
  });

  it('is kept for acks and deadlines: 512 KiB of ack ids, and none that is none', async () => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic);
    await pubsub().publish(topic, 1_000);
    const ackIds = (await pubsub().pull(name, 1_000)).map(({ ackId }) => ackId);
    expect(ackIds).toHaveLength(1_000);
    const threeThousand = [...ackIds, ...ackIds, ...ackIds];
    await expect(pubsub().acknowledge(name, threeThousand)).rejects.toMatchObject(INVALID_ARGUMENT);
    await expect(pubsub().modifyDeadline(name, threeThousand, 20)).rejects.toMatchObject(INVALID_ARGUMENT);
    for (const list of [[], ['none']]) {
      await expect(pubsub().acknowledge(name, list)).rejects.toMatchObject(INVALID_ARGUMENT);
      await expect(pubsub().modifyDeadline(name, list, 10)).rejects.toMatchObject(INVALID_ARGUMENT);
    }
    for (const seconds of [-1, 601]) {
      await expect(pubsub().modifyDeadline(name, ackIds, seconds)).rejects.toMatchObject(INVALID_ARGUMENT);
    }
    await pubsub().acknowledge(name, [...ackIds, ...ackIds]);
    expect(fake().subscription(name)).toMatchObject({ backlog: 0, counts: { acks: 1_000, stale: 1_000 } });
  });

  it('is kept for names and settings', async () => {
    const client = pubsub().newPubSub();
    const topic = await pubsub().createTopic();
    for (const name of ['ab', '1abc', 'google', 'a b c', 'x'.repeat(256)]) {
      await expect(client.createTopic(name)).rejects.toMatchObject(INVALID_ARGUMENT);
      await expect(client.createSubscription(topic, name)).rejects.toMatchObject(INVALID_ARGUMENT);
    }
    const deadLetterTopic = `projects/demo/topics/${topic}`;
    const refused = [
      { ackDeadlineSeconds: 9 },
      { ackDeadlineSeconds: 601 },
      { deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 4 } },
      { deadLetterPolicy: { deadLetterTopic, maxDeliveryAttempts: 101 } },
    ];
    for (const shape of refused) {
      await expect(pubsub().createSubscription(topic, shape)).rejects.toMatchObject(INVALID_ARGUMENT);
    }
  });
});
