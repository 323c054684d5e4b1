import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hashKeyOf } from '../../../lib/brokers/kinesis/hash-key.js';
import type { KinesisEntryLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { createAggregator } from '../../../lib/brokers/kinesis/kpl-encode.js';
import { deaggregateByAws } from '../../support/aws-kinesis-agg.js';
import { entry, hashKeyEntry, keyEntry, sealed } from '../../support/kpl-wire.js';
import { randomSeed } from '../../support/seed.js';

const seed = randomSeed();
const MIB = 1024 * 1024;

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const weight = ({ Data, PartitionKey }: KinesisEntryLike): number => Data.length + Buffer.byteLength(PartitionKey);
const messagesOf = (record: KinesisEntryLike) =>
  deaggregate({ SequenceNumber: '1', ...record }, null).map(({ key, data }) => [
    key,
    Buffer.from(data).toString('hex'),
  ]);

const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 });
const data = fc.uint8Array({ maxLength: 400 });
const hashKey = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map(String);
/** Messages of one route: one key, or one explicit hash key. */
const run = fc.oneof(
  fc.record({
    hashKey: fc.constant(undefined),
    keys: fc.array(key, { minLength: 1, maxLength: 1 }),
    data: fc.array(data, { minLength: 1, maxLength: 60 }),
  }),
  fc.record({
    hashKey,
    keys: fc.array(key, { minLength: 1, maxLength: 200 }),
    data: fc.array(data, { minLength: 1, maxLength: 60 }),
  }),
);

