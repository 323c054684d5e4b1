import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Subscription } from 'rxjs';
import { environment } from '../../../lib/core/environment.js';
import { fakeKafka, kafkaJsError, protocolError, type FakeKafka } from '../../support/kafka-fake.js';
import { consumerOf, pass, reader } from '../../support/kafka-reader.js';

const { random } = environment;
beforeEach(() => {
  jest.useFakeTimers();
  environment.random = () => 0.999_999;
});
afterEach(() => {
  jest.useRealTimers();
  jest.restoreAllMocks();
  environment.random = random;
});

const letters = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`);
const ids = (...offsets: number[]): string[] => offsets.map((offset) => `0/${offset}#1`);

function filled(count = 4): FakeKafka {
  const kafka = fakeKafka();
  kafka.append('t', 0, ...letters(count));
  return kafka;
}

describe('until: end', () => {
  it('is not reached by a rebalance that cuts off what was under way: it comes again first', async () => {
    const kafka = filled();
    const read = reader(kafka, { until: 'end', drainTimeoutMs: 100 });
    await pass();
    read.ack(0, 1);
    const release = kafka.hold('join');
    void consumerOf(kafka).rebalance();
    await pass(2_000);
    release();
    await pass();
    expect([read.ends, read.ids.slice(4)]).toEqual([[], ids(2, 3)]);
    for (const delivery of read.all.slice(4)) delivery.ack();
    await pass();
    expect([read.ends, kafka.committed.get('t/0')?.offset]).toEqual([['complete'], '4']);
  });

  it('is not reached by a consumer that crashes with messages under way: they come again first', async () => {
    const kafka = filled();
    const read = reader(kafka, { until: 'end' });
    await pass();
    void consumerOf(kafka).crash(kafkaJsError('KafkaJSNumberOfRetriesExceeded'));
    await pass(2_000);
    expect([read.ends, read.ids.slice(4)]).toEqual([[], ids(0, 1, 2, 3)]);
    for (const delivery of read.all.slice(4)) delivery.ack();
    await pass();
    expect([read.ends, kafka.committed.get('t/0')?.offset]).toEqual([['complete'], '4']);
  });

  it('is reached where what was under way goes to another member', async () => {
    const kafka = filled();
    const read = reader(kafka, { until: 'end', drainTimeoutMs: 100 });
    await pass();
    kafka.assignment = {};
    void consumerOf(kafka).rebalance();
    await pass(2_000);
    expect(read.ends).toEqual(['complete']);
  });
});

describe('a drain', () => {
  it.each([10_000, 1_000_000])(
    'of %i ms fits into the retries of kafkajs, which count meanwhile',
    async (drainTimeoutMs) => {
      const kafka = filled();
      reader(kafka, { drainTimeoutMs });
      await pass();
      const { retries, maxRetryTime } = consumerOf(kafka).config.retry;
      expect(maxRetryTime).toBe(250);
      // kafkajs' own calculation: 80 % of the time before, doubled, at most `maxRetryTime`.
      expect(retries * 200).toBeGreaterThan(drainTimeoutMs);
    },
  );
});

describe('a join that kafkajs gave up', () => {
  it('is followed by another consumer, so that the partitions are read again', async () => {
    const kafka = filled();
    const read = reader(kafka, { rebalanceTimeoutMs: 20_000 });
    await pass();
    read.ack(0);
    await pass();
    const consumer = consumerOf(kafka);
    // It drains, fails to ask, and reads on as the member that it was.
    expect(() => consumer.assigner.protocol({ topics: ['t'] })).toThrow('draining');
    read.ack();
    await pass(50);
    consumer.assigner.protocol({ topics: ['t'] });
    kafka.append('t', 0, 'more');
    await pass(29_000);
    expect([read.of('unavailable'), kafka.consumers.length]).toEqual([[], 1]);
    await pass(5_000);
    expect(read.of('unavailable')).toMatchObject([{ what: 'Kafka', error: { code: 'connection-failed' } }]);
    expect([kafka.consumers.length, kafka.open, read.ids.slice(4)]).toEqual([2, 1, ids(4)]);
  });
});

describe('a commit that is answered after the next join', () => {
  it('as fenced takes away nothing of what is ours by then', async () => {
    const kafka = filled();
    const read = reader(kafka, { drainOnRebalance: false });
    await pass();
    const consumer = consumerOf(kafka);
    const release = kafka.hold('commit');
    consumer.fenced = 'ILLEGAL_GENERATION';
    read.ack(0);
    await pass(50);
    void consumer.rebalance();
    await pass(3_000);
    consumer.fenced = null;
    release();
    await pass();
    expect(read.ids.slice(4)).toEqual(ids(0, 1, 2, 3));
    kafka.append('t', 0, 'more');
    await pass();
    expect(read.ids.slice(8)).toEqual(ids(4));
  });
});

describe('a topic that is deleted under the consumer', () => {
  it('ends the stream once it is missed twice', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    kafka.hold('fetch');
    await pass();
    kafka.topics.delete('t');
    await pass(15_000);
    expect([read.of('unavailable').length, read.ends]).toEqual([1, []]);
    await pass(10_000);
    expect(read.ends).toEqual(['error unknown-topic']);
  });

  it('ends nothing where a broker did not know it for a moment', async () => {
    const kafka = filled();
    const read = reader(kafka);
    await pass();
    const release = kafka.hold('fetch');
    kafka.fail('admin', protocolError('UNKNOWN_TOPIC_OR_PARTITION', true));
    await pass(60_000);
    release();
    await pass();
    expect([read.ends, read.of('recovered').length]).toEqual([[], 1]);
  });
});

describe('a close (I8)', () => {
  it('waits for what the broker is asked', async () => {
    const kafka = filled();
    const read = reader(kafka, { drainTimeoutMs: 1_000 });
    await pass();
    read.ack();
    await pass();
    const release = kafka.hold('admin');
    void consumerOf(kafka).rebalance();
    await pass();
    read.subscription.unsubscribe();
    await pass(200);
    expect([kafka.open > 0, read.closed()]).toEqual([true, false]);
    release();
    await pass(50);
    expect([kafka.open, read.closed(), jest.getTimerCount()]).toEqual([0, true, 0]);
  });

  it('has no more to end after an hour than after a minute', async () => {
    const kafka = filled();
    // A question for the lag is a subscription of its own, which is over with its answer.
    reader(kafka, { fetchMaxWaitMs: 5_000, lagEveryMs: Infinity });
    await pass(60_000);
    const add = jest.spyOn(Subscription.prototype, 'add');
    await pass(3_600_000);
    expect(add.mock.calls.length).toBe(0);
  });
});
