import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { KafkaSourceOptions } from 'rxsluice/kafka';
import { fakeKafka, protocolError, type FakeKafka } from '../../support/kafka-fake.js';
import { consumerOf, pass, reader } from '../../support/kafka-reader.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const letters = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`);
const ids = (...offsets: number[]): string[] => offsets.map((offset) => `0/${offset}#1`);
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Everything is closed: no connection, no timer (I8). */
function expectNothingLeft(kafka: FakeKafka): void {
  expect([kafka.open, jest.getTimerCount()]).toEqual([0, 0]);
}

describe('reading to the end', () => {
  it('ends at the end as it stood at subscription, commits it and leaves nothing', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(25));
    const read = reader(kafka, { until: 'end' });
    await pass(0);
    kafka.append('t', 0, 'later');
    await pass();
    expect([read.ids.length, read.ends]).toEqual([25, []]);
    read.ack();
    await pass();
    expect([read.ends, kafka.committed.get('t/0')?.offset]).toEqual([['complete'], '25']);
    expectNothingLeft(kafka);
  });

  it.each([
    ['empty partitions', { t: 3 }, null],
    ['no partitions at all', { t: 1 }, {}],
  ] as const)('completes over %s', async (_, topics, assignment) => {
    const kafka = fakeKafka(topics);
    kafka.assignment = assignment;
    const { ends } = reader(kafka, { until: 'end' });
    await pass();
    expect(ends).toEqual(['complete']);
    expectNothingLeft(kafka);
  });

  it('ends over control records, gaps and a partition that begins late', async () => {
    const kafka = fakeKafka({ t: 3 });
    kafka.append('t', 0, 'a', { control: true });
    kafka.append('t', 1, { control: true }, { control: true });
    kafka.append('t', 2, 'x', 'y', { gap: 3 }, 'b');
    kafka.truncate('t', 2, 5);
    kafka.fetchRecords = 1;
    const read = reader(kafka, { until: 'end' });
    await pass();
    read.ack();
    await pass();
    expect([read.ids, read.ends]).toEqual([['0/0#1', '2/5#1'], ['complete']]);
  });
});

describe('control records', () => {
  it('alone in a fetch move the position on, and what follows is read', async () => {
    const kafka = fakeKafka();
    kafka.fetchRecords = 1;
    kafka.append('t', 0, 'a', { control: true }, { control: true }, 'b');
    const read = reader(kafka);
    await pass();
    expect(read.ids).toEqual(ids(0, 3));
    expect(consumerOf(kafka).seeks).toEqual(['t/0:0']);
  });

  it('at the end of a batch are committed past, so that the lag reaches 0', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a', 'b', { control: true }, { control: true });
    const read = reader(kafka, { lagEveryMs: 100 });
    await pass();
    read.ack(0);
    await pass();
    read.ack(1);
    await pass();
    expect(kafka.commits).toEqual(['t/0:0', 't/0:1', 't/0:4']);
    expect(read.of('lag').at(-1)).toMatchObject({ lagMessages: 0 });
  });

  it('between what a predecessor had done are committed past as well', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a', { control: true }, 'b', { control: true }, 'c', { control: true });
    const first = reader(kafka, { drainTimeoutMs: 100 });
    await pass();
    first.ack(2, 4);
    first.subscription.unsubscribe();
    await pass(300);
    const second = reader(kafka);
    await pass();
    expect(second.ids).toEqual(ids(0));
    second.ack();
    await pass();
    expect(kafka.committed.get('t/0')).toEqual({ offset: '6', metadata: '' });
  });
});

describe('a fetch that is not from where we are', () => {
  it('from before a rejoin is not resolved, and nothing is skipped', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(8));
    const read = reader(kafka, { drainOnRebalance: false });
    await pass();
    read.ack(0, 1);
    await pass();
    const consumer = consumerOf(kafka);
    const release = kafka.hold('fetchOffsets');
    void consumer.rebalance();
    await pass();
    const { length } = consumer.resolved;
    // While its start is looked up, and then.
    await consumer.deliver('t', 0, 5);
    release();
    await pass(1);
    kafka.append('t', 0, 'new');
    await consumer.deliver('t', 0, 8);
    expect(consumer.resolved.slice(length)).not.toContain('t/0:8');
    await pass();
    expect(read.ids.slice(8)).toEqual(ids(...range(2, 9)));
    read.ack();
    await pass();
    expect(kafka.committed.get('t/0')?.offset).toBe('9');
  });

  it('of a partition that is not ours any more is left alone', async () => {
    const kafka = fakeKafka({ t: 2 });
    kafka.append('t', 1, 'a', 'b');
    const read = reader(kafka);
    await pass();
    read.ack();
    await pass();
    kafka.assignment = { t: [0] };
    const consumer = consumerOf(kafka);
    await consumer.rebalance();
    await pass();
    const { length } = consumer.resolved;
    await consumer.deliver('t', 1, 0);
    await pass();
    expect([read.ids, consumer.resolved.length]).toEqual([['1/0#1', '1/1#1'], length]);
  });

  it('twice, where the position still exists, is read again and nothing is told lost', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(6));
    const read = reader(kafka);
    await pass();
    const consumer = consumerOf(kafka);
    await consumer.deliver('t', 0, 3);
    await consumer.deliver('t', 0, 3);
    await pass();
    kafka.append('t', 0, 'next');
    await pass();
    expect([read.ids, read.of('position-lost'), consumer.paused.size]).toEqual([ids(...range(0, 7)), [], 0]);
  });
});

