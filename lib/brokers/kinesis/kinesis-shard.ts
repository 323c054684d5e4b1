import { asyncScheduler, map, type Observable, type Subscription } from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { callKinesis } from './kinesis-call.js';
import { isPlaced, type Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisClientLike, KinesisPageLike, KinesisRecordLike } from './kinesis-client.js';
import { GONE, INVALID, isNamed, isThrottled } from './kinesis-errors.js';
import { isHardlyPast, startOf, untilStartMs, withoutLatest } from './kinesis-start.js';
import { streamInput } from './kinesis-stream.js';

/** @internal */
export interface ShardOptions {
  readonly client: KinesisClientLike;
  readonly stream: string;
  readonly shard: string;
  readonly from: Checkpoint;
  /** What came already, since `from`: it goes on behind that. */
  readonly received: string | null;
  /** One that stands where `'latest'` was when the source began. */
  readonly iterator: string | null;
  readonly recordsPerRead: number;
  readonly readIntervalMs: number;
  readonly pollMs: number;
  readonly requestTimeoutMs: number;
}

/** What came at one time. @internal */
export interface ShardPage {
  readonly records: readonly KinesisRecordLike[];
  /** How far behind the end of the shard it is. */
  readonly lagMs: number;
  /** Nothing comes after it. */
  readonly isLast: boolean;
}

/** What the reading of a shard tells; the last page first, then `ended`. @internal */
export interface ShardEvents {
  /** Whether a read may be made now. */
  mayRead(): boolean;
  /** How many records a read may bring, out of `most`; 0: it has to wait, and is woken. Each is followed by `page` or `unread`. */
  admit(most: number): number;
  /** Alike, for what is sent next. */
  admitEvent(): boolean;
  /** The read or event that was admitted brings nothing. */
  unread(): void;
  page(page: ShardPage): void;
  /** Nothing comes any more. */
  ended(): void;
  /** The service knows no such shard, or none any more. */
  gone(): void;
  /** The service does not know the position. */
  unknownPosition(error: unknown): void;
  /** A read failed. Throttling is no failure. */
  failed(error: unknown): void;
  answered(): void;
}

/** The reading of one shard: a page at a time, as the limits of the service allow. @internal */
export interface Shard {
  /** A read may be made again. */
  wake(): void;
  /** Goes on from somewhere else. */
  restart(from: Checkpoint): void;
  stop(): void;
}

const EXPIRED = 'ExpiredIteratorException';

