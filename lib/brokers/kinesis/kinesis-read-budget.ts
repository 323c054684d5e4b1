import { environment } from '../../core/environment.js';
import type { AssignedPartition, LogEngine } from '../../core/log-engine.js';
import type { KinesisRecordLike } from './kinesis-client.js';
import { RECORD_OVERHEAD_BYTES, type KinesisRecord } from './kinesis-record.js';
import type { ShardPage } from './kinesis-shard.js';

/** The share of one shard in the bytes that all of them may hold. @internal */
export interface ShardBudget {
  /** Asks for one read of at most `most` records; the answer is how many it may bring. 0: not now, it is woken once it may. */
  admit(most: number): number;
  /** Asks for what is sent next, of which nobody knows how much it is. `false`: not now, it is woken once it may. */
  admitEvent(): boolean;
  /** It has come, and counts from here on as much as it has. */
  came(page: Pick<ShardPage, 'records' | 'lagMs'>): void;
  /** The shard has so many bytes still to push, of those that came. */
  left(bytes: number): void;
  /** The read or event that was admitted brings nothing. */
  nothing(): void;
  /** The shard does not want the read or event that was admitted, and has not begun it. */
  declined(): void;
  /** The shard is not read any more. */
  close(): void;
}

/** @internal */
export interface ReadBudget {
  open(assigned: AssignedPartition, wake: () => void): ShardBudget;
  /** There is room again. */
  room(): void;
}

interface Waiting {
  /** Admits its read, where there is room. */
  tryTo(): boolean;
  wake(): void;
}

// The most that one answer of GetRecords has.
const ANSWER_BYTES = 10 * 1024 * 1024;
// The limit of a read is set so that it brings this much: a shard gives 2 MB a second, however large the answers are.
const READ_BYTES = 4 * 1024 * 1024;
// A shard takes no more in a second.
const WRITTEN_BYTES_A_SECOND = 1024 * 1024;
const BURST_SECONDS = 0.25;

/** Rises at once, falls slowly. */
function smoothed(before: number, now: number): number {
  return Math.max(now, 0.75 * before + 0.25 * now);
}

/**
 * Admits reads by what they will bring. Each shard asks before it reads, for as many bytes as its records had so far; those of a
 * shard that has not been read count as those of the others, and before any was read as the largest answer that there is. What
 * is asked for counts toward `maxBufferedBytes` as what is here does. Those for whom there is no room wait in a row.
 *
 * So what is held passes the bound only by what answers under way bring beyond what their shards had before. Where nothing is under
 * way one read is always admitted below the bound: a record may be larger than that.
 * @internal
 */
export function createReadBudget(
  engine: Pick<LogEngine<KinesisRecord>, 'hasRoom' | 'reserve'>,
  maxBufferedBytes: number,
): ReadBudget {
  const waiting = new Map<object, Waiting>();
  let underWay = 0;
  let isServing = false;
  // Bytes of a record, of all shards.
  let ofAll = 0;

  const admits = (bytes: number): boolean => engine.hasRoom(bytes) || (underWay === 0 && engine.hasRoom(1));

  // A shard that is woken may decline at once, which makes room for the one behind it: the loop goes on to that, no call within.
  const next = (): void => {
    if (isServing) return;
    isServing = true;
    try {
      for (const [one, { tryTo, wake }] of waiting) {
        if (!tryTo()) break;
        waiting.delete(one);
        wake();
      }
    } finally {
      isServing = false;
    }
  };

  const open = (assigned: AssignedPartition, wake: () => void): ShardBudget => {
    const self = {};
    let state: 'idle' | 'granted' | 'reading' = 'idle';
    let limit = 0;
    let ofRecord = 0;
    let ofEvent = 0;
    let caughtUpAt = -Infinity;

    const take = (bytes: number): boolean => {
      if (!admits(bytes)) return false;
      underWay++;
      state = 'granted';
      engine.reserve(assigned, bytes);
      return true;
    };

    const giveBack = (): void => {
      if (state === 'idle') return;
      state = 'idle';
      underWay--;
      engine.reserve(assigned, 0);
      next();
    };

    /** Where nobody came before who waits, it is asked for at once. */
    const ask = (tryTo: () => boolean): boolean => {
      if (state === 'idle' && (waiting.size > 0 || !tryTo())) {
        if (!waiting.has(self)) waiting.set(self, { tryTo, wake });
        return false;
      }
      state = 'reading';
      return true;
    };

    const tryPage = (most: number): boolean => {
      const each = ofRecord || ofAll;
      limit =
        each === 0 ? most : Math.min(most, Math.max(1, Math.floor(Math.min(READ_BYTES, maxBufferedBytes) / each)));
      const bytes = each === 0 ? ANSWER_BYTES : Math.min(ANSWER_BYTES, Math.ceil(limit * each));
      const seconds = (environment.now() - caughtUpAt) / 1_000 + BURST_SECONDS;
      return take(Math.min(bytes, Math.ceil(seconds * WRITTEN_BYTES_A_SECOND)));
    };

    return {
      admit: (most) => (ask(() => tryPage(most)) ? limit : 0),
      admitEvent: () => ask(() => take(Math.max(1, Math.ceil(ofEvent)))),
      came: ({ records, lagMs }) => {
        const bytes = records.reduce((sum, record) => sum + bytesOf(record), 0);
        if (state !== 'idle') underWay--;
        state = 'idle';
        ofEvent = smoothed(ofEvent, bytes);
        if (records.length > 0) {
          ofRecord = smoothed(ofRecord, bytes / records.length);
          ofAll = smoothed(ofAll, ofRecord);
        }
        // All that there was: what comes now is written after this.
        caughtUpAt = lagMs === 0 && records.length < limit ? environment.now() : -Infinity;
        engine.reserve(assigned, bytes);
      },
      left: (bytes) => {
        engine.reserve(assigned, bytes);
        next();
      },
      nothing: giveBack,
      declined: () => {
        if (state === 'granted') giveBack();
      },
      close: () => {
        waiting.delete(self);
        giveBack();
        engine.reserve(assigned, 0);
      },
    };
  };

  return { open, room: next };
}

/** The bytes that a record counts for, before it is taken apart. @internal */
export function bytesOf({ Data, PartitionKey }: KinesisRecordLike): number {
  return RECORD_OVERHEAD_BYTES + (PartitionKey?.length ?? 0) + (Data?.length ?? 0);
}
