import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { KafkaSourceOptions } from 'rxsluice/kafka';
import { fakeKafka, kafkaJsError, logOf, type FakeKafka } from '../../support/kafka-fake.js';
import { consumerOf, pass, reader } from '../../support/kafka-reader.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const letters = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`);

/** A reader that tells its lag each second. */
const follow = (kafka: FakeKafka, options: Partial<KafkaSourceOptions> = {}) => {
  const read = reader(kafka, { lagEveryMs: 1_000, ...options });
  const told = (partition = 0) => read.of('lag').filter(({ partition: of }) => of.partition === partition);
  return {
    ...read,
    told,
    /** What was told last of a partition. */
    lag: (partition = 0) => told(partition).at(-1)?.lagMessages,
    age: (partition = 0) => told(partition).at(-1)?.ageMs,
  };
};

describe('the lag of a partition', () => {
  it('is what its end is ahead of the watermark, also where nothing more is fetched', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(10));
    const read = follow(kafka, { maxInFlight: 4, maxBufferedBytes: 1 });
    await pass(1_000);
    expect(read.told()).toMatchObject([{ lagMessages: 10, ageMs: 0, bufferedMessages: 6, inFlight: 4 }]);
    expect(consumerOf(kafka).paused).toContain('t/0');

    // Behind a reader that is paused, and one that is stuck.
    kafka.append('t', 0, ...letters(100));
    await pass(1_000);
    expect(read.told()).toHaveLength(2);
    expect(read.lag()).toBe(110);
    read.ack(1, 2);
    await pass(1_000);
    expect(read.lag()).toBe(110);
    read.ack(0);
    await pass(1_000);
    expect(read.lag()).toBe(107);
    expect(kafka.committed.get('t/0')?.offset).toBe('3');
  });

  it('is 0 once all is done, and stays so while the topic is idle', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a', { gap: 5 }, 'b', { control: true });
    const read = follow(kafka);
    await pass(1_000);
    expect(read.lag()).toBe(8);
    read.ack();
    await pass(5_000);
    expect(read.told().map(({ lagMessages }) => lagMessages)).toEqual([8, 0, 0, 0, 0, 0]);
  });

  it('does not count what a predecessor had done above its commit', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(6));
    const first = reader(kafka, { drainTimeoutMs: 100 });
    await pass();
    first.ack(0, 1, 2, 4);
    first.subscription.unsubscribe();
    await pass(500);
    expect(kafka.committed.get('t/0')?.offset).toBe('3');
    const read = follow(kafka);
    await pass(1_000);
    expect(read.lag()).toBe(3);
    read.ack(3);
    await pass(1_000);
    // 4 was done before.
    expect(read.lag()).toBe(1);
  });

  it('ends where the oldest open transaction begins, which is as far as it may be read', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a', 'b', 'open', 'behind');
    Object.assign(logOf(kafka, 't', 0), { stable: 2 });
    kafka.fetchRecords = 2;
    // The fake would let it read on.
    const bounded = { maxInFlight: 1, maxBufferedBytes: 1, drainTimeoutMs: 100 };
    const committed = follow(kafka, bounded);
    await pass(1_000);
    expect(committed.lag()).toBe(2);
    committed.subscription.unsubscribe();
    await pass(500);
    const all = follow(kafka, { ...bounded, readUncommitted: true });
    await pass(1_000);
    expect(all.lag()).toBe(4);
  });

  it('is not known before its start is, and counts from there after a rebalance', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(10));
    const read = follow(kafka, { drainOnRebalance: false });
    await pass(500);
    read.ack(0, 1, 2);
    await pass(500);
    expect(read.lag()).toBe(7);
    const release = kafka.hold('fetchOffsets');
    void consumerOf(kafka).rebalance();
    await pass(1_000);
    expect(read.told()).toHaveLength(2);
    expect(read.told()[1]).not.toHaveProperty('lagMessages');
    expect(read.told()[1]).not.toHaveProperty('ageMs');
    release();
    await pass(1_000);
    expect(read.lag()).toBe(7);
  });

  it.each([
    ['earliest', 5],
    ['latest', 0],
  ] as const)('counts from where it goes on after its position was lost: %s', async (onPositionLost, lag) => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(10));
    kafka.committed.set('t/0', { offset: '2', metadata: null });
    kafka.truncate('t', 0, 5);
    const read = follow(kafka, { onPositionLost });
    await pass(1_000);
    expect(read.of('position-lost')).toHaveLength(1);
    expect(read.lag()).toBe(lag);
  });
});

