import type { Message } from '@google-cloud/pubsub';
import { expect, it } from '@jest/globals';
import { until } from '../../support/until.js';
import { describePubSubFake } from '../describe-pubsub-fake.js';
import { rawStream } from './raw-stream.js';

const INVALID_ARGUMENT = 3;
const FAILED_PRECONDITION = 9;
const INVALID = 'PERMANENT_FAILURE_INVALID_ACK_ID';
const UNORDERED = 'TRANSIENT_FAILURE_UNORDERED_ACK_ID';

describePubSubFake('a subscription of exactly-once delivery', (fake, pubsub) => {
  const exactlyOnce = async (enableMessageOrdering = false): Promise<{ topic: string; name: string }> => {
    const topic = await pubsub().createTopic();
    const shape = { enableExactlyOnceDelivery: true, enableMessageOrdering };
    return { topic, name: await pubsub().createSubscription(topic, shape) };
  };

  it('refuses ack ids whose deadline passed, by an ErrorInfo for each, and takes those beside them', async () => {
    const { topic, name } = await exactlyOnce();
    await pubsub().publish(topic, 3);
    const [lapsed = '', kept = '', nacked = ''] = (await pubsub().pull(name, 3)).map(({ ackId }) => ackId);
    await pubsub().modifyDeadline(name, [kept], 60);
    await pubsub().modifyDeadline(name, [nacked], 0);
    fake().advance(10_000);

    const refused = { [lapsed]: INVALID, [nacked]: INVALID };
    const info = { reason: 'EXACTLY_ONCE_ACKID_FAILURE', domain: 'pubsub.googleapis.com', errorInfoMetadata: refused };
    const failure = { code: INVALID_ARGUMENT, ...info };
    await expect(pubsub().modifyDeadline(name, [lapsed, kept, nacked], 30)).rejects.toMatchObject(failure);
    await expect(pubsub().acknowledge(name, [lapsed, kept, nacked])).rejects.toMatchObject(failure);
    expect(fake().subscription(name)).toMatchObject({ backlog: 2, counts: { acks: 1, stale: 4 } });
    const again = { errorInfoMetadata: { [kept]: INVALID } };
    await expect(pubsub().acknowledge(name, [kept])).rejects.toMatchObject(again);
  });

  it('tells the client that it is one, whose late ack is then INVALID', async () => {
    const { topic, name } = await exactlyOnce();
    const subscription = pubsub().newPubSub().subscription(name);
    const messages: Message[] = [];
    subscription.on('message', (message: Message) => messages.push(message));
    await pubsub().publish(topic, 1);
    await until('it has come', () => messages.length === 1);
    // Beyond the lease of the client, a minute.
    fake().advance(70_000);
    await until('it has come again', () => messages.length === 2);
    await expect(messages[0]?.ackWithResponse()).rejects.toMatchObject({ errorCode: 'INVALID' });
    await expect(messages[1]?.ackWithResponse()).resolves.toBe('SUCCESS');
    await subscription.close();
  });

  it('lets acks fail as a spec asks: transient ones are tried again by the client', async () => {
    const { topic, name } = await exactlyOnce();
    const subscription = pubsub().newPubSub().subscription(name);
    const answers: Promise<string>[] = [];
    subscription.on('message', (message: Message) => {
      const answer = message.ackWithResponse() as Promise<string>;
      answers.push(answer.catch(({ errorCode }: { errorCode: string }) => errorCode));
    });
    const answerTo = async (code: 'UNAVAILABLE' | 'FAILED_PRECONDITION' | 'PERMISSION_DENIED', reason?: string) => {
      fake().fail('Acknowledge', reason === undefined ? { code } : { code, reason });
      const before = answers.length;
      await pubsub().publish(topic, 1);
      await until('it has come', () => answers.length > before);
      return answers[before];
    };
    expect(await answerTo('FAILED_PRECONDITION', INVALID)).toBe('INVALID');
    expect(await answerTo('FAILED_PRECONDITION')).toBe('FAILED_PRECONDITION');
    expect(await answerTo('PERMISSION_DENIED')).toBe('PERMISSION_DENIED');
    const calls = fake().calls('Acknowledge');
    expect(await answerTo('UNAVAILABLE', 'TRANSIENT_FAILURE_SERVICE_UNAVAILABLE')).toBe('SUCCESS');
    expect(fake().calls('Acknowledge')).toBe(calls + 2);
    await subscription.close();
  });

  it('confirms acks and deadlines that come on the stream', async () => {
    const { topic, name } = await exactlyOnce();
    await pubsub().publish(topic, 2);
    const stream = rawStream(fake().endpoint, name);
    await until('both have come', () => stream.messages.length === 2);
    const [acked = '', moved = ''] = stream.messages.map(({ ackId }) => ackId);
    stream.write({ ackIds: [acked], modifyDeadlineAckIds: [moved], modifyDeadlineSeconds: [60] });
    stream.write({ ackIds: [acked], modifyDeadlineAckIds: [acked, moved], modifyDeadlineSeconds: [60, 0] });
    await until('the nacked one has come again', () => stream.messages.length === 3);
    const acks = stream.responses.flatMap(({ acknowledgeConfirmation: confirmation }) => confirmation ?? []);
    const moves = stream.responses.flatMap(({ modifyAckDeadlineConfirmation: confirmation }) => confirmation ?? []);
    expect(acks).toMatchObject([
      { ackIds: [acked], invalidAckIds: [] },
      { ackIds: [], invalidAckIds: [acked] },
    ]);
    expect(moves).toMatchObject([
      { ackIds: [moved], invalidAckIds: [] },
      { ackIds: [moved], invalidAckIds: [acked] },
    ]);
    await stream.close();
  });

  it('with order takes the acks of a key in order only', async () => {
    const { topic, name } = await exactlyOnce(true);
    await pubsub().publish(topic, 3, { orderingKey: () => 'one' });
    const [first = '', second = '', third = ''] = (await pubsub().pull(name, 3)).map(({ ackId }) => ackId);
    const early = { code: FAILED_PRECONDITION, errorInfoMetadata: { [third]: UNORDERED } };
    await expect(pubsub().acknowledge(name, [first, third])).rejects.toMatchObject(early);
    await pubsub().acknowledge(name, [second, third]);
    expect(fake().subscription(name)).toMatchObject({ backlog: 0, counts: { acks: 3, unordered: 1 } });
  });
});
