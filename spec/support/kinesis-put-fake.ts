import { defer, finalize, map, NEVER, of, throwError, timer, type Observable } from 'rxjs';
import { asyncScheduler } from 'rxjs';
import { hashOf } from '../../lib/core/hash.js';
import type {
  KinesisCallOptions,
  KinesisClientLike,
  KinesisEntryLike,
  KinesisPutResultLike,
} from '../../lib/brokers/kinesis/kinesis-client.js';

export interface PutRecord {
  readonly key: string;
  readonly value: string;
  readonly hashKey: string | undefined;
  readonly data: Uint8Array;
}

/** What `putRecords` does to a record: stores it, or says why not; `lost` stores it and says that it did not. */
export type Verdict = 'stored' | 'lost' | 'ProvisionedThroughputExceededException' | (string & {});

/** A stream to publish to, in virtual time; every decision is the spec's. */
export interface PutFake {
  readonly client: KinesisClientLike;
  readonly requests: { readonly at: number; readonly records: readonly PutRecord[] }[];
  /** In the order in which they were stored, over all shards. */
  readonly stored: (PutRecord & { readonly shard: string; readonly sequenceNumber: string; readonly at: number })[];
  readonly calls: {
    readonly describe: number;
    readonly underWay: number;
    readonly most: number;
    readonly aborted: number;
  };
  shards: number;
  /** Between a request and its answer; what is stored is stored halfway. */
  latencyMs: () => number;
  judge: (record: PutRecord, request: number) => Verdict;
  /** The order in which the records of a request are stored. */
  shuffle: (records: readonly number[]) => readonly number[];
  /** What a request as a whole fails with, or null; it may have been stored all the same. */
  fail: (
    records: readonly PutRecord[],
    request: number,
  ) => { readonly error: unknown; readonly stored?: boolean } | 'never' | null;
  describe: () => unknown;
}

export function awsError(name: string, httpStatusCode = 400): Error {
  return Object.assign(new Error(`the message of ${name}`), {
    name,
    $fault: httpStatusCode < 500 ? 'client' : 'server',
    $metadata: { httpStatusCode },
  });
}

export function nodeError(code: string): Error {
  return Object.assign(new Error(`connect ${code}`), { code, $metadata: { attempts: 1 } });
}

export function putFake(): PutFake {
  const calls = { describe: 0, underWay: 0, most: 0, aborted: 0 };
  let sequence = 0;

  const store = (record: PutRecord): KinesisPutResultLike => {
    const shard = `shardId-${(hashOf(record.hashKey ?? record.key) >>> 0) % fake.shards}`;
    const sequenceNumber = `4959${String(sequence++).padStart(52, '0')}`;
    fake.stored.push({ ...record, shard, sequenceNumber, at: asyncScheduler.now() });
    return { SequenceNumber: sequenceNumber, ShardId: shard };
  };

  const answer = (records: readonly PutRecord[], request: number): KinesisPutResultLike[] => {
    const results = new Array<KinesisPutResultLike>(records.length);
    for (const index of fake.shuffle([...records.keys()])) {
      const record = records[index] as PutRecord;
      const verdict = fake.judge(record, request);
      if (verdict === 'stored') results[index] = store(record);
      else if (verdict === 'lost') {
        store(record);
        results[index] = { ErrorCode: 'InternalFailure', ErrorMessage: 'Internal Service Failure' };
      } else results[index] = { ErrorCode: verdict, ErrorMessage: `says ${verdict}` };
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
          return {
            FailedRecordCount: results.filter(({ ErrorCode }) => ErrorCode !== undefined).length,
            Records: results,
          };
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
          const answered = fake.describe();
          return answered instanceof Error ? throwError(() => answered) : of(answered);
        }),
    } as never,
    requests: [],
    stored: [],
    calls,
    shards: 4,
    latencyMs: () => 10,
    judge: () => 'stored',
    shuffle: (records) => records,
    fail: () => null,
    describe: () => ({
      StreamDescriptionSummary: { StreamName: 'orders', StreamARN: 'arn', RetentionPeriodHours: 24 },
    }),
  };
  return fake;
}
