import type { HashRange } from './hash-key.js';
import { isDone, isPlaced, type Checkpoint, type Place } from './kinesis-checkpoint.js';
import type { KinesisRecordLike } from './kinesis-client.js';
import type { KinesisRecord } from './kinesis-record.js';
import { bytesOf } from './kinesis-read-budget.js';
import { MESSAGES_AT_ONCE, takeApart, type LongAggregate } from './kpl-decode.js';

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
  /** Begins a page; the one before is used up. */
  open(records: readonly KinesisRecordLike[]): void;
  /** Gives the messages of the page that are to be done, a part at a time: a page may have millions of them. */
  next(): KinesisRecord[];
  /** Whether the page is used up. */
  readonly isUsedUp: boolean;
  /** The part of the page that is not made into messages yet, in bytes. */
  readonly leftBytes: number;
  /** The first and the last message that came, whether to be done or done before. */
  readonly first: Received | null;
  readonly last: Received | null;
  /** What was done above the checkpoint before, and counts still. */
  readonly acked: ReadonlySet<number>;
  /** Nothing of before is done: what is there is not what was counted. */
  forget(): void;
}

// How many bytes of records are taken apart at once: each aggregate is summed and looked through.
const BYTES_AT_ONCE = 2 * 1024 * 1024;

/** @internal */
export function createPages({ from, acked, range }: PagesOptions): Pages {
  let done = acked;
  let skipping = isPlaced(from);
  let ordinal = 0;
  let first: Received | null = null;
  let last: Received | null = null;
  let page: readonly KinesisRecordLike[] = [];
  let at = 0;
  let long: LongAggregate | null = null;

  const pick = (messages: readonly KinesisRecord[], wanted: KinesisRecord[]): void => {
    for (const message of messages) {
      if (skipping) {
        if (isDone(from, message)) continue;
        skipping = false;
      }
      message.ordinal = ordinal++;
      last = message as Received;
      first ??= last;
      if (!done.has(message.ordinal)) wanted.push(message);
    }
  };

  /** The next record that is to be taken apart, or what is left of it; how many bytes that were. */
  const step = (wanted: KinesisRecord[], most: number): number => {
    const record = page[at] as KinesisRecordLike;
    const isNew = long === null;
    const messages = long ?? takeApart(record, range);
    if ('next' in messages) {
      long = messages;
      pick(messages.next(most), wanted);
      if (messages.isDone) long = null;
    } else pick(messages, wanted);
    if (long === null) at++;
    return isNew ? (record.Data?.length ?? 0) : 0;
  };

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
    open: (records) => {
      page = records;
      at = 0;
      long = null;
    },
    next: () => {
      const wanted: KinesisRecord[] = [];
      let bytes = 0;
      // Those that are done already cost as much as the others.
      for (let left = MESSAGES_AT_ONCE; at < page.length && left > 0 && bytes < BYTES_AT_ONCE;) {
        const before = ordinal;
        bytes += step(wanted, left);
        left -= Math.max(1, ordinal - before);
      }
      if (at === page.length) page = [];
      return wanted;
    },
    get isUsedUp() {
      return page.length === 0;
    },
    get leftBytes() {
      return page.slice(at).reduce((sum, record) => sum + bytesOf(record), 0);
    },
    forget: () => {
      done = new Set();
    },
  };
}