describe('a position that is gone (I10)', () => {
  const lose = async (onPositionLost: 'error' | 'earliest' | 'latest') => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(4));
    const read = reader(kafka, { onPositionLost });
    await pass();
    read.ack(0, 1);
    await pass();
    kafka.append('t', 0, ...letters(16));
    kafka.truncate('t', 0, 12);
    await pass(200);
    return { kafka, read };
  };
  const lost = { type: 'position-lost', partition: { topic: 't', partition: 0 }, expected: '4' };

  it("is an error by 'error', and kafkajs' own reset is undone in the group", async () => {
    const { kafka, read } = await lose('error');
    expect(read.ends).toEqual(['error position-lost']);
    expect(read.of('position-lost')).toEqual([{ ...lost, found: '12', action: 'error' }]);
    read.subscription.unsubscribe();
    await pass(11_000);
    expect([read.ids, kafka.committed.get('t/0')?.offset]).toEqual([ids(0, 1, 2, 3), '2']);
    expectNothingLeft(kafka);
  });

  it("is passed by 'earliest': told once, durable, read on from the oldest message", async () => {
    const { kafka, read } = await lose('earliest');
    expect(read.of('position-lost')).toEqual([{ ...lost, found: '12', action: 'earliest' }]);
    expect([read.ends, read.ids.slice(4)]).toEqual([[], ids(...range(12, 20))]);
    read.ack();
    await pass();
    expect(kafka.committed.get('t/0')?.offset).toBe('20');
  });

  it("is passed by 'latest': told once, durable, read on from the end", async () => {
    const { kafka, read } = await lose('latest');
    expect(read.of('position-lost')).toEqual([{ ...lost, found: '20', action: 'latest' }]);
    kafka.append('t', 0, 'new');
    await pass();
    expect([read.ends, read.ids.slice(4)]).toEqual([[], ids(20)]);
  });

  it.each(['error', 'earliest', 'latest'] as const)(
    'is found where it was committed, before it is read: %s',
    async (action) => {
      const kafka = fakeKafka();
      kafka.append('t', 0, ...letters(10));
      kafka.truncate('t', 0, 7);
      kafka.committed.set('t/0', { offset: '3', metadata: null });
      const read = reader(kafka, { onPositionLost: action });
      await pass(200);
      const found = action === 'latest' ? '10' : '7';
      expect(read.of('position-lost')).toEqual([{ ...lost, expected: '3', found, action }]);
      expect(read.ends).toEqual(action === 'error' ? ['error position-lost'] : []);
      expect(read.ids).toEqual(action === 'earliest' ? ids(7, 8, 9) : []);
      expect(kafka.committed.get('t/0')?.offset).toBe(action === 'error' ? '3' : found);
    },
  );

  it('is not taken for a new group where only what kafkajs wrote is left of it', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(3));
    kafka.committed.set('t/0', { offset: '-2', metadata: null });
    const read = reader(kafka);
    await pass();
    expect(read.ends).toEqual(['error position-lost']);
    expect(read.of('position-lost')).toMatchObject([{ expected: 'unknown', found: '0' }]);
  });

  it('is told once, also where its successor cannot be committed at once', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(10));
    kafka.truncate('t', 0, 7);
    kafka.committed.set('t/0', { offset: '3', metadata: null });
    kafka.fail('commit', new Error('no'), 2);
    const read = reader(kafka, { onPositionLost: 'earliest' });
    await pass(1_000);
    expect([read.ids, read.of('position-lost').length]).toEqual([ids(7, 8, 9), 1]);
  });

  it('beyond the end is gone too: the topic was made anew', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(3));
    kafka.committed.set('t/0', { offset: '50', metadata: null });
    const read = reader(kafka);
    await pass();
    expect(read.of('position-lost')).toMatchObject([{ expected: '50', found: '0', action: 'error' }]);
  });
});

