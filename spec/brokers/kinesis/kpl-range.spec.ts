import { describe, expect, it } from '@jest/globals';
import { hashKeyOf, type HashRange } from '../../../lib/brokers/kinesis/hash-key.js';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { createAggregator } from '../../../lib/brokers/kinesis/kpl-encode.js';
import { entry, hashKeyEntry, keyEntry, sealed } from '../../support/kpl-wire.js';

// A shard of all hash keys, split in the middle.
const LOW: HashRange = { start: 0n, end: 2n ** 127n - 1n };
const HIGH: HashRange = { start: 2n ** 127n, end: 2n ** 128n - 1n };

const inRange = ({ start, end }: HashRange): string[] =>
  Array.from({ length: 100 }, (_, i) => `order-${i}`).filter((key) => {
    const hashKey = hashKeyOf(key);
    return start <= hashKey && hashKey <= end;
  });
const [low, alsoLow] = inRange(LOW) as [string, string];
const [high, alsoHigh] = inRange(HIGH) as [string, string];

const SequenceNumber = '4959';
const told = (range: HashRange | null, PartitionKey: string | undefined, Data: Uint8Array) =>
  deaggregate({ SequenceNumber, Data, PartitionKey }, range).map(({ subSequenceNumber, key }) => [
    subSequenceNumber,
    key,
  ]);

/** As the KPL made it before the split, and then sent it to where its first message belongs. */
function aggregate(keys: readonly string[]): Uint8Array {
  return sealed(...keys.map(keyEntry), ...keys.map((_, index) => entry(index, 'data')));
}

describe('an aggregate of the KPL that a split has overtaken', () => {
  it('leaves out what belongs to the sibling, and keeps the rest with its numbers', () => {
    const data = aggregate([low, high, alsoLow, alsoHigh]);
    expect(told(LOW, 'a', data)).toEqual([
      [0, low],
      [2, alsoLow],
    ]);
  });

  it('and its copies in the sibling together have each message that was out of place once', () => {
    // The KPL sends again what is outside the range of the shard that took it: version 1.0.7, retrier.cc.
    const first = told(LOW, 'a', aggregate([low, high, alsoLow, alsoHigh]));
    const again = told(HIGH, 'a', aggregate([high, alsoHigh]));
    expect([...first, ...again].map(([, key]) => key).sort()).toEqual([low, high, alsoLow, alsoHigh].sort());
  });

  it('goes by the explicit hash key where a message has one, whatever its key', () => {
    const data = sealed(
      ...[low, high].map(keyEntry),
      ...[HIGH.start, LOW.end].map((hashKey) => hashKeyEntry(String(hashKey))),
      entry(0, 'by its key'),
      entry(0, 'out of place', { hashKey: 0 }),
      entry(1, 'in place', { hashKey: 1 }),
      entry(1, 'out of place by its key'),
    );
    expect(told(LOW, 'a', data)).toEqual([
      [0, low],
      [2, high],
    ]);
  });

  it('has both ends of the range in it', () => {
    const hashKey = hashKeyOf(high);
    const data = aggregate([high, low]);
    expect(told({ start: hashKey, end: hashKey }, 'a', data)).toEqual([[0, high]]);
    expect(told({ start: hashKey - 1n, end: hashKey + 1n }, 'a', data)).toEqual([[0, high]]);
  });

  it('keeps what has no hash key that can be read: it can be nowhere else', () => {
    const data = sealed(
      ...[low, high].map(keyEntry),
      ...['', '-1', String(2n ** 128n)].map(hashKeyEntry),
      entry(0, 'first'),
      ...[0, 1, 2].map((hashKey) => entry(1, 'unreadable', { hashKey })),
    );
    expect(told(LOW, 'a', data)).toHaveLength(4);
  });

  it('is kept whole where the range is not known, or keys do not matter', () => {
    expect(told(null, 'a', aggregate([low, high]))).toHaveLength(2);
  });

  it('is kept whole in the range of the shard that it was made for', () => {
    expect(told({ start: 0n, end: HIGH.end }, 'a', aggregate([low, high]))).toHaveLength(2);
  });
});

describe('an aggregate that the KPL did not make', () => {
  // These know of no shards and send nothing again: what is left out would be lost.
  it('is kept whole, wherever its keys belong: it goes by the key of its first message', () => {
    expect(told(LOW, low, aggregate([low, high]))).toHaveLength(2);
    expect(told(LOW, 'no key of a message', aggregate([low, high]))).toHaveLength(2);
    expect(told(LOW, undefined, aggregate([low, high]))).toHaveLength(2);
  });

  it("is kept whole where its first message has by chance the key of the KPL's aggregates", () => {
    expect(told(LOW, 'a', aggregate(['a', high]))).toHaveLength(2);
  });

  it('is kept whole where its first message is out of place, as in a stream that ignores keys', () => {
    expect(told(LOW, 'a', aggregate([high, low]))).toHaveLength(2);
  });

  it('is never parted where it is ours, into whatever shards its stream is split', () => {
    const shared = String(HIGH.start + 5n);
    for (const hashKey of [undefined, shared]) {
      const aggregator = createAggregator({ maxBytes: 1_000 });
      const keys = hashKey === undefined ? ['a', 'a', 'a'] : ['a', low, high];
      for (const key of keys) aggregator.add(key, Buffer.from('data'), hashKey);
      const { Data, PartitionKey, ExplicitHashKey } = aggregator.finish()!;
      const own = ExplicitHashKey === undefined ? hashKeyOf(PartitionKey) : BigInt(ExplicitHashKey);
      expect(told({ start: own, end: own }, PartitionKey, Data).map(([, key]) => key)).toEqual(keys);
    }
  });
});
