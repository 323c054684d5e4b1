import { describe, expect, it } from '@jest/globals';
import {
  decodeCheckpoint,
  encodeCheckpoint,
  isDone,
  isEnd,
  isUntouched,
  type Checkpoint,
} from '../../../lib/brokers/kinesis/kinesis-checkpoint.js';

const LONG = '4'.padEnd(56, '9');

const KEPT: readonly (readonly [Checkpoint, string])[] = [
  [{ kind: 'oldest' }, 'TRIM_HORIZON'],
  [{ kind: 'time', ms: 0 }, 'AT_TIMESTAMP 0'],
  [{ kind: 'time', ms: 1_763_000_000_000 }, 'AT_TIMESTAMP 1763000000000'],
  [{ kind: 'at', sequenceNumber: LONG, subSequenceNumber: null }, `AT ${LONG}`],
  [{ kind: 'after', sequenceNumber: LONG, subSequenceNumber: null }, `AFTER ${LONG}`],
  [{ kind: 'after', sequenceNumber: LONG, subSequenceNumber: 0 }, `AFTER ${LONG}/0`],
  [{ kind: 'at', sequenceNumber: '0', subSequenceNumber: 999_999_999 }, 'AT 0/999999999'],
  [{ kind: 'end' }, 'SHARD_END'],
];

describe('a checkpoint of Kinesis', () => {
  it.each(KEPT)('is kept as text: %j', (checkpoint, text) => {
    expect(encodeCheckpoint(checkpoint)).toBe(text);
    expect(decodeCheckpoint(text)).toEqual(checkpoint);
  });

  it('fits into a lease at its longest', () => {
    const longest = { kind: 'after', sequenceNumber: '9'.repeat(129), subSequenceNumber: 999_999_999 } as const;
    expect(encodeCheckpoint(longest).length).toBeLessThanOrEqual(200);
    expect(decodeCheckpoint(encodeCheckpoint(longest))).toEqual(longest);
  });

  it.each([
    '',
    'LATEST',
    'trim_horizon',
    ' SHARD_END',
    'AT_TIMESTAMP',
    'AT_TIMESTAMP -5',
    'AT_TIMESTAMP 1.5',
    'AFTER',
    'AFTER -1',
    'AFTER 1/',
    'AFTER 1/-1',
    'AFTER 1/2/3',
    'AFTER 1\n',
    `AFTER ${'1'.repeat(130)}`,
    'AFTER 0x1f',
  ])('is none that was written: %j', (text) => {
    expect(decodeCheckpoint(text)).toBe(null);
  });

  it('tells what comes before it by number, not by text', () => {
    const after = { kind: 'after', sequenceNumber: '100', subSequenceNumber: null } as const;
    expect(isDone(after, { sequenceNumber: '99', subSequenceNumber: null })).toBe(true);
    expect(isDone(after, { sequenceNumber: '100', subSequenceNumber: null })).toBe(true);
    expect(isDone(after, { sequenceNumber: '100', subSequenceNumber: 7 })).toBe(true);
    expect(isDone(after, { sequenceNumber: '1000', subSequenceNumber: null })).toBe(false);
  });

  it.each([
    ['at', null, [false, false, false]],
    ['at', 1, [true, false, false]],
    ['after', 1, [true, true, false]],
    ['after', null, [true, true, true]],
  ] as const)('tells what of an aggregate is done: %s %s', (kind, subSequenceNumber, done) => {
    const checkpoint: Checkpoint = { kind, sequenceNumber: '5', subSequenceNumber };
    expect([0, 1, 2].map((sub) => isDone(checkpoint, { sequenceNumber: '5', subSequenceNumber: sub }))).toEqual(done);
  });

  it('holds nothing as done where it is no place', () => {
    for (const text of ['TRIM_HORIZON', 'AT_TIMESTAMP 5', 'SHARD_END']) {
      expect(isDone(decodeCheckpoint(text) as Checkpoint, { sequenceNumber: '1', subSequenceNumber: null })).toBe(
        false,
      );
    }
  });

  it('knows what is at its end and what nobody has begun', () => {
    expect(KEPT.filter(([, text]) => isEnd(text)).map(([, text]) => text)).toEqual(['SHARD_END']);
    expect(KEPT.filter(([, text]) => !isUntouched(text)).map(([{ kind }]) => kind)).toEqual(['after', 'after', 'end']);
  });
});
