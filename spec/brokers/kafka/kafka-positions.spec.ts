import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { fakeKafka, logOf } from '../../support/kafka-fake.js';
import { consumerOf, pass, reader } from '../../support/kafka-reader.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const letters = (count: number): string[] => Array.from({ length: count }, (_, i) => `m${i}`);
const ids = (...offsets: number[]): string[] => offsets.map((offset) => `0/${offset}#1`);

describe('control records that no message follows', () => {
  it('are committed past, so that the lag reaches 0', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'a');
    const read = reader(kafka);
    await pass();
    read.ack();
    await pass();
    kafka.append('t', 0, { control: true }, { control: true });
    await pass();
    expect(kafka.commits).toEqual(['t/0:0', 't/0:1', 't/0:3']);
  });

  it('are committed past where there never was a message', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, { control: true }, { control: true });
    reader(kafka);
    await pass();
    expect(kafka.commits).toEqual(['t/0:0', 't/0:2']);
  });

  it('are not committed past what is unsettled (I1)', async () => {
    const kafka = fakeKafka();
    kafka.fetchRecords = 1;
    kafka.append('t', 0, 'a', { control: true });
    const read = reader(kafka);
    await pass();
    expect(kafka.committed.get('t/0')?.offset).toBe('0');
    read.ack();
    await pass();
    expect(kafka.committed.get('t/0')?.offset).toBe('2');
  });

  it('behind a gap are read past, by until: end too', async () => {
    const kafka = fakeKafka();
    kafka.fetchRecords = 1;
    kafka.append('t', 0, 'a', { gap: 3 }, { control: true });
    const read = reader(kafka, { until: 'end' });
    await pass();
    read.ack();
    await pass();
    expect([read.ends, read.of('position-lost')]).toEqual([['complete'], []]);
  });

  it('where the position is gone pass nothing unseen (I10)', async () => {
    const kafka = fakeKafka();
    kafka.fetchRecords = 1;
    kafka.append('t', 0, ...letters(4));
    const read = reader(kafka);
    await pass();
    read.ack();
    await pass();
    // Of what came since, retention has left a marker and what follows.
    kafka.append('t', 0, ...letters(3), { control: true }, 'next');
    kafka.truncate('t', 0, 7);
    await pass(500);
    expect(read.of('position-lost')).toMatchObject([{ expected: '4', found: '7', action: 'error' }]);
    expect([read.ends, read.ids]).toEqual([['error position-lost'], ids(0, 1, 2, 3)]);
  });
});

describe('what a predecessor had done, where nothing else is left', () => {
  it('is committed past', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(3));
    // As a predecessor left it that was killed between two commits: the watermark could have moved.
    kafka.committed.set('t/0', { offset: '0', metadata: `rxsluice:1:b:${Buffer.from([0b111]).toString('base64')}` });
    const read = reader(kafka);
    await pass();
    expect([read.ids, kafka.committed.get('t/0')]).toEqual([[], { offset: '3', metadata: '' }]);
  });
});

describe('a position that kafkajs reset although it was still there', () => {
  it('is stored again, with what is done above it', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(6));
    const read = reader(kafka);
    await pass();
    read.ack(0, 2);
    await pass();
    const stored = kafka.committed.get('t/0');
    expect(stored).toMatchObject({ offset: '1', metadata: expect.stringContaining('rxsluice:1') as unknown });
    kafka.committed.set('t/0', { offset: '-2', metadata: null });
    const consumer = consumerOf(kafka);
    for (let i = 0; i < 2; i++) await consumer.deliver('t', 0, 0);
    await pass();
    expect([kafka.committed.get('t/0'), read.of('position-lost')]).toEqual([stored, []]);
  });
});

describe('after a position was lost and passed', () => {
  // The topic is deleted and made again under its name.
  const makeAnew = (kafka: ReturnType<typeof fakeKafka>, count: number): void => {
    const log = logOf(kafka, 't', 0);
    Object.assign(log, { low: 0, high: 0, records: [] });
    kafka.append('t', 0, ...letters(count));
  };

  it('offsets that a predecessor had done name other messages, and are read', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(12));
    const first = reader(kafka, { drainTimeoutMs: 100 });
    await pass();
    first.ack(0, 1, 2, 3, 4, 5, 6, 7, 8, 10);
    first.subscription.unsubscribe();
    await pass(300);
    const read = reader(kafka, { onPositionLost: 'earliest' });
    await pass();
    expect(read.ids).toEqual(ids(9, 11));
    makeAnew(kafka, 3);
    await pass(500);
    kafka.append('t', 0, ...letters(9));
    await pass(500);
    expect(read.ids.slice(2)).toEqual(ids(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
  });

  it('what was out before moves no commit and is none of what is done above it', async () => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(10));
    const read = reader(kafka, { onPositionLost: 'earliest' });
    await pass();
    makeAnew(kafka, 3);
    // The new log has grown up to where the next fetch asks.
    await pass(500);
    expect([read.of('position-lost').length, read.ids.slice(10)]).toEqual([1, ids(0, 1, 2)]);
    const [old, anew] = [read.all.slice(0, 10), read.all.slice(10)];
    old[0]?.ack();
    for (const delivery of old.slice(5)) delivery.ack();
    await pass();
    expect(kafka.committed.get('t/0')).toEqual({ offset: '0', metadata: '' });
    anew[1]?.ack();
    await pass();
    expect(kafka.committed.get('t/0')).toMatchObject({
      offset: '0',
      metadata: expect.stringContaining('rxs') as unknown,
    });
    for (const delivery of [...old, ...anew]) delivery.ack();
    await pass();
    expect(kafka.committed.get('t/0')).toEqual({ offset: '3', metadata: '' });
  });
});

describe('a partition that is added while the source runs', () => {
  it.each(['latest', 'earliest'] as const)('is read from its oldest message, by %s too', async (start) => {
    const kafka = fakeKafka();
    kafka.append('t', 0, 'old');
    const read = reader(kafka, { start, metadataMaxAgeMs: 5_000 });
    await pass();
    expect(consumerOf(kafka).config.metadataMaxAge).toBe(5_000);
    kafka.topics.get('t')?.push({ low: 0, high: 0, records: [] });
    // What comes before kafkajs looks at the topic again.
    kafka.append('t', 1, 'new');
    read.ack();
    void consumerOf(kafka).rebalance();
    await pass();
    expect(read.ids).toEqual(start === 'latest' ? ['1/0#1'] : ['0/0#1', '1/0#1']);
  });
});

describe('a position within a transaction that is open', () => {
  const resume = async (anew: boolean) => {
    const kafka = fakeKafka();
    kafka.append('t', 0, ...letters(4));
    kafka.committed.set('t/0', { offset: '3', metadata: null });
    const log = logOf(kafka, 't', 0);
    if (anew) Object.assign(log, { high: 2, records: log.records.slice(0, 2) });
    log.stable = 1;
    const read = reader(kafka, { readUncommitted: true, onPositionLost: 'earliest' });
    await pass(500);
    return read;
  };

  it('is there for who reads what is not committed', async () => {
    const read = await resume(false);
    expect([read.ids, read.of('position-lost')]).toEqual([ids(3), []]);
  });

  it('is found lost where a fetch says so', async () => {
    const read = await resume(true);
    expect(read.of('position-lost')).toMatchObject([{ expected: '3', found: '0' }]);
    expect(read.ids.slice(0, 2)).toEqual(ids(0, 1));
  });
});
