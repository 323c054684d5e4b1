import {
  asyncScheduler,
  catchError,
  concat,
  concatMap,
  defer,
  EMPTY,
  expand,
  from,
  last,
  map,
  mergeMap,
  observeOn,
  of,
  share,
  tap,
  toArray,
  type MonoTypeOperatorFunction,
  type Observable,
} from 'rxjs';
import { environment } from '../../core/environment.js';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../core/lease-store.js';
import { callKinesis } from './kinesis-call.js';
import { isEnd } from './kinesis-checkpoint.js';
import type { KinesisClientLike, KinesisShardLike } from './kinesis-client.js';
import { hashRange, type HashRange } from './hash-key.js';
import { boundedCall } from './kinesis-lease-call.js';
import {
  childlessEnds,
  finishedRows,
  isOpen,
  missingRows,
  parentsOf,
  type Rows,
  type Start,
} from './kinesis-lineage.js';
import { streamInput } from './kinesis-stream.js';

/** @internal */
export interface ShardsOptions {
  readonly client: KinesisClientLike;
  readonly stream: string;
  readonly store: LeaseStore;
  readonly group: LeaseGroup;
  readonly start: Start;
  readonly shardSyncMs: number;
  readonly requestTimeoutMs: number;
  readonly storeTimeoutMs: number;
}

/** What is known of the shards of a stream, and the rows that they get. @internal */
export interface Shards {
  /**
   * Adds and removes rows, where it is time to look or a shard has ended, whoever has read it; emits whether there is
   * anything new. A failure of Kinesis is told to `failed`.
   */
  sync(rows: Rows): Observable<boolean>;
  /** Whether the shards have been listed since this source began, and these rows hold all that the list led to. */
  covers(rows: Rows): boolean;
  /** Asks Kinesis. */
  isListed(shard: string): Observable<boolean>;
  /** Whether it was looked for, and the rows of all others added. */
  isKnown(shard: string): boolean;
  /** It was split or merged before it was listed last. One that is not has become nothing by then. */
  isClosed(shard: string): boolean;
  rangeOf(shard: string): HashRange | null;
  /** Where `'latest'` was when this source began, if it is this worker that made the row. */
  latestOf(row: ShardLease): string | null;
  readonly retentionMs: number;
  /** As the service gives it; empty until the first look has succeeded. */
  readonly arn: string;
}

// By how much the clocks of a worker and of Kinesis may differ.
export const CLOCKS_DIFFER_MS = 10_000;
const HOUR_MS = 3_600_000;
const SHARDS_A_PAGE = 1_000;
const AT_ONCE = 10;

// With thousands of shards each step takes some milliseconds: a sync is not to hold up the loop by all of them together.
function nextTurn<T>(): MonoTypeOperatorFunction<T> {
  return observeOn(asyncScheduler);
}

