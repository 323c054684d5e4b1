import { describe, expect, it } from '@jest/globals';
import { kinesisShape, type KinesisRecord } from '../../../lib/brokers/kinesis/kinesis-record.js';

const SEQUENCE = '49680526725292205006757588814632397814192771993612320770';
const record = (more: Partial<KinesisRecord> = {}): KinesisRecord => ({
  sequenceNumber: SEQUENCE,
  subSequenceNumber: null,
  key: 'order-1',
  data: Uint8Array.of(1, 2, 3),
  arrivedAt: 5,
  ...more,
});
const shard = { topic: 'orders', partition: 'shardId-000000000002' };

describe('a record of Kinesis', () => {
  it('has its bytes as they came, a key that is text or none, no headers, and the time at which it arrived', () => {
    const one = record();
    expect([kinesisShape.value(one), kinesisShape.key(one), kinesisShape.timestamp(one)]).toEqual([
      one.data,
      'order-1',
      5,
    ]);
    expect(kinesisShape.key(record({ key: null }))).toBeNull();
    expect(kinesisShape.headers(one)).toEqual({});
  });

  it.each([
    [null, SEQUENCE],
    [0, `${SEQUENCE}/0`],
    [3, `${SEQUENCE}/3`],
  ])('at place %j of an aggregate has a position and a text of its own', (subSequenceNumber, text) => {
    const one = record({ subSequenceNumber });
    expect(kinesisShape.positionText(one)).toBe(text);
    expect(kinesisShape.position(one, shard)).toEqual({
      broker: 'kinesis',
      stream: 'orders',
      shard: 'shardId-000000000002',
      sequenceNumber: SEQUENCE,
      subSequenceNumber,
    });
  });

  it('is weighed by its bytes and its key, and never as nothing', () => {
    const weigh = (more: Partial<KinesisRecord>): number => kinesisShape.bytes(record(more));
    expect(weigh({ key: null, data: new Uint8Array(0) })).toBeGreaterThan(0);
    expect(weigh({ data: new Uint8Array(1_000) }) - weigh({ data: new Uint8Array(0) })).toBe(1_000);
    expect(weigh({ key: 'abc' }) - weigh({ key: null })).toBe(3);
  });
});
