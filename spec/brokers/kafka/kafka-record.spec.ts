import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
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
