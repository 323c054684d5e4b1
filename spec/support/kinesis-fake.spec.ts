import { describe, expect, it } from '@jest/globals';
import { concatMap, type Observable } from 'rxjs';
import type { KinesisIteratorType, KinesisPageLike } from '../../lib/brokers/kinesis/kinesis-client.js';
import { fakeKinesis, type FakeKinesis } from './kinesis-fake.js';
import { shardId } from './kinesis-fake-stream.js';
import { marbles } from './marbles.js';
import { call, within } from './virtual-call.js';

const iteratorOf = (kinesis: FakeKinesis, shard: number, type: KinesisIteratorType = 'TRIM_HORIZON', more = {}) =>
  call(() => kinesis.getShardIterator({ StreamName: 's', ShardId: shardId(shard), ShardIteratorType: type, ...more }));

/** The page of a shard from its beginning on. */
const pageOf = (kinesis: FakeKinesis, shard: number, more: { Limit?: number } = {}): Observable<KinesisPageLike> =>
  iteratorOf(kinesis, shard).pipe(
    concatMap(({ ShardIterator = '' }) => kinesis.getRecords({ ShardIterator, ...more })),
  );

const dataOf = (page: KinesisPageLike | string | undefined): string[] =>
  ((page as KinesisPageLike).Records ?? []).map(({ Data }) => Buffer.from(Data ?? []).toString());

describe('a call to the fake Kinesis', () => {
  it('takes effect at once and is answered after its latency', () => {
    marbles(({ drive, advanceTo }) => {
      const kinesis = fakeKinesis();
      kinesis.latencyMs = 7;
      const Records = [{ Data: Buffer.from('a'), PartitionKey: 'k' }];
      const put = drive(call(() => kinesis.putRecords({ StreamName: 's', Records })));
      expect(kinesis.stream('s').shards.get(0)?.records).toHaveLength(1);
      advanceTo(6);
      expect([put.values.length, kinesis.openCalls().length]).toEqual([0, 1]);
      advanceTo(7);
      expect([put.values.length, put.completed, kinesis.openCalls().length]).toEqual([1, true, 0]);
    });
  });

  it('goes on where nobody listens, and tells those who listen later', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      kinesis.latencyMs = ({ operation }) => (operation === 'listShards' ? 5 : 1);
      const answer = kinesis.listShards({ StreamName: 's' });
      expect(kinesis.calls).toMatchObject([{ operation: 'listShards', outcome: 'open', at: 0 }]);
      help.advanceTo(5);
      expect(kinesis.calls).toMatchObject([{ outcome: 'answered' }]);
      expect(
        within(
          help,
          0,
          call(() => answer),
        ),
      ).toMatchObject({ Shards: [{ ShardId: shardId(0) }] });
      expect(kinesis.calls).toHaveLength(1);
    });
  });

  it('may be awaited outside of virtual time', async () => {
    const kinesis = fakeKinesis();
    await expect(kinesis.describeStreamSummary({ StreamName: 's' })).resolves.toMatchObject({
      StreamDescriptionSummary: { StreamName: 's', RetentionPeriodHours: 24 },
    });
    await expect(kinesis.listShards({ StreamName: 'none' })).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      $fault: 'client',
      $metadata: { httpStatusCode: 400, attempts: 1 },
    });
  });

  it('fails as often as it is told to, the earliest fault first, and where the fault fits', () => {
    marbles((help) => {
      const kinesis = fakeKinesis({ s: 2 });
      const other = ({ shard }: { readonly shard: string | undefined }): boolean => shard === shardId(1);
      kinesis.fail('getShardIterator', { name: 'InternalFailureException', when: other });
      kinesis.fail('getShardIterator', { name: 'ProvisionedThroughputExceededException', times: 2 });
      kinesis.fail('getShardIterator', { code: 'ETIMEDOUT' });
      const outcomes = [0, 1, 0, 0, 0].map((shard) => within(help, 1, iteratorOf(kinesis, shard)));
      expect(outcomes).toEqual([
        'ProvisionedThroughputExceededException',
        'InternalFailureException',
        'ProvisionedThroughputExceededException',
        'TimeoutError',
        { ShardIterator: expect.any(String) },
      ]);
      expect(kinesis.callsOf('getShardIterator', shardId(1))).toMatchObject([{ outcome: 'InternalFailureException' }]);
    });
  });

  it('may take effect and lose its answer', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      kinesis.fail('putRecords', { code: 'ECONNRESET', done: true });
      const Records = [{ Data: Buffer.from('a'), PartitionKey: 'k' }];
      expect(
        within(
          help,
          1,
          call(() => kinesis.putRecords({ StreamName: 's', Records })),
        ),
      ).toBe('TimeoutError');
      expect(dataOf(within(help, 2, pageOf(kinesis, 0)))).toEqual(['a']);
    });
  });

  it('that hangs ends when it is cut off, later than the cut', () => {
    marbles(({ drive, advanceTo }) => {
      const kinesis = fakeKinesis();
      kinesis.hang('listShards');
      const cut = new AbortController();
      const list = call(() => kinesis.listShards({ StreamName: 's' }, { abortSignal: cut.signal }));
      const hanging = drive(list);
      advanceTo(200_000);
      expect(kinesis.openCalls()).toHaveLength(1);
      cut.abort();
      expect([hanging.error, kinesis.openCalls().length]).toEqual([undefined, 0]);
      advanceTo(200_000);
      expect(hanging.error).toMatchObject({ name: 'AbortError', message: 'Request aborted' });
      const late = drive(list);
      expect(late.error).toBeUndefined();
      advanceTo(200_000);
      expect(late.error).toMatchObject({ name: 'AbortError' });
    });
  });
});