describe(`createAggregator (seed ${seed})`, () => {
  it('writes what the format asks for', () => {
    const aggregator = createAggregator({ maxBytes: MIB });
    aggregator.add('lisboa', bytesOf('one'), '5');
    aggregator.add('são paulo', bytesOf('two'), '5');
    aggregator.add('lisboa', bytesOf(''), '5');
    expect(aggregator.finish()).toEqual({
      Data: sealed(
        keyEntry('lisboa'),
        keyEntry('são paulo'),
        hashKeyEntry('5'),
        entry(0, 'one', { hashKey: 0 }),
        entry(1, 'two', { hashKey: 0 }),
        entry(0, '', { hashKey: 0 }),
      ),
      PartitionKey: 'lisboa',
      ExplicitHashKey: '5',
    });
  });

  it('gives all back, in order, to our reader and to aws-kinesis-agg, and says before how much it weighs', () => {
    fc.assert(
      fc.property(run, ({ hashKey, keys, data }) => {
        const aggregator = createAggregator({ maxBytes: 10 * MIB });
        const added = data.map((bytes, i) => [keys[i % keys.length] as string, bytes] as const);
        for (const [index, [key, bytes]] of added.entries()) {
          expect(aggregator.add(key, bytes, hashKey)).toBe(true);
          expect(aggregator.count).toBe(index + 1);
        }
        const foretold = aggregator.bytes;
        const record = aggregator.finish() as KinesisEntryLike;
        expect(weight(record)).toBe(foretold);
        expect(record.PartitionKey).toBe(added[0]?.[0]);
        expect(record.ExplicitHashKey).toBe(hashKey);
        const all = added.map(([key, bytes]) => [key, Buffer.from(bytes).toString('hex')]);
        expect(messagesOf(record)).toEqual(all);
        if (all.length === 1) return;
        const theirs = deaggregateByAws(record.Data);
        expect(theirs.map((each) => [each.PartitionKey, Buffer.from(each.Data, 'base64').toString('hex')])).toEqual(
          all,
        );
        expect(new Set(theirs.map((each) => each.ExplicitPartitionKey))).toEqual(new Set([hashKey]));
      }),
      { seed, numRuns: 500 },
    );
  });

  it('takes messages until the next one would pass maxBytes, to the byte, and begins again after that', () => {
    fc.assert(
      fc.property(run, fc.integer({ min: 60, max: 3_000 }), ({ hashKey, keys, data }, maxBytes) => {
        const aggregator = createAggregator({ maxBytes });
        const roomy = createAggregator({ maxBytes: 10 * MIB });
        for (const [i, bytes] of data.entries()) {
          const key = keys[i % keys.length] as string;
          roomy.add(key, bytes, hashKey);
          const before = [aggregator.count, aggregator.bytes];
          if (aggregator.add(key, bytes, hashKey)) {
            expect(aggregator.bytes).toBe(roomy.bytes);
            expect(aggregator.bytes).toBeLessThanOrEqual(maxBytes);
            continue;
          }
          expect([aggregator.count, aggregator.bytes]).toEqual(before);
          expect(roomy.bytes).toBeGreaterThan(maxBytes);
          if (aggregator.count > 0) expect(weight(aggregator.finish() as KinesisEntryLike)).toBe(before[1]);
          roomy.finish();
          expect([aggregator.count, aggregator.bytes]).toEqual([0, 0]);
        }
      }),
      { seed, numRuns: 500 },
    );
  });

  it('counts right where a length or an index takes one byte more', () => {
    const of = (sizes: readonly number[], keys: number): void => {
      const aggregator = createAggregator({ maxBytes: 20 * MIB });
      for (const [i, size] of sizes.entries()) aggregator.add(`k${i % keys}`, new Uint8Array(size), '7');
      const foretold = aggregator.bytes;
      const record = aggregator.finish() as KinesisEntryLike;
      expect(weight(record)).toBe(foretold);
      expect(deaggregate({ SequenceNumber: '1', ...record }, null)).toHaveLength(sizes.length);
    };
    for (let size = 100; size < 140; size++) of([size, size], 1);
    for (let size = 16_370; size < 16_400; size++) of([size, size], 1);
    for (let size = 2_097_130; size < 2_097_160; size += 3) of([size, 1], 1);
    of(Array<number>(300).fill(1), 300);
    of(Array<number>(17_000).fill(0), 17_000);
  });

  it('takes one key alone without an explicit hash key, and one explicit hash key with any keys', () => {
    const aggregator = createAggregator({ maxBytes: MIB });
    const one = bytesOf('1');
    expect(aggregator.add('a', one)).toBe(true);
    expect(aggregator.add('b', one)).toBe(false);
    expect(aggregator.add('a', one, '5')).toBe(false);
    expect(aggregator.add('a', one)).toBe(true);
    expect(aggregator.finish()).toMatchObject({ PartitionKey: 'a' });
    expect(aggregator.add('b', one, '5')).toBe(true);
    expect(aggregator.add('b', one)).toBe(false);
    expect(aggregator.add('b', one, '6')).toBe(false);
    expect(aggregator.add('a', one, '5')).toBe(true);
    expect(aggregator.count).toBe(2);
    expect(aggregator.finish()).toMatchObject({ PartitionKey: 'b', ExplicitHashKey: '5' });
  });

  it('sends a message that is alone as it is, under its own key', () => {
    const aggregator = createAggregator({ maxBytes: 9 });
    const data = bytesOf('alone');
    expect(aggregator.add('lone', data)).toBe(true);
    expect(aggregator.bytes).toBe(9);
    const record = aggregator.finish();
    expect(record).toEqual({ Data: data, PartitionKey: 'lone' });
    expect(record?.Data).toBe(data);
  });

  it('wraps a message that is alone where a reader would take it for an aggregate', () => {
    const inner = sealed(keyEntry('inner'), entry(0, 'x'));
    const aggregator = createAggregator({ maxBytes: inner.length + 100 });
    aggregator.add('outer', inner);
    const foretold = aggregator.bytes;
    const record = aggregator.finish() as KinesisEntryLike;
    expect(weight(record)).toBe(foretold);
    expect(messagesOf(record)).toEqual([['outer', Buffer.from(inner).toString('hex')]]);
    expect(createAggregator({ maxBytes: inner.length + 5 }).add('outer', inner)).toBe(false);
  });

  it('refuses a message that fits no record, and has none to give then', () => {
    const aggregator = createAggregator({ maxBytes: 8 });
    expect(aggregator.add('lone', bytesOf('alone'))).toBe(false);
    expect([aggregator.count, aggregator.bytes, aggregator.finish()]).toEqual([0, 0, null]);
  });

  it('leaves the bytes that it was given alone', () => {
    const aggregator = createAggregator({ maxBytes: MIB });
    const data = bytesOf('mine');
    aggregator.add('k', data);
    aggregator.add('k', data);
    const record = aggregator.finish() as KinesisEntryLike;
    record.Data.fill(0);
    expect(data).toEqual(bytesOf('mine'));
  });

  it('fills records with many keys by one explicit hash key for 1 of 256 of them, where a key always goes the same way', () => {
    const routeOf = (key: string): string => String((hashKeyOf(key) >> 120n) << 120n);
    const routes = new Map<string, ReturnType<typeof createAggregator>>();
    const keys = Array.from({ length: 2_000 }, (_, i) => `order-${i % 1_000}`);
    for (const key of keys) {
      const route = routeOf(key);
      const aggregator = routes.get(route) ?? createAggregator({ maxBytes: MIB });
      routes.set(route, aggregator);
      expect(aggregator.add(key, bytesOf(key), route)).toBe(true);
    }
    const records = [...routes.values()].map((aggregator) => aggregator.finish() as KinesisEntryLike);
    expect(records.length).toBeLessThanOrEqual(256);
    expect(
      records
        .flatMap(messagesOf)
        .map(([key]) => key)
        .sort(),
    ).toEqual([...keys].sort());
  });
});
