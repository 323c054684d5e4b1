import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { NEVER } from 'rxjs';
import { constant, retryToDlq } from 'rxsluice';
import { fromKafka } from 'rxsluice/kafka';
import { kafkaShape } from '../../../lib/brokers/kafka/kafka-record.js';
import { fakeKafka, logOf, type FakeRecord } from '../../support/kafka-fake.js';
import { pass, reader } from '../../support/kafka-reader.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

const record = (headers: FakeRecord['headers']): FakeRecord => ({
  offset: '0',
  key: null,
  value: Buffer.from('abc'),
  timestamp: '0',
  ...(headers === undefined ? {} : { headers }),
});

describe('headers of a record', () => {
  it('are handed on as they are, without a copy', () => {
    const headers = { one: Buffer.from('1'), text: 't', many: [Buffer.from('a'), Buffer.from('b')] };
    expect(kafkaShape.headers(record(headers))).toBe(headers);
    expect(kafkaShape.headers(record(undefined))).toEqual({});
  });

  it('without a value are empty bytes, alone and in a list', () => {
    const headers = { none: null, many: [Buffer.from('a'), null], text: 't', missing: undefined };
    expect(kafkaShape.headers(record(headers))).toEqual({
      none: new Uint8Array(0),
      many: [Buffer.from('a'), new Uint8Array(0)],
      text: 't',
      missing: undefined,
    });
  });

  it('are weighed by names and values, those without a value by the name', () => {
    const weigh = (headers: FakeRecord['headers']): number =>
      kafkaShape.bytes(record(headers)) - kafkaShape.bytes(record({}));
    expect(weigh({ ab: Buffer.from('123') })).toBe(5);
    expect(weigh({ ab: null, c: [Buffer.from('1'), null], d: undefined })).toBe(4);
  });

  it('without a value end no stream', async () => {
    const kafka = fakeKafka();
    logOf(kafka, 't', 0).records.push(record({ trace: null }));
    logOf(kafka, 't', 0).high = 1;
    const read = reader(kafka);
    await pass();
    expect([read.ends, read.all.map(({ headers }) => headers)]).toEqual([[], [{ trace: new Uint8Array(0) }]]);
  });
});

describe('a record that waits for a retry', () => {
  // As kafkajs has it: every part of it is a slice of what a fetch brought.
  const sliced = (): FakeRecord => {
    const fetched = Buffer.concat([Buffer.from('kvh1h2'), Buffer.alloc(100_000)]);
    const headers = { h: fetched.subarray(2, 4), many: [fetched.subarray(4, 6), null], text: 't' };
    return { offset: '0', key: fetched.subarray(0, 1), value: fetched.subarray(1, 2), timestamp: '0', headers };
  };
  const sizes = (record: FakeRecord): number[] =>
    [record.key, record.value, record.headers?.['h'] as Buffer].map((bytes) => bytes?.buffer.byteLength ?? -1);

  it('is copied once, part by part, and is the same', () => {
    const one = sliced();
    kafkaShape.detach?.(one);
    expect(one).toEqual(sliced());
    expect(sizes(one)).toEqual([1, 1, 2]);
    const { value } = one;
    kafkaShape.detach?.(one);
    expect(one.value).toBe(value);
  });

  it.each(['the source', 'retryToDlq'])('by %s pins none of what was fetched with it', async (by) => {
    const kafka = fakeKafka();
    const one = sliced();
    logOf(kafka, 't', 0).records.push(one);
    logOf(kafka, 't', 0).high = 1;
    const values: (Uint8Array | null)[] = [];
    const source = fromKafka(kafka, { groupId: 'g', topics: ['t'] });
    const retries = retryToDlq({
      backoff: constant(1_000),
      deadLetters: { connect: () => NEVER },
    });
    const subscription = (by === 'retryToDlq' ? source.pipe(retries) : source).subscribe((delivery) => {
      values.push(delivery.value);
      if (delivery.attempt === 1) delivery.nack(new Error('no'), { delayMs: 1_000 });
    });
    await pass(500);
    expect(sizes(one)).toEqual([1, 1, 2]);
    await pass(1_000);
    expect(values.map((value) => value?.buffer.byteLength)).toEqual([100_006, 1]);
    expect(values[1]).toEqual(Buffer.from('v'));
    subscription.unsubscribe();
    await pass(20_000);
  });
});
