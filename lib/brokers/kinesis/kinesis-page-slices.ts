import { asyncScheduler, type Subscription } from 'rxjs';
import type { Checkpoint } from './kinesis-checkpoint.js';
import type { ShardBudget } from './kinesis-read-budget.js';
import type { Reading } from './kinesis-reading.js';
import type { ShardPage } from './kinesis-shard.js';

/** Gives the pages of a shard to the engine, large ones a part at a time. @internal */
export interface PageSlices {
  page(page: ShardPage): void;
  /** Nothing comes behind the page. */
  ended(): void;
  /** Goes on with the page, where there is more of it, else with the shard. */
  goOn(): void;
  close(): void;
}

/** @internal */
export interface PageSlicesEvents {
  /** Whether anything may be given to the engine now. */
  mayGive(): boolean;
  /** Makes the reading go on, stop, or begin anew at another checkpoint. */
  follow(what: 'on' | 'stop' | Checkpoint): void;
  /** The shard may be read on. */
  wake(): void;
  /** All of the shard has come. */
  over(): void;
}

/**
 * A page of 10 MB of aggregates may have 1.7 million messages. To make them all at once would take two seconds, and far more memory
 * than the page: it is taken apart a slice a turn, as long as the engine takes more. Until it is used up nothing else is read.
 * @internal
 */
export function pageSlices(
  reading: Reading,
  budget: Pick<ShardBudget, 'came' | 'left'>,
  { mayGive, follow, wake, over }: PageSlicesEvents,
): PageSlices {
  let isEnded = false;
  let slice: Subscription | null = null;

  // Where `until: 'end'` leaves some of the last page out, that is for who reads on.
  const endIfOver = (): void => {
    if (isEnded && !reading.hasMore && !reading.isAtEnd && reading.ends() === 'on') over();
  };

  const taken = (what: 'on' | 'stop' | Checkpoint): void => {
    budget.left(reading.leftBytes);
    follow(what);
    if (reading.hasMore) goOn();
  };

  const takeSlice = (): void => {
    slice = null;
    if (!mayGive()) return;
    taken(reading.takeMore());
    if (reading.hasMore) return;
    endIfOver();
    if (!isEnded) wake();
  };

  const goOn = (): void => {
    if (!reading.hasMore) wake();
    else if (slice === null && mayGive()) slice = asyncScheduler.schedule(takeSlice);
  };

  return {
    page: (page) => {
      budget.came(page);
      taken(reading.take(page));
    },
    ended: () => {
      isEnded = true;
      endIfOver();
    },
    goOn,
    close: () => slice?.unsubscribe(),
  };
}
