import { environment } from '../../core/environment.js';
import { decodeAcked, encodeAcked } from '../../core/acked-above.js';
import type { EngineLag } from '../../core/engine-reports.js';
import type { ShardLease } from '../../core/lease-store.js';
import type { AssignedPartition, LogCommit, LogEngine } from '../../core/log-engine.js';
import { encodeCheckpoint, isPlaced, type Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisRecordLike } from './kinesis-client.js';
import type { Progress } from './kinesis-lease-writer.js';
import type { ResolvedKinesisOptions } from './kinesis-options.js';
import { createPages } from './kinesis-pages.js';
import type { KinesisRecord } from './kinesis-record.js';
import type { HashRange } from './hash-key.js';
import type { ShardPage } from './kinesis-shard.js';
import { CLOCKS_DIFFER_MS } from './kinesis-shards.js';

/** Where a shard stands that is ours: what came of it, and what of that is done. @internal */
export interface Reading {
  readonly shard: string;
  readonly assigned: AssignedPartition;
  /** All that it will ever have has come. */
  isOver: boolean;
  /** It has come to where `until: 'end'` ends. */
  isAtEnd: boolean;
  /** Everything that came is done, as of the last commit. */
  readonly isAllDone: boolean;
  /** It goes on behind something that the shard has had. */
  readonly isPlaced: boolean;
  /** Takes a page in, its first messages at once; what it answers is to be done about the reading. */
  take(page: ShardPage): 'on' | 'stop' | Checkpoint;
  /** Takes the next messages of that page; answers alike. */
  takeMore(): 'on' | 'stop';
  /** There is more of the page: nothing else may be read before that is taken. */
  readonly hasMore: boolean;
  /** How many bytes of the page are still to be taken. */
  readonly leftBytes: number;
  /** Nothing comes any more; `'stop'` where something was to come, and is gone. */
  ends(): 'on' | 'stop';
  /** The checkpoint is not there any more. `mayBeDone`: all that was there may be done. */
  loses(found: string, mayBeDone: boolean): 'on' | 'stop' | Checkpoint;
  /** What a commit makes durable; `'finished'` where there is nothing left, `null` where nothing has changed. */
  progressOf(commit: Pick<LogCommit<KinesisRecord>, 'last' | 'above'>): Progress | 'finished' | null;
  /** How far it is behind, with the oldest message that is here and not settled. */
  lag(oldest: KinesisRecord | null): EngineLag | null;
  /** What is durable as things stand, where nothing waits to be done. */
  quietProgress(): Partial<Progress> | null;
}

/** @internal */
export interface ReadingOptions {
  readonly row: ShardLease;
  readonly start: Checkpoint;
  readonly range: HashRange | null;
  readonly options: Pick<ResolvedKinesisOptions, 'until' | 'onPositionLost'>;
  readonly retentionMs: () => number;
  /** Kinesis lists it as closed: where it has nothing more, what it became may have. */
  readonly isClosed: () => boolean;
  /** Messages that arrived later are not read `until: 'end'`. */
  readonly endMs: number;
}

// What a lease store takes.
const MOST_ACKED = 4_000;

