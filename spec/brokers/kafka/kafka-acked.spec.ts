import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeAcked, encodeAcked } from '../../../lib/brokers/kafka/kafka-acked.js';
import { randomSeed } from '../../support/seed.js';

const seed = randomSeed();
const MOST_BYTES = 4_096;

/** Offsets above a committed one, by gaps: dense, sparse, in long runs, far away. */
const acked = fc
  .tuple(
    fc.bigInt({ min: 0n, max: 2n ** 62n }),
    fc.array(
      fc.record({ gap: fc.oneof(fc.nat(3), fc.nat(200), fc.nat(2 ** 31)), length: fc.integer({ min: 1, max: 40 }) }),
      {
        maxLength: 1_000,
        size: 'max',
      },
    ),
  )
  .map(([committed, runs]) => {
    const offsets: bigint[] = [];
    let next = committed + 1n;
    for (const { gap, length } of runs) {
      next += BigInt(gap);
      for (let i = 0; i < length; i++) offsets.push(next++);
    }
    return { committed, offsets };
  });

describe(`acks above the committed offset, as metadata (seed ${seed})`, () => {
  it('come back as a beginning of what was given, never over what a broker takes', () => {
    fc.assert(
      fc.property(acked, ({ committed, offsets }) => {
        const metadata = encodeAcked(committed, offsets);
        expect(Buffer.byteLength(metadata)).toBeLessThanOrEqual(MOST_BYTES);
        const decoded = [...decodeAcked(committed, metadata)];
        expect(decoded).toEqual(offsets.slice(0, decoded.length).map(String));
        expect(decoded.length > 0).toBe(offsets.length > 0);
      }),
      { seed, numRuns: 30 },
    );
  });

  it('all come back where they fit: within 24,480 offsets of it, or in 1,000 runs', () => {
    const within = fc.uniqueArray(fc.integer({ min: 1, max: 24_479 }), { maxLength: 2_000, size: 'max' });
    fc.assert(
      fc.property(within, fc.bigInt({ min: 0n, max: 2n ** 62n }), (distances, committed) => {
        const offsets = distances.sort((a, b) => a - b).map((distance) => committed + BigInt(distance));
        expect([...decodeAcked(committed, encodeAcked(committed, offsets))]).toEqual(offsets.map(String));
      }),
      { seed, numRuns: 30 },
    );
    const runs = Array.from({ length: 1_000 }, (_, run) => Array.from({ length: 100 }, (_, i) => run * 228 + 1 + i));
    const offsets = runs.flat().map(BigInt);
    expect(decodeAcked(0n, encodeAcked(0n, offsets)).size).toBe(100_000);
  });

  it('are as many as fit where not all do', () => {
    const alternate = Array.from({ length: 50_000 }, (_, i) => BigInt(i * 2 + 1));
    const metadata = encodeAcked(0n, alternate);
    expect(metadata.length).toBeGreaterThan(4_080);
    expect(decodeAcked(0n, metadata).size).toBe(12_240);
  });

  it('are none where there are none, or where the metadata is not ours', () => {
    expect(encodeAcked(7n, [])).toBe('');
    const foreign = [
      '',
      null,
      undefined,
      'rxsluice:2:b:/w==',
      'event-id-3',
      'rxsluice:1',
      'rxsluice:1:',
      'rxsluice:1:x:/w==',
    ];
    for (const metadata of foreign) expect(decodeAcked(7n, metadata).size).toBe(0);
    fc.assert(
      fc.property(fc.string({ maxLength: 200, unit: 'binary' }), (metadata) => {
        expect(decodeAcked(7n, metadata).size).toBe(0);
      }),
      { seed },
    );
  });

  it('are bounded, whatever is written in our name', () => {
    const endless = Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).toString('base64');
    expect(decodeAcked(7n, `rxsluice:1:r:${endless}`).size).toBeLessThanOrEqual(250_000);
    fc.assert(
      fc.property(fc.constantFrom('b', 'r'), fc.uint8Array({ maxLength: 3_060 }), (form, bytes) => {
        const decoded = decodeAcked(7n, `rxsluice:1:${form}:${Buffer.from(bytes).toString('base64')}`);
        expect(decoded.size).toBeLessThanOrEqual(250_000);
      }),
      { seed, numRuns: 10 },
    );
  });
});
