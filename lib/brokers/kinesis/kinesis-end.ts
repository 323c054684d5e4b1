import { environment } from '../../core/environment.js';
import type { ShardLease } from '../../core/lease-store.js';
import { decodeCheckpoint, isEnd } from './kinesis-checkpoint.js';
import type { Rows } from './kinesis-lineage.js';

/** A worker that reads `until: 'end'` sees this of the shards. @internal */
export interface EndSight {
  readonly rows: Rows;
  /** Messages that arrived at this time or later are not read: milliseconds since 1970. */
  readonly endMs: number;
  /** This worker has come to the end of the shard that it reads to. */
  isRead(shard: string): boolean;
  /** Kinesis lists the shard as closed: there may be more in what it became. */
  isClosed(shard: string): boolean;
}

/**
 * Tells of a row whether nothing of its shard is left to be done `until: 'end'`. That a shard has an owner says nothing: who
 * has it may be dead, or have hardly begun. It must be done, or this worker must have seen its end, or the row says that
 * all of that time is done, whoever did it. What a shard became that was open when this worker began came later.
 * @internal
 */
export function readByNow({ rows, endMs, isRead, isClosed }: EndSight): (row: ShardLease) => boolean {
  const isPast = ({ shard, checkpoint, doneUntil }: ShardLease): boolean => {
    if (doneUntil < endMs || isEnd(checkpoint)) return false;
    if (!isClosed(shard)) return true;
    // The checkpoint may be a start at `endMs` or later: the shards that this one became start at that time too.
    const start = decodeCheckpoint(checkpoint);
    return start?.kind === 'time' && start.ms >= endMs;
  };

  const children = new Map<string, string[]>();
  for (const { shard, parents } of rows.values()) {
    for (const parent of parents) {
      const siblings = children.get(parent) ?? [];
      children.set(parent, siblings);
      siblings.push(shard);
    }
  }
  // Shards behind which nothing of that time can be. No recursion: a stream may have thousands of generations.
  const last = new Set([...rows.values()].filter(isPast).map(({ shard }) => shard));
  for (const names of [rows.keys(), children.keys()]) for (const shard of names) if (isRead(shard)) last.add(shard);
  // Goes through those, too, that are added meanwhile.
  for (const shard of last) for (const child of children.get(shard) ?? []) last.add(child);

  return (row) => isEnd(row.checkpoint) || last.has(row.shard);
}

// As long as an unsettled message is out, by default, before it is told of.
const PATIENCE_MS = 60_000;

/**
 * Takes, after each look, the rows that are left to others by one that has nothing to read itself; tells once where that
 * lasts, for nothing here waits without a word.
 * @internal
 */
export function waitForOthers(tell: (message: string) => void): (left: readonly ShardLease[]) => void {
  let since: number | null = null;
  let isTold = false;
  return (left) => {
    const [first] = left;
    if (first === undefined) {
      since = null;
      return;
    }
    since ??= environment.now();
    if (isTold || environment.now() - since < PATIENCE_MS) return;
    isTold = true;
    const owner = first.owner === null ? 'of no worker' : `of the worker ${first.owner}`;
    tell(
      `until: 'end' has read all that this worker could get, and has waited for ${PATIENCE_MS / 1_000} s for other workers ` +
        `of the consumer to do the rest: ${left.length} shards, the first of them ${first.shard} (${owner}). It completes ` +
        'once they are done, or takes them once their workers are gone. Look at what those workers wait for.',
    );
  };
}
