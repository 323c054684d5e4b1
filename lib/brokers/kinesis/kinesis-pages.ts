import type { HashRange } from './hash-key.js';
import { isDone, isPlaced, type Checkpoint, type Place } from './kinesis-checkpoint.js';
import type { KinesisRecordLike } from './kinesis-client.js';
import type { KinesisRecord } from './kinesis-record.js';
import { deaggregate } from './kpl-decode.js';

/** @internal */
export interface PagesOptions {
  readonly from: Checkpoint;
  /** What is done above the checkpoint, by its number from there. */
  readonly acked: ReadonlySet<number>;
  readonly range: HashRange | null;
}

/** A message, and its number among those that follow the checkpoint. @internal */
export interface Received extends Place {
  readonly ordinal: number;
  readonly arrivedAt: number;
}

/** Makes messages of the records of a shard, from its checkpoint on. @internal */
export interface Pages {
  /** What of a page is to be done. */
  take(records: readonly KinesisRecordLike[]): KinesisRecord[];
  /** The first and the last message that came, whether to be done or done before. */
  readonly first: Received | null;
  readonly last: Received | null;
  /** What was done above the checkpoint before, and counts still. */
  readonly acked: ReadonlySet<number>;
  /** Nothing of before is done: what is there is not what was counted. */
  forget(): void;
}

/** @internal */
export function createPages({ from, acked, range }: PagesOptions): Pages {
  let done = acked;
  let skipping = isPlaced(from);
  let ordinal = 0;
  let first: Received | null = null;
  let last: Received | null = null;

  return {
    get first() {
      return first;
    },
    get last() {
      return last;
    },
    get acked() {
      return done;
    },
    take: (records) => {
      const wanted: KinesisRecord[] = [];
      for (const record of records) {
        for (const message of deaggregate(record, range)) {
          if (skipping) {
            if (isDone(from, message)) continue;
            skipping = false;
          }
          message.ordinal = ordinal++;
          last = message as Received;
          first ??= last;
          if (!done.has(message.ordinal)) wanted.push(message);
        }
      }
      return wanted;
    },
    forget: () => {
      done = new Set();
    },
  };
}
