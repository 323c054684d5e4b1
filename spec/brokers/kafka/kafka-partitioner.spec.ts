import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import kafkajs from 'kafkajs';
import { partitionOfKey } from '../../../lib/brokers/kafka/kafka-partitioner.js';
import { randomSeed } from '../../support/seed.js';

const seed = randomSeed();

describe(`partitionOfKey (seed ${seed})`, () => {
  it("chooses as kafkajs' DefaultPartitioner does, for any key and any number of partitions", () => {
    const partitioner = kafkajs.Partitioners.DefaultPartitioner();
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 64 }),
          fc.string({ unit: 'binary' }).map((text) => Buffer.from(text)),
        ),
        fc.integer({ min: 1, max: 300 }),
        (bytes, partitions) => {
          const key = Buffer.from(bytes);
          const partitionMetadata = Array.from({ length: partitions }, (_, partitionId) => ({
            partitionId,
            leader: 1,
            replicas: [],
            isr: [],
            partitionErrorCode: 0,
          }));
          const theirs = partitioner({ topic: 't', partitionMetadata, message: { key, value: null } });
          expect(partitionOfKey(bytes, partitions)).toBe(theirs);
        },
      ),
      { seed, numRuns: 2_000 },
    );
  });

  it.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('hashes %j as the Java client does in its own tests', (key, hash) => {
    expect(partitionOfKey(Buffer.from(key), 2 ** 31)).toBe(hash & 0x7fffffff);
  });
});
