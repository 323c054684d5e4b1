import { describe, expect, it } from '@jest/globals';
import { kinesisPublisher } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import { environment } from '../../../lib/core/environment.js';
import type { Message } from '../../../lib/core/message.js';
import { putFake } from '../../support/kinesis-put-fake.js';
import { hold, numbered, storedOf } from '../../support/kinesis-publishing.js';
import { marbles } from '../../support/marbles.js';
import { refusal, untyped } from '../../support/options.js';

describe('headers', () => {
  const warnings = (
    options: { headers?: 'json' | 'drop' },
    messages: Message[],
  ): { warned: string[]; stored: string } => {
    const warned: string[] = [];
    const { warn } = environment;
    environment.warn = (message) => warned.push(message);
    const fake = putFake();
    try {
      marbles(({ advanceTo }) => {
        const { publish, close } = hold(fake, options);
        for (const message of messages) publish([message]);
        advanceTo(100);
        close();
      });
    } finally {
      environment.warn = warn;
    }
    return { warned, stored: storedOf(fake) };
  };
  const messages = [
    { key: 'k', value: 'a', headers: { secret: 's' } },
    { key: 'l', value: 'b', headers: { other: 't' } },
  ];

  it('are left out with one warning, which shows none of them', () => {
    expect(warnings({}, messages)).toEqual({
      warned: [
        'kinesisPublisher (stream orders): Kinesis has no headers, so those of the messages are left out. ' +
          "Take headers: 'json' to store them with the value, or headers: 'drop' if nobody misses them.",
      ],
      stored: 'a b',
    });
    expect(warnings({}, [{ value: 'a' }]).warned).toEqual([]);
  });

  it("are left out without one by 'drop', and are stored with the value by 'json'", () => {
    expect(warnings({ headers: 'drop' }, messages)).toEqual({ warned: [], stored: 'a b' });
    expect(warnings({ headers: 'json' }, messages)).toEqual({
      warned: [],
      stored: '{"headers":{"secret":"s"},"value":"a"} {"headers":{"other":"t"},"value":"b"}',
    });
  });
});

describe('options', () => {
  const { client } = putFake();
  const wrong = (options: object): string =>
    refusal(() => kinesisPublisher(client, untyped({ stream: 'orders', ...options })));

  it.each([
    [{ stream: '' }, 'stream must be the name or the ARN of a stream, not an empty string'],
    [{ stream: 'no name' }, 'stream must be the name or the ARN of a stream, not a string'],
    [{ stream: 'arn:aws:kinesis:eu-central-1:1:stream/x' }, 'stream must be the name or the ARN of a stream'],
    [{ maxBatch: 501 }, 'maxBatch must be a whole number, at least 1 and at most 500, not 501'],
    [{ maxBatchBytes: 10 * 1024 * 1024 + 1 }, 'maxBatchBytes must be a whole number, at least 1 and at most 10485760'],
    [{ maxRecordBytes: 0 }, 'maxRecordBytes must be a whole number, at least 1 and at most 10485760, not 0'],
    [{ maxRequests: 0 }, 'maxRequests must be a whole number, at least 1 and at most 100, not 0'],
    [{ lingerMs: 10_001 }, 'lingerMs must be a number, at least 0 and at most 10000, not 10001'],
    [{ retryTimeoutMs: -1 }, 'retryTimeoutMs must be a number, at least 0'],
    [{ requestTimeoutMs: 0 }, 'requestTimeoutMs must be a number, at least 1'],
    [{ preserveOrder: 'yes' }, 'preserveOrder must be true or false, not a string'],
    [{ headers: 'keep' }, "headers must be 'json' or 'drop', not 'keep'"],
    [{ backoff: 5 }, 'backoff must be a function, not 5'],
    [{ hashKey: '5' }, 'hashKey must be a function, not a string'],
    [{ partitionKey: 'id' }, 'partitionKey must be a function, not a string'],
    [{ maxbatch: 5 }, 'there is no option maxbatch'],
  ])('%j are refused before anything is opened', (options, message) => {
    expect(wrong(options)).toContain(`kinesisPublisher: ${message}`);
  });

  it('want a client of Kinesis', () => {
    expect(refusal(() => kinesisPublisher(untyped({}), { stream: 'orders' }))).toContain(
      'client must be a Kinesis of @aws-sdk/client-kinesis, which its KinesisClient is not',
    );
  });

  it('name a stream by its ARN too', () => {
    marbles(({ advanceTo }) => {
      const asked: unknown[] = [];
      const fake = putFake();
      const { putRecords, describeStreamSummary } = fake.client;
      Object.assign(fake.client, {
        putRecords: (input: never) => (asked.push(input), putRecords(input)),
        describeStreamSummary: (input: never) => (asked.push(input), describeStreamSummary(input)),
      });
      const StreamARN = 'arn:aws:kinesis:eu-central-1:000000000000:stream/orders';
      const { publish, close } = hold(fake, { stream: StreamARN });
      const call = publish(numbered('a1'));
      advanceTo(50);
      expect(asked).toEqual([{ StreamARN }, expect.objectContaining({ StreamARN })]);
      expect(asked[1]).not.toHaveProperty('StreamName');
      expect(call.outcomes?.[0]).toMatchObject({ position: { stream: 'orders' } });
      close();
    });
  });
});