describe('the ends', () => {
  it('are asked of each leader, for what it leads and this member reads, a thousand at a time', async () => {
    const kafka = fakeKafka({ t: 2_500, u: 10 });
    kafka.leaders = (partition) => (partition < 2_100 ? 1 : 2);
    kafka.assignment = { t: Array.from({ length: 2_400 }, (_, partition) => partition), u: [0] };
    kafka.append('t', 2_399, 'a', 'b');
    const read = follow(kafka, { topics: ['t', 'u'] });
    await pass(1_500);
    expect(kafka.endsAsked.filter(({ leader }) => leader === 1).map(({ partitions }) => partitions)).toEqual([
      1_000, 1_000, 101,
    ]);
    expect(kafka.endsAsked.filter(({ leader }) => leader === 2)).toEqual([{ leader: 2, partitions: 300 }]);
    expect(read.lag(2_399)).toBe(2);
    expect(read.of('lag')).toHaveLength(2_401);
  });

  it('are told with their age by a leader that does not answer; it is asked no second time, others are', async () => {
    const kafka = fakeKafka({ t: 2 });
    kafka.leaders = (partition) => partition;
    const read = follow(kafka);
    await pass(1_500);
    kafka.silent.add(0);
    kafka.append('t', 0, 'a');
    kafka.append('t', 1, 'a', 'b');
    await pass(5_000);
    expect(kafka.endsAsked.filter(({ leader }) => leader === 0)).toHaveLength(2);
    expect(kafka.endsAsked.filter(({ leader }) => leader === 1).length).toBeGreaterThan(4);
    // What was fetched is known all the same.
    expect(read.lag(0)).toBe(1);
    expect(read.age(0)).toBeGreaterThanOrEqual(4_000);
    expect(read.lag(1)).toBe(2);
    expect(read.age(1)).toBeLessThanOrEqual(1_000);
    // A lag is told each second all the while.
    expect(read.told(0)).toHaveLength(read.told(1).length);
    expect(read.told(0).length).toBeGreaterThanOrEqual(5);
  });

  it('are asked again after a failure, which ends nothing', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a');
    const read = follow(kafka);
    await pass(500);
    kafka.fail('ends', kafkaJsError('KafkaJSConnectionError'), 2);
    kafka.append('t', 0, 'b');
    await pass(2_000);
    expect(read.told()).toHaveLength(2);
    expect(read.age()).toBeGreaterThanOrEqual(1_000);
    await pass(1_000);
    expect([read.lag(), read.age(), read.ends]).toEqual([2, 0, []]);
  });

  it('are not told by a client that cannot ask: what is buffered is', async () => {
    const kafka = fakeKafka();
    kafka.withoutListOffsets = true;
    kafka.append('t', 0, ...letters(3));
    const read = follow(kafka, { maxInFlight: 2 });
    await pass(3_000);
    // By the look-up of the start alone.
    expect(read.told().at(-1)).toMatchObject({ lagMessages: 3, bufferedMessages: 1, inFlight: 2 });
    expect(read.age()).toBeGreaterThanOrEqual(2_900);
  });

  it('leave no connection that was opened while the source closed', async () => {
    const kafka = fakeKafka();
    const read = follow(kafka);
    await pass(900);
    const release = kafka.hold('ends');
    await pass(100);
    read.subscription.unsubscribe();
    await pass(100);
    release();
    await pass(500);
    expect(read.closed()).toBe(true);
    expect([kafka.open, jest.getTimerCount()]).toEqual([0, 0]);
  });
});