describe('a shard of the fake Kinesis', () => {
  it('answers five reads in any second, and counts how many were asked', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      const { ShardIterator = '' } = within(help, 1, iteratorOf(kinesis, 0)) as { ShardIterator?: string };
      const read = (): unknown =>
        within(
          help,
          100,
          call(() => kinesis.getRecords({ ShardIterator })),
        );
      const outcomes = Array.from({ length: 12 }, () => typeof read() === 'object');
      expect(outcomes.map(Number)).toEqual([1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1]);
      expect(kinesis.readsPerSecond(shardId(0))).toBe(10);
    });
  });

  it('gives 10 MiB a page, and then nothing for five seconds', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      kinesis.stream('s').append(0, ...Array.from({ length: 12 }, () => new Uint8Array(2 ** 20 - 1)));
      const page = within(help, 2, pageOf(kinesis, 0)) as KinesisPageLike;
      expect(page.Records).toHaveLength(10);
      const next = { ShardIterator: page.NextShardIterator ?? '' };
      const read = (ms: number): unknown =>
        within(
          help,
          ms,
          call(() => kinesis.getRecords(next)),
        );
      expect(read(4_999)).toBe('ProvisionedThroughputExceededException');
      expect(read(1)).toMatchObject({ MillisBehindLatest: 0, Records: { length: 2 } });
    });
  });

  it('tells how far behind a page is, and may give an empty one before the end', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      kinesis.stream('s').append(0, 'a');
      help.advanceTo(500);
      kinesis.stream('s').append(0, 'b');
      help.advanceTo(2_000);
      kinesis.emptyPages = 1;
      expect(within(help, 2, pageOf(kinesis, 0))).toMatchObject({ Records: [], MillisBehindLatest: 2_001 });
      expect(within(help, 2, pageOf(kinesis, 0, { Limit: 1 }))).toMatchObject({ MillisBehindLatest: 2_003 });
      expect(dataOf(within(help, 2, pageOf(kinesis, 0)))).toEqual(['a', 'b']);
    });
  });

  it.each([
    ['last-records', true, [['a', 'end', [2, 3]]]],
    ['last-records', false, [['a', 'end', []]]],
    [
      'empty-page',
      true,
      [
        ['a', 'more', []],
        ['', 'end', [2, 3]],
      ],
    ],
  ] as const)('ends with %s; with its children: %s', (endOfShard, childShards, told) => {
    marbles((help) => {
      const kinesis = fakeKinesis({ s: 2 });
      Object.assign(kinesis, { endOfShard, childShards });
      kinesis.stream('s').append(0, 'a');
      kinesis.stream('s').split(0);
      const pages: KinesisPageLike[] = [];
      let page = within(help, 2, pageOf(kinesis, 0)) as KinesisPageLike;
      for (pages.push(page); page.NextShardIterator !== undefined; pages.push(page)) {
        const { NextShardIterator: ShardIterator } = page;
        page = within(
          help,
          1,
          call(() => kinesis.getRecords({ ShardIterator })),
        ) as KinesisPageLike;
      }
      expect(
        pages.map((one) => [
          dataOf(one).join(''),
          one.NextShardIterator === undefined ? 'end' : 'more',
          (one.ChildShards ?? []).map(({ ShardId }) => Number(ShardId?.slice(-3))),
        ]),
      ).toEqual(told);
    });
  });

  it('lets an iterator go after five minutes', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      const { ShardIterator = '' } = within(help, 1, iteratorOf(kinesis, 0)) as { ShardIterator?: string };
      help.advanceTo(300_000);
      expect(
        within(
          help,
          1,
          call(() => kinesis.getRecords({ ShardIterator })),
        ),
      ).toMatchObject({ Records: [] });
      expect(
        within(
          help,
          1,
          call(() => kinesis.getRecords({ ShardIterator })),
        ),
      ).toBe('ExpiredIteratorException');
    });
  });

  it('loses what retention has passed, and is gone when it was closed before that', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.retentionHours = 1 / 60;
      stream.append(0, 'a', 'b');
      stream.trim(0, 1);
      expect(dataOf(within(help, 2, pageOf(kinesis, 0)))).toEqual(['b']);
      stream.split(0);
      help.advanceTo(60_001);
      expect(dataOf(within(help, 2, pageOf(kinesis, 0)))).toEqual([]);
      expect(within(help, 1, pageOf(kinesis, 0))).toBe('ResourceNotFoundException');
      expect([...stream.shards.keys()]).toEqual([1, 2]);
    });
  });
});

