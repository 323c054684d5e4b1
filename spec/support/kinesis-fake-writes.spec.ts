import { describe, expect, it } from '@jest/globals';
import { concatMap, range, toArray } from 'rxjs';
import { fakeKinesis, type FakeKinesis } from './kinesis-fake.js';
import { shardId } from './kinesis-fake-stream.js';
import { marbles } from './marbles.js';
import { call, within } from './virtual-call.js';

const MIB = 2 ** 20;

describe('putRecords of the fake Kinesis', () => {
  const put = (kinesis: FakeKinesis, ...entries: readonly (readonly [key: string, bytes: number])[]) =>
    call(() =>
      kinesis.putRecords({
        StreamName: 's',
        Records: entries.map(([PartitionKey, bytes]) => ({ PartitionKey, Data: new Uint8Array(bytes) })),
      }),
    );

  it('refuses the entries that it is told to, and stores the others', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      kinesis.refuse({ when: ({ PartitionKey }) => PartitionKey === 'b', times: 2 });
      kinesis.refuse({ code: 'InternalFailure' });
      const entries = ['a', 'b', 'c', 'b', 'b'].map((key) => [key, 1] as const);
      expect(within(help, 1, put(kinesis, ...entries))).toMatchObject({
        FailedRecordCount: 3,
        Records: [
          { ErrorCode: 'InternalFailure' },
          { ErrorCode: 'ProvisionedThroughputExceededException', ErrorMessage: expect.stringContaining(shardId(0)) },
          { ShardId: shardId(0), SequenceNumber: expect.any(String) },
          { ErrorCode: 'ProvisionedThroughputExceededException' },
          { ShardId: shardId(0) },
        ],
      });
    });
  });

  it('takes 1,000 records and 1 MiB of a shard in a second', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      const failed = (answer: unknown): unknown => (answer as { FailedRecordCount: number }).FailedRecordCount;
      const many = Array.from({ length: 400 }, () => ['k', 1] as const);
      const counts = range(0, 3).pipe(
        concatMap(() => put(kinesis, ...many)),
        toArray(),
      );
      expect((within(help, 3, counts) as unknown[]).map(failed)).toEqual([0, 0, 200]);
      help.advanceTo(2_000);
      expect(failed(within(help, 1, put(kinesis, ['k', MIB / 2], ['k', MIB / 2], ['k', 1])))).toBe(1);
    });
  });

  it.each([
    ['no entries', []],
    ['501 entries', Array.from({ length: 501 }, () => ['k', 1] as const)],
    ['a key of 257 characters', [['k'.repeat(257), 1] as const]],
    ['a record of more than 1 MiB', [['k', MIB + 1] as const]],
  ])('refuses a call with %s', (_, entries) => {
    marbles((help) => expect(within(help, 1, put(fakeKinesis(), ...entries))).toBe('ValidationException'));
  });

  it('refuses a call of more than 10 MiB, or what it is told', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      kinesis.limits.writeBytesPerSecond = Infinity;
      const six = Array.from({ length: 6 }, () => ['k', MIB - 1] as const);
      expect(within(help, 1, put(kinesis, ...six))).toMatchObject({ FailedRecordCount: 0 });
      expect(within(help, 1, put(kinesis, ...six, ...six))).toBe('InvalidArgumentException');
      kinesis.limits.requestBytes = 5 * MIB;
      expect(within(help, 1, put(kinesis, ...six))).toBe('InvalidArgumentException');
    });
  });

  it('may refuse what is too large entry by entry', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      kinesis.tooLarge = 'entry';
      expect(within(help, 1, put(kinesis, ['k', MIB + 1], ['k', 1]))).toMatchObject({
        FailedRecordCount: 1,
        Records: [{ ErrorCode: 'InvalidArgumentException' }, { ShardId: shardId(0) }],
      });
    });
  });
});
