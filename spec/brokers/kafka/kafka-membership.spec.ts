import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { fakeKafka, kafkaJsError, type FakeKafka } from '../../support/kafka-fake.js';
import { consumerOf, pass, reader } from '../../support/kafka-reader.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const ids = (...offsets: number[]): string[] => offsets.map((offset) => `0/${offset}#1`);

function filled(): FakeKafka {
  const kafka = fakeKafka();
  kafka.append('t', 0, 'a', 'b', 'c', 'd');
  return kafka;
}

describe('a group whose coordinator is another broker by now', () => {
  it('gets its commits in the same generation, and kafkajs joins anew: nothing is repeated', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack(0);
    await pass();
    const consumer = consumerOf(kafka);
    consumer.astray = true;
    read.ack(1);
    await pass(11);
    expect([kafka.commits.at(-1), read.of('ack-failed')]).toEqual(['t/0:2', []]);
    read.ack(2, 3);
    await pass(2_000);
    kafka.append('t', 0, 'e');
    await pass();
    expect([consumer.astray, read.of('revoked').map(({ drained }) => drained)]).toEqual([false, [true]]);
    expect([read.ids, kafka.committed.get('t/0')?.offset, kafka.consumers.length]).toEqual([
      ids(0, 1, 2, 3, 4),
      '4',
      1,
    ]);
  });

  it('hears of a consumer that commits nothing too', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack();
    await pass();
    consumerOf(kafka).astray = true;
    await pass(4_900);
    expect(read.of('revoked')).toEqual([]);
    await pass(1_500);
    expect([consumerOf(kafka).astray, read.of('assigned').length, read.ids.length]).toEqual([false, 2, 4]);
  });

  it('is not left where there is none: commits are tried again, and nothing is void', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack(0);
    await pass();
    kafka.fail('coordinator', kafkaJsError('KafkaJSGroupCoordinatorNotFound'), Infinity);
    consumerOf(kafka).astray = true;
    read.ack(1);
    await pass(20_000);
    expect([read.of('ack-failed').length > 2, read.of('revoked'), read.ends]).toEqual([true, [], []]);
    // The broker is back.
    consumerOf(kafka).astray = false;
    await pass(6_000);
    expect([kafka.commits.at(-1), read.of('revoked')]).toEqual(['t/0:2', []]);
  });
});

describe('a commit that the coordinator refuses', () => {
  it('is not sent elsewhere', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    read.ack(0);
    await pass();
    consumerOf(kafka).astray = true;
    consumerOf(kafka).fenced = 'UNKNOWN_MEMBER_ID';
    read.ack(1);
    await pass();
    expect([kafka.committed.get('t/0')?.offset, read.of('revoked')]).toMatchObject(['1', [{ drained: false }]]);
  });
});