describe('a stream of the fake Kinesis', () => {
  it('has sequence numbers of 56 digits that ascend in a shard and from parents to children', () => {
    const stream = fakeKinesis().stream('s');
    const numbers = stream.append(0, 'a', 'b', 'c');
    const [lower, upper] = stream.split(0);
    numbers.push(...stream.append(upper, 'd'), ...stream.append(stream.merge(lower, upper), 'e', 'f'));
    expect(numbers.map(({ length }) => length)).toEqual(numbers.map(() => 56));
    expect([...numbers].sort((a, b) => (BigInt(a) < BigInt(b) ? -1 : 1))).toEqual(numbers);
  });

  it('covers all hash keys once, whatever becomes of its shards', () => {
    const stream = fakeKinesis({ s: 3 }).stream('s');
    for (const count of [7, 2, 5, 1]) {
      stream.updateShardCount(count);
      const open = [...stream.shards.values()].filter(({ closedAt }) => closedAt === undefined);
      const ranges = open.map(({ hashKeys }) => hashKeys).sort(([a], [b]) => (a < b ? -1 : 1));
      expect(ranges).toHaveLength(count);
      expect([ranges[0]?.[0], ranges.at(-1)?.[1]]).toEqual([0n, 2n ** 128n - 1n]);
      ranges.slice(1).forEach(([first], index) => expect(first).toBe((ranges[index]?.[1] ?? 0n) + 1n));
    }
    expect([...stream.shards.values()].every(({ parents }) => parents.length <= 2)).toBe(true);
  });

  it('that is made again knows neither iterators nor sequence numbers of the one before', () => {
    marbles((help) => {
      const kinesis = fakeKinesis();
      const [StartingSequenceNumber] = kinesis.stream('s').append(0, 'a');
      const { ShardIterator = '' } = within(help, 1, iteratorOf(kinesis, 0)) as { ShardIterator?: string };
      kinesis.deleteStream('s');
      expect(
        within(
          help,
          1,
          call(() => kinesis.getRecords({ ShardIterator })),
        ),
      ).toBe('ResourceNotFoundException');
      kinesis.createStream('s').append(0, 'b');
      expect(
        within(
          help,
          1,
          call(() => kinesis.getRecords({ ShardIterator })),
        ),
      ).toBe('ResourceNotFoundException');
      const start = iteratorOf(kinesis, 0, 'AFTER_SEQUENCE_NUMBER', { StartingSequenceNumber });
      expect(within(help, 1, start)).toBe('InvalidArgumentException');
      expect(dataOf(within(help, 2, pageOf(kinesis, 0)))).toEqual(['b']);
    });
  });

  it('lists its shards in pages, whose tokens are let go after five minutes', () => {
    marbles((help) => {
      const kinesis = fakeKinesis({ s: 5 });
      kinesis.shardsPerPage = 2;
      const first = within(
        help,
        1,
        call(() => kinesis.listShards({ StreamName: 's' })),
      ) as { NextToken?: string };
      const { NextToken = '' } = first;
      expect(first).toMatchObject({ Shards: [{ ShardId: shardId(0) }, { ShardId: shardId(1) }] });
      expect(
        within(
          help,
          1,
          call(() => kinesis.listShards({ NextToken })),
        ),
      ).toMatchObject({
        Shards: [{ ShardId: shardId(2) }, { ShardId: shardId(3) }],
      });
      expect(
        within(
          help,
          1,
          call(() => kinesis.listShards({ StreamName: 's', NextToken })),
        ),
      ).toBe('InvalidArgumentException');
      help.advanceTo(300_001);
      expect(
        within(
          help,
          1,
          call(() => kinesis.listShards({ NextToken })),
        ),
      ).toBe('ExpiredNextTokenException');
    });
  });
});