/** @internal */
export function createShards(
  options: ShardsOptions,
  { failed, answered }: { failed(error: unknown): void; answered(): void },
): Shards {
  const { client, stream, store, group, start, shardSyncMs, requestTimeoutMs, storeTimeoutMs } = options;
  const input = streamInput(stream);
  const ranges = new Map<string, HashRange | null>();
  const latest = new Map<string, { readonly checkpoint: string; readonly iterator: string }>();
  let retentionMs = 24 * HOUR_MS;
  let arn = '';
  // Ended shards of which it is known what they became.
  let followed: ReadonlySet<string> = new Set();
  let closed: ReadonlySet<string> = new Set();
  let dueAt = -Infinity;

  const listPage = (NextToken?: string) =>
    callKinesis(requestTimeoutMs, (how) =>
      client.listShards({ ...(NextToken === undefined ? input : { NextToken }), MaxResults: SHARDS_A_PAGE }, how),
    );

  const list = (): Observable<KinesisShardLike[]> =>
    listPage().pipe(
      expand(({ NextToken }) => (NextToken === undefined ? EMPTY : listPage(NextToken))),
      map(({ Shards = [] }) => Shards),
      toArray(),
      map((pages) => pages.flat()),
      nextTurn(),
    );

  // Where a stream is deleted, all of its shards ask at once.
  const listed = defer(list).pipe(
    map((shards) => new Set(shards.map(({ ShardId }) => ShardId))),
    share(),
  );

  const describe = (): Observable<unknown> =>
    callKinesis(requestTimeoutMs, (how) => client.describeStreamSummary(input, how)).pipe(
      tap(({ StreamDescriptionSummary: summary }) => {
        retentionMs = (summary?.RetentionPeriodHours ?? 24) * HOUR_MS;
        arn = summary?.StreamARN ?? '';
      }),
    );

  const iteratorAtLatest = (row: ShardLease): Observable<unknown> =>
    callKinesis(requestTimeoutMs, (how) =>
      client.getShardIterator({ ...input, ShardId: row.shard, ShardIteratorType: 'LATEST' }, how),
    ).pipe(
      tap(({ ShardIterator }) => {
        if (ShardIterator !== undefined) latest.set(row.shard, { checkpoint: row.checkpoint, iterator: ShardIterator });
      }),
    );

  /** Of the shards as they are now: what to add. */
  const rowsToAdd = (shards: readonly KinesisShardLike[], rows: Rows): Observable<ShardLease[]> => {
    const added = missingRows(shards, rows, start, Math.max(0, environment.wallClock() - CLOCKS_DIFFER_MS));
    if (start !== 'latest') return of(added);
    // Before the rows are there, or what comes meanwhile would be passed over.
    return from(rows.size > 0 ? [] : added).pipe(
      mergeMap(iteratorAtLatest, AT_ONCE),
      last(null, null),
      map(() => added),
    );
  };

  // Another worker has found it.
  const hasUnknown = (rows: Rows): boolean =>
    [...rows.values()].some(({ shard, checkpoint }) => !ranges.has(shard) && !isEnd(checkpoint));

  // A shard has ended, whoever has read it.
  const unfollowed = (rows: Rows): boolean => childlessEnds(rows).some((shard) => !followed.has(shard));

  const covers = (rows: Rows): boolean => dueAt > -Infinity && rows.size > 0 && !hasUnknown(rows) && !unfollowed(rows);

  return {
    isListed: (shard) => listed.pipe(map((shards) => shards.has(shard))),
    covers,
    isKnown: (shard) => ranges.has(shard),
    isClosed: (shard) => closed.has(shard),
    rangeOf: (shard) => ranges.get(shard) ?? null,
    latestOf: ({ shard, checkpoint }) => {
      const known = latest.get(shard);
      latest.delete(shard);
      return known?.checkpoint === checkpoint ? known.iterator : null;
    },
    get retentionMs() {
      return retentionMs;
    },
    get arn() {
      return arn;
    },
    sync: (rows) =>
      defer(() => {
        const isDue = environment.now() >= dueAt || hasUnknown(rows) || unfollowed(rows);
        if (rows.size > 0 && !isDue) return of(false);
        return concat(describe(), list()).pipe(
          last(),
          map((shards) => shards as KinesisShardLike[]),
          concatMap((shards) => rowsToAdd(shards, rows).pipe(map((added) => ({ shards, added })))),
          nextTurn(),
          tap(answered),
          catchError((error: unknown) => {
            failed(error);
            return of(null);
          }),
          concatMap((found) => (found === null ? of(false) : keep(found.shards, found.added, rows))),
        );
      }),
  };

  function keep(shards: readonly KinesisShardLike[], added: readonly ShardLease[], rows: Rows): Observable<boolean> {
    const finished = finishedRows(shards, rows);
    const wasCovered = covers(rows);
    const add = added.length === 0 ? EMPTY : boundedCall(storeTimeoutMs, () => store.add(group, added));
    const remove = finished.length === 0 ? EMPTY : boundedCall(storeTimeoutMs, () => store.remove(group, finished));
    return concat(add, remove).pipe(
      last(null, null),
      nextTurn(),
      tap(() => {
        dueAt = environment.now() + shardSyncMs;
        const listed = new Set(shards.map(({ ShardId }) => ShardId));
        const parents = new Set(shards.flatMap(parentsOf));
        // A shard ends when it becomes others. One that is listed without them comes of a list that lags.
        followed = new Set(childlessEnds(rows).filter((shard) => !listed.has(shard) || parents.has(shard)));
        closed = new Set([
          ...parents,
          ...shards.filter((shard) => !isOpen(shard)).map(({ ShardId }) => ShardId as string),
        ]);
        // Those that are not listed are gone: nothing comes of them.
        for (const shard of rows.keys()) ranges.set(shard, null);
        for (const { ShardId, HashKeyRange } of shards) ranges.set(ShardId as string, hashRange(HashKeyRange));
      }),
      map(() => added.length + finished.length > 0 || (!wasCovered && covers(rows))),
    );
  }
}
