import { asyncScheduler, defer, finalize, map, NEVER, of, throwError, timer, type Observable } from 'rxjs';
import type {
  KinesisCallOptions,
  KinesisClientLike,
  KinesisEntryLike,
  KinesisPutResultLike,
} from '../../lib/brokers/kinesis/kinesis-client.js';
import { sdkError } from './kinesis-fake-errors.js';
import { fakeStream, hashKeyOf, shardId, type FakeStream } from './kinesis-fake-stream.js';

export interface PutRecord {
  readonly key: string;
  readonly value: string;
  readonly hashKey: string | undefined;
  readonly data: Uint8Array;
}

/** What `putRecords` does to a record: stores it, or says why not; `lost` stores it and says that it did not. */
export type Verdict = 'stored' | 'lost' | 'ProvisionedThroughputExceededException' | (string & {});

/**
 * The worst that `putRecords` may do, in virtual time: it stores the records of a request one by one, halfway to its answer,
 * in whatever order, leaves out any of them, and may fail as a whole where all is stored. Each is the spec's to decide.
 * For the limits and failures of the service itself see `fakeKinesis`.
 */
export interface PutFake {
  readonly client: KinesisClientLike;
  readonly stream: FakeStream;
  readonly requests: { readonly at: number; readonly records: readonly PutRecord[] }[];
  /** In the order in which they were stored, over all shards. */
  readonly stored: (PutRecord & { readonly sequenceNumber: string; readonly shard: string })[];
  readonly calls: {
    readonly describe: number;
    readonly underWay: number;
    readonly most: number;
    readonly aborted: number;
  };
  /** Between a request and its answer. */
  latencyMs: () => number;
  judge: (record: PutRecord, request: number) => Verdict;
  /** The order in which the records of a request are stored. */
  shuffle: (records: readonly number[]) => readonly number[];
  /** What a request as a whole fails with, or null; it may have been stored all the same. */
  fail: (
    records: readonly PutRecord[],
    request: number,
  ) => { readonly error: unknown; readonly stored?: boolean } | 'never' | null;
  /** What a look at the stream fails with, or null. */
  failDescribe: Error | null;
}

/** A failure that the service answers with, by another status than that of its name. */
export function httpError(name: string, httpStatusCode: number): Error {
  return Object.assign(sdkError({ name }), { $metadata: { httpStatusCode } });
}

export function putFake(): PutFake {
  const calls = { describe: 0, underWay: 0, most: 0, aborted: 0 };
  const stream = fakeStream('orders', 4, () => 1);

  const store = (record: PutRecord): KinesisPutResultLike => {
    const shard = stream.shardOf(record.hashKey === undefined ? hashKeyOf(record.key) : BigInt(record.hashKey));
    const [sequenceNumber = ''] = stream.append(shard.number, { key: record.key, data: record.data });
    fake.stored.push({ ...record, sequenceNumber, shard: shardId(shard.number) });
    return { SequenceNumber: sequenceNumber, ShardId: shard.id };
  };

  const answer = (records: readonly PutRecord[], request: number): KinesisPutResultLike[] => {
    const results = new Array<KinesisPutResultLike>(records.length);
    for (const index of fake.shuffle([...records.keys()])) {
      const record = records[index] as PutRecord;
      const verdict = fake.judge(record, request);
      const result = verdict === 'stored' || verdict === 'lost' ? store(record) : { ErrorCode: verdict };
      results[index] = verdict === 'lost' ? { ErrorCode: 'InternalFailure' } : result;
    }
    return results;
  };

  const put = (entries: readonly KinesisEntryLike[], options: KinesisCallOptions | undefined): Observable<unknown> =>
    defer(() => {
      const records = entries.map(({ PartitionKey, ExplicitHashKey, Data }) => ({
        key: PartitionKey,
        value: new TextDecoder().decode(Data),
        hashKey: ExplicitHashKey,
        data: Data,
      }));
      const request = fake.requests.push({ at: asyncScheduler.now(), records }) - 1;
      const failure = fake.fail(records, request);
      calls.most = Math.max(calls.most, ++calls.underWay);
      options?.abortSignal?.addEventListener('abort', () => calls.aborted++);
      if (failure === 'never') return NEVER;
      const latencyMs = fake.latencyMs();
      let results: KinesisPutResultLike[] = [];
      const storing = timer(latencyMs / 2).subscribe(() => {
        if (failure === null || failure.stored === true) results = answer(records, request);
      });
      return timer(latencyMs).pipe(
        map(() => {
          if (failure !== null) throw failure.error;
          return { FailedRecordCount: results.filter((one) => one.ErrorCode !== undefined).length, Records: results };
        }),
        finalize(() => storing.unsubscribe()),
      );
    }).pipe(finalize(() => calls.underWay--));

  const fake: PutFake = {
    client: {
      putRecords: ({ Records }: { Records: KinesisEntryLike[] }, options?: KinesisCallOptions) => put(Records, options),
      describeStreamSummary: () =>
        defer(() => {
          calls.describe++;
          const { failDescribe } = fake;
          return failDescribe === null ? of({ StreamDescriptionSummary: undefined }) : throwError(() => failDescribe);
        }),
    } as never,
    stream,
    requests: [],
    stored: [],
    calls,
    latencyMs: () => 10,
    judge: () => 'stored',
    shuffle: (records) => records,
    fail: () => null,
    failDescribe: null,
  };
  return fake;
}