/** @internal */
export function createReading(
  engine: LogEngine<KinesisRecord>,
  assigned: AssignedPartition,
  { row, start: given, range, options, retentionMs, isClosed, endMs }: ReadingOptions,
): Reading {
  const { until, onPositionLost } = options;
  let start = given;
  let pages = createPages({ from: start, acked: decodeAcked(row.acked), range });
  // A mark above a checkpoint counts from that; where it is gone, from something else.
  let isAnchored = false;
  let lastPushed: KinesisRecord | null = null;
  // The newest record that is below the watermark.
  let lastDone: KinesisRecord | null = null;
  let { doneUntil } = row;
  let caughtUpAt = 0;
  // How far behind the last page was, and when it came.
  let heard: { readonly lagMs: number; readonly at: number } | null = null;
  // Where it went on after its position was lost. A worker that begins before a message of there is done must not lose it again.
  let jump: Checkpoint | null = null;
  // Only messages that came since then count.
  let since = new WeakSet<KinesisRecord>();
  // Whether the page is the last that `until: 'end'` reads.
  let endsWithPage = false;

  // Whether retention may have taken what is not done.
  const mayHavePassed = (): boolean => environment.wallClock() + CLOCKS_DIFFER_MS - doneUntil >= retentionMs();

  const anchor = (first: KinesisRecordLike): 'on' | 'stop' | Checkpoint => {
    isAnchored = true;
    const found = first.SequenceNumber as string;
    // The message itself is still to be done where it is to be read from there.
    if (isPlaced(start) && start.sequenceNumber !== found) return reading.loses(found, start.kind === 'after');
    if (!isPlaced(start)) pages.forget();
    return 'on';
  };

  const progressOfJump = (place: Checkpoint): Progress => {
    doneUntil = Math.max(doneUntil, place.kind === 'time' ? place.ms : 0);
    return { checkpoint: encodeCheckpoint(place), acked: '', doneUntil };
  };

  const reading: Reading = {
    shard: row.shard,
    assigned,
    isOver: false,
    // All that comes of a start in the future comes later.
    isAtEnd: until === 'end' && start.kind === 'time' && start.ms >= endMs,
    get isAllDone() {
      return lastDone === lastPushed;
    },
    get isPlaced() {
      return isAnchored || isPlaced(start);
    },
    take: ({ records, lagMs, isLast }) => {
      heard = { lagMs, at: environment.now() };
      const [first] = records;
      if (first !== undefined && !isAnchored) {
        const what = anchor(first);
        if (what !== 'on') return what;
      }
      const isCaughtUp = records.length === 0 && lagMs === 0;
      // What came after it is gone too.
      if (isCaughtUp && !isAnchored && start.kind === 'after' && mayHavePassed())
        return reading.loses('nothing', false);
      const within = until === 'end' ? records.filter((record) => arrivalOf(record) < endMs) : records;
      if (isCaughtUp) caughtUpAt = environment.wallClock() - CLOCKS_DIFFER_MS;
      // At the end of the shard it goes on with what that became. A closed shard may look like one that is read before its last
      // page: only that ends it. Records of it that arrived later are for who reads on: it is not read to its end then.
      const isCut = within.length < records.length;
      endsWithPage = until === 'end' && (isCut || (isCaughtUp && !isLast && !isClosed()));
      pages.open(within);
      return reading.takeMore();
    },
    takeMore: () => {
      const { last } = pages;
      const messages = pages.next();
      lastPushed = messages.at(-1) ?? lastPushed;
      if (jump !== null) for (const message of messages) since.add(message);
      if (messages.length > 0) engine.push(assigned, messages);
      // All of it was done before, above the checkpoint: no settlement moves that on.
      else if (pages.last !== last) engine.commitSoon(assigned);
      reading.isAtEnd = endsWithPage && pages.isUsedUp;
      return reading.isAtEnd ? 'stop' : 'on';
    },
    get hasMore() {
      return !pages.isUsedUp;
    },
    get leftBytes() {
      return pages.leftBytes;
    },
    ends: () => {
      // Its last record, the checkpoint, would have come.
      return reading.isPlaced && !isAnchored && reading.loses('no record', start.kind === 'after') === 'stop'
        ? 'stop'
        : 'on';
    },
    loses: (found, mayBeDone) => {
      // What is in there is not what was counted.
      pages.forget();
      // All of before is done, and what came after it cannot be gone yet.
      if (mayBeDone && !mayHavePassed()) return 'on';
      engine.positionLost(assigned, { expected: encodeCheckpoint(start), found, action: onPositionLost });
      if (onPositionLost === 'error') return 'stop';
      start = onPositionLost === 'earliest' ? { kind: 'oldest' } : { kind: 'latest' };
      pages = createPages({ from: start, acked: new Set(), range });
      isAnchored = false;
      jump = start.kind === 'oldest' ? start : { kind: 'time', ms: environment.wallClock() - CLOCKS_DIFFER_MS };
      since = new WeakSet();
      engine.commitSoon(assigned);
      return start;
    },
    progressOf: ({ last, above }) => {
      lastDone = last;
      const { isAllDone } = reading;
      if (reading.isOver && isAllDone) return 'finished';
      const counts = (record: KinesisRecord): boolean => jump === null || since.has(record);
      const settled = last !== null && counts(last) ? (last as KinesisRecord & { readonly ordinal: number }) : null;
      const place = isAllDone ? pages.last : settled;
      if (place === null && pages.first === null) return jump === null ? null : progressOfJump(jump);
      const from = place === null ? 0 : place.ordinal + 1;
      const done = above().filter(counts);
      const acked = [...done.map(({ ordinal }) => ordinal as number), ...pages.acked].filter(
        (ordinal) => ordinal >= from,
      );
      doneUntil = Math.max(doneUntil, place?.arrivedAt ?? 0);
      return {
        checkpoint: encodeCheckpoint(
          place === null
            ? { kind: 'at', ...placeOf(pages.first as KinesisRecord) }
            : { kind: 'after', ...placeOf(place) },
        ),
        acked: encodeAcked(
          acked.map((ordinal) => ordinal - from).sort((left, right) => left - right),
          MOST_ACKED,
        ),
        doneUntil,
      };
    },
    lag: (oldest) => {
      // A shard that waits is not read, so Kinesis says nothing of it: but it is as far behind as its oldest message is old.
      if (oldest !== null) return { lagMs: Math.max(0, environment.wallClock() - oldest.arrivedAt) };
      if (heard === null) return null;
      const ageMs = environment.now() - heard.at;
      // The rest of a page waits, and is older than the page.
      return reading.hasMore ? { lagMs: heard.lagMs + ageMs } : { lagMs: heard.lagMs, ageMs };
    },
    quietProgress: () => {
      if (!reading.isAllDone || caughtUpAt <= doneUntil) return null;
      doneUntil = caughtUpAt;
      return { doneUntil };
    },
  };
  return reading;
}

function placeOf({ sequenceNumber, subSequenceNumber }: Pick<KinesisRecord, 'sequenceNumber' | 'subSequenceNumber'>) {
  return { sequenceNumber, subSequenceNumber };
}

function arrivalOf({ ApproximateArrivalTimestamp }: KinesisRecordLike): number {
  return ApproximateArrivalTimestamp?.getTime() ?? 0;
}
