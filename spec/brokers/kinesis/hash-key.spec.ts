import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { hashKeyOf, hashRange, isWithin, parseHashKey } from '../../../lib/brokers/kinesis/hash-key.js';
import { randomSeed } from '../../support/seed.js';

const seed = randomSeed();
const LAST = 2n ** 128n - 1n;

describe(`hash keys (seed ${seed})`, () => {
  it('are the MD5 of a partition key in UTF-8, as an unsigned number of 128 bits', () => {
    expect(hashKeyOf('a')).toBe(0x0cc175b9c0f1b6a831c399e269772661n);
    expect(hashKeyOf('b')).toBe(0x92eb5ffee6ae2fec3ad71c777531578fn);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 256 }), (key) => {
        const digest = createHash('md5').update(Buffer.from(key)).digest('hex');
        expect(hashKeyOf(key)).toBe(BigInt(`0x${digest}`));
      }),
      { seed, numRuns: 1_000 },
    );
  });

  it('are read from decimal text of at most 128 bits', () => {
    expect(parseHashKey('0')).toBe(0n);
    expect(parseHashKey(String(LAST))).toBe(LAST);
  });

  it.each([undefined, '', ' 1', '1 ', '-1', '+1', '1.5', '0x10', '1e3', '１', String(LAST + 1n), '9'.repeat(40)])(
    'are not read from %j',
    (text) => {
      expect(parseHashKey(text)).toBeNull();
    },
  );
});

describe('hashRange', () => {
  it('has both of its ends in it', () => {
    const range = hashRange({ StartingHashKey: '10', EndingHashKey: '20' });
    expect(range).toEqual({ start: 10n, end: 20n });
    expect([9n, 10n, 15n, 20n, 21n].map((hashKey) => isWithin(range!, hashKey))).toEqual([
      false,
      true,
      true,
      true,
      false,
    ]);
  });

  it.each([
    undefined,
    { StartingHashKey: undefined, EndingHashKey: '20' },
    { StartingHashKey: '10', EndingHashKey: undefined },
    { StartingHashKey: '10', EndingHashKey: 'twenty' },
  ])('is none where a shard tells %j', (told) => {
    expect(hashRange(told)).toBeNull();
  });
});
