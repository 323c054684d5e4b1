import { describe, expect, it } from '@jest/globals';
import type { KafkaProducerLike } from 'rxsluice/kafka';
import { encodeMessage } from '../../../lib/brokers/kafka/kafka-outgoing.js';
import { sendBatch } from '../../../lib/brokers/kafka/kafka-sender.js';
import { kafkaJsError, protocolError } from '../../support/kafka-fake.js';

type Answer = { partition: number; baseOffset?: string }[] | Error;

/** A producer that answers in turn. */
function producer(...answers: Answer[]): KafkaProducerLike & { readonly sent: string[] } {
  const sent: string[] = [];
  return {
    sent,
    connect: () => Promise.resolve(),
    disconnect: () => Promise.resolve(),
    sendBatch: ({ topicMessages }) => {
      sent.push(topicMessages.flatMap(({ messages }) => messages.map(({ value }) => String(value))).join(''));
      const answer = answers.shift() as Answer;
      return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
    },
  };
}

const options = { topic: 't', compression: 0, leaderOf: () => 1 };
const messages = (...partitions: number[]) =>
  partitions.map((partition, i) => encodeMessage({ value: 'abcdefgh'[i] as string, partition }, 9, () => 0));

describe('sendBatch', () => {
  it('counts positions from the first of each partition; a broker that tells none is taken at its word', async () => {
    const made = producer([{ partition: 0, baseOffset: '7' }, { partition: 1 }, { partition: 2, baseOffset: '99' }]);
    const outcomes = await sendBatch(made, options, messages(0, 1, 0, 2));
    expect(outcomes).toEqual([
      { status: 'ok', position: { broker: 'kafka', topic: 't', partition: 0, offset: '7' } },
      { status: 'ok' },
      { status: 'ok', position: { broker: 'kafka', topic: 't', partition: 0, offset: '8' } },
      { status: 'ok', position: { broker: 'kafka', topic: 't', partition: 2, offset: '99' } },
    ]);
  });

  it('is worth another try where kafkajs says nothing of a partition', async () => {
    const outcomes = await sendBatch(producer([{ partition: 0, baseOffset: '7' }]), options, messages(0, 1));
    expect(outcomes).toMatchObject([{ status: 'ok' }, { status: 'transient', error: { code: 'publish-failed' } }]);
  });

  it('goes from the batch to its partitions to halves, one after the other', async () => {
    const large = protocolError('MESSAGE_TOO_LARGE');
    const ok = (partition: number): Answer => [{ partition, baseOffset: '0' }];
    const made = producer(large, large, ok(0), large, ok(1));
    const outcomes = await sendBatch(made, options, messages(0, 1, 0, 1));
    expect([made.sent, outcomes.map(({ status }) => status)]).toEqual([
      ['abcd', 'ac', 'a', 'c', 'bd'],
      ['ok', 'ok', 'permanent', 'ok'],
    ]);
  });

  it('sends a request to each leader, and fails once all are answered where one fails', async () => {
    let late = (): void => undefined;
    const waits = new Promise<void>((resolve) => (late = resolve));
    const sent: string[] = [];
    const made: KafkaProducerLike = {
      connect: () => Promise.resolve(),
      disconnect: () => Promise.resolve(),
      sendBatch: async ({ topicMessages }) => {
        const text = topicMessages.flatMap((one) => one.messages.map(({ value }) => String(value))).join('');
        sent.push(text);
        if (text === 'b') throw kafkaJsError('KafkaJSConnectionError');
        await waits;
        return [{ partition: 0, baseOffset: '0' }];
      },
    };
    let failed: unknown = null;
    const sending = sendBatch(made, { ...options, leaderOf: (partition) => partition }, messages(0, 1, 0)).catch(
      (error: unknown) => (failed = error),
    );
    await new Promise((resolve) => setImmediate(resolve));
    expect([sent, failed]).toEqual([['ac', 'b'], null]);
    late();
    await sending;
    expect(failed).toMatchObject({ code: 'connection-failed' });
  });

  it('fails as a whole where nothing is known', async () => {
    const sending = sendBatch(producer(kafkaJsError('KafkaJSRequestTimeoutError')), options, messages(0, 1));
    await expect(sending).rejects.toMatchObject({ code: 'source-failed' });
  });
});