describe('the start of a new group', () => {
  const starts: [string, KafkaSourceOptions['start'], string[], number[]][] = [
    ['earliest', 'earliest', ['t/0:2', 't/1:0'], [2, 3, 4, 5]],
    ['latest', 'latest', ['t/0:6', 't/1:0'], []],
    ['a time', new Date(3_500), ['t/0:4', 't/1:0'], [4, 5]],
    ['a time to come', new Date(99_000), ['t/0:6', 't/1:0'], []],
    [
      'given positions, the oldest where none is given',
      [{ topic: 't', partition: 0, offset: '5' }],
      ['t/0:5', 't/1:0'],
      [5],
    ],
  ];
  it.each(starts)('at %s is durable before the first emission (I10)', async (_, start, commits, offsets) => {
    const kafka = fakeKafka({ t: 2 });
    kafka.append('t', 0, ...letters(6));
    kafka.truncate('t', 0, 2);
    const release = kafka.hold('commit');
    const read = reader(kafka, { ...(start === undefined ? {} : { start }) });
    await pass(1_000);
    expect([read.ids, kafka.commits]).toEqual([[], []]);
    release();
    await pass();
    expect([read.ids, kafka.commits]).toEqual([ids(...offsets), commits]);
  });

  it('at a given position that does not exist is a position lost', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(3));
    const read = reader(kafka, { start: [{ topic: 't', partition: 0, offset: '9' }] });
    await pass();
    expect([read.ends, kafka.commits]).toEqual([['error position-lost'], []]);
  });

  it('that cannot be committed is told as typed, in the words of the broker', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a');
    kafka.fail('commit', protocolError('REQUEST_TIMED_OUT', true), 1);
    const read = reader(kafka, { start: 'latest' });
    await pass(1_000);
    expect(read.of('ack-failed')).toMatchObject([
      {
        error: {
          code: 'source-failed',
          message: expect.stringContaining('the broker says REQUEST_TIMED_OUT') as unknown,
        },
      },
    ]);
  });

  it('is committed again where kafkajs did nothing and said nothing, and nothing comes before', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a');
    // Joined, but not running yet: kafkajs ignores commits.
    const release = kafka.hold('run');
    const read = reader(kafka, { start: 'latest' });
    await pass(350);
    expect([kafka.commits, read.of('ack-failed').length]).toEqual([[], 3]);
    expect(read.of('ack-failed')[0]).toMatchObject({
      error: { message: 'fromKafka: kafkajs did not commit, for the consumer is not running. It is tried again.' },
    });
    release();
    await pass(1_000);
    kafka.append('t', 0, 'b');
    await pass();
    expect([kafka.commits, read.ids]).toEqual([['t/0:1'], ids(1)]);
  });

  it('of an earlier join, found late, moves no position of a later owner (I5)', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(9));
    const release = kafka.hold('fetchOffsets');
    const read = reader(kafka, { start: 'latest' });
    await pass();
    // Another member has it for a while and gets to 11; then it is ours again.
    kafka.assignment = {};
    await consumerOf(kafka).rebalance();
    kafka.append('t', 0, 'x', 'y', 'z');
    kafka.committed.set('t/0', { offset: '11', metadata: null });
    kafka.assignment = null;
    await consumerOf(kafka).rebalance();
    release();
    await pass();
    expect([kafka.commits, read.ids]).toEqual([[], ids(11)]);
  });
});

describe('what a predecessor had done above the watermark', () => {
  it('is not run again, and goes on to the next owner until the watermark has passed it', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(6));
    const run = async (expected: number[], acked: number[]) => {
      const read = reader(kafka, { drainTimeoutMs: 100 });
      await pass();
      expect(read.ids).toEqual(ids(...expected));
      if (acked.length > 0) read.ack(...acked);
      await pass();
      read.subscription.unsubscribe();
      await pass(500);
      expect(read.closed()).toBe(true);
    };
    await run([0, 1, 2, 3, 4, 5], [1, 2, 5]);
    await run([0, 3, 4], []);
    await run([0, 3, 4], [4]);
    expect(kafka.committed.get('t/0')).toMatchObject({ offset: '0' });
    await run([0, 3], [0]);
    expect(kafka.committed.get('t/0')).toMatchObject({ offset: '3' });
    await run([3], [3]);
    expect(kafka.committed.get('t/0')).toEqual({ offset: '6', metadata: '' });
    expectNothingLeft(kafka);
  });

  it('counts as read by until: end', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(3));
    kafka.fetchRecords = 1;
    const first = reader(kafka, { drainTimeoutMs: 100 });
    await pass();
    first.ack(1, 2);
    first.subscription.unsubscribe();
    await pass(500);
    const second = reader(kafka, { until: 'end' });
    await pass();
    second.ack();
    await pass();
    expect([second.ids, second.ends, kafka.committed.get('t/0')?.offset]).toEqual([ids(0), ['complete'], '3']);
  });
});