/** Reads a shard by polling. @internal */
export function readShard(options: ShardOptions, events: ShardEvents): Shard {
  const { client, stream, shard, recordsPerRead, readIntervalMs, pollMs, requestTimeoutMs } = options;
  const input = streamInput(stream);
  const backoff = exponential({ initialMs: 250, maxMs: 10_000 });
  // An iterator that expired goes on behind the last record that came.
  let { from, received, iterator } = options;
  let call: Subscription | null = null;
  let wait: Subscription | null = null;
  let asleep = false;
  let over = false;
  // How often it began anew.
  let turns = 0;
  let failures = 0;
  let throttled = 0;
  // The iterator was asked for because there was no shard to the last one.
  let isNew = false;

  const step = (): void => {
    wait = null;
    if (over) return;
    if (!events.mayRead()) {
      asleep = true;
      return;
    }
    const aheadMs = untilStartMs(from, received);
    if (aheadMs > 0) {
      next(aheadMs);
      return;
    }
    const askedAt = environment.now();
    if (iterator === null) {
      call = askIterator().subscribe({ next: (given) => begin(given), error: iteratorFailed });
    } else {
      const most = events.admit(recordsPerRead);
      if (most === 0) {
        asleep = true;
        return;
      }
      call = askPage(iterator, most).subscribe({ next: (page) => take(page, askedAt), error: pageFailed });
    }
  };

  const next = (ms: number): void => {
    call = null;
    if (!over) wait = asyncScheduler.schedule(step, ms);
  };

  const askIterator = (): Observable<string | undefined> =>
    callKinesis(requestTimeoutMs, (how) =>
      client.getShardIterator({ ...input, ShardId: shard, ...iteratorStart(from, received) }, how),
    ).pipe(map(({ ShardIterator }) => ShardIterator));

  const askPage = (from: string, Limit: number): Observable<KinesisPageLike> =>
    callKinesis(requestTimeoutMs, (how) => client.getRecords({ ShardIterator: from, Limit, ...arnOf(input) }, how));

  const begin = (given: string | undefined): void => {
    // None is given for a shard that is closed and read already.
    if (given === undefined) {
      end();
      return;
    }
    iterator = given;
    // One that expires unused leads back to here, not to what is the latest then.
    from = withoutLatest(from);
    next(0);
  };

  const take = (page: KinesisPageLike, askedAt: number): void => {
    const { Records: records = [], NextShardIterator, MillisBehindLatest: lagMs = 0 } = page;
    failures = 0;
    throttled = 0;
    isNew = false;
    events.answered();
    received = records.at(-1)?.SequenceNumber ?? received;
    iterator = NextShardIterator ?? null;
    call = null;
    const turn = turns;
    events.page({ records, lagMs, isLast: iterator === null });
    if (over || turn !== turns) return;
    if (iterator === null) {
      end();
      return;
    }
    const isBehind = records.length > 0 || lagMs > 0;
    next(Math.max(0, (isBehind ? readIntervalMs : pollMs) - (environment.now() - askedAt)));
  };

  const end = (): void => {
    over = true;
    events.ended();
  };

  const iteratorFailed = (error: unknown): void => {
    if (isNamed(error, INVALID) && (isPlaced(from) || received !== null)) {
      call = null;
      events.unknownPosition(error);
    } else if (isNamed(error, INVALID) && isHardlyPast(from, received)) rest(pollMs);
    else failed(error);
  };

  const pageFailed = (error: unknown): void => {
    events.unread();
    if (isNamed(error, EXPIRED)) {
      iterator = null;
      next(0);
      return;
    }
    // An iterator that means nothing to the service is asked for anew.
    if (isNamed(error, INVALID)) iterator = null;
    failed(error);
  };

  const failed = (error: unknown): void => {
    if (isNamed(error, GONE)) {
      if (iterator !== null && !isNew) {
        // There may be another stream of that name: a new iterator tells.
        isNew = true;
        iterator = null;
        rest(0);
        return;
      }
      call = null;
      events.gone();
      return;
    }
    if (isThrottled(error)) {
      rest(backoff(++throttled));
      return;
    }
    events.failed(error);
    rest(backoff(++failures));
  };

  // Jitter may say 0: a failed read counts too.
  const rest = (ms: number): void => next(Math.max(ms, readIntervalMs));

  wait = asyncScheduler.schedule(step);

  return {
    wake: () => {
      if (!asleep || over) return;
      asleep = false;
      wait = asyncScheduler.schedule(step);
    },
    restart: (place) => {
      turns++;
      from = place;
      iterator = null;
      received = null;
      next(0);
    },
    stop: () => {
      over = true;
      call?.unsubscribe();
      wait?.unsubscribe();
      events.unread();
    },
  };
}

function iteratorStart(from: Checkpoint, received: string | null) {
  const { type, sequenceNumber, timestamp } = startOf(from, received);
  return {
    ShardIteratorType: type,
    ...(sequenceNumber === undefined ? {} : { StartingSequenceNumber: sequenceNumber }),
    ...(timestamp === undefined ? {} : { Timestamp: timestamp }),
  };
}

function arnOf(input: { readonly StreamName: string } | { readonly StreamARN: string }): { StreamARN?: string } {
  return 'StreamARN' in input ? { StreamARN: input.StreamARN } : {};
}
