import { hashOf } from '../../core/hash.js';
import type { ShardLease } from '../../core/lease-store.js';
import { isReadable } from './kinesis-lineage.js';

/** What a worker knows of the others. @internal */
export interface Sight {
  readonly worker: string;
  readonly rows: ReadonlyMap<string, ShardLease>;
  /** The owner has given no sign of life for as long as a lease holds. */
  isExpired(row: ShardLease): boolean;
  /** We have asked for it, for longer than a hand-over can take. */
  isOverdue(row: ShardLease): boolean;
  /** We have done with it, though it has not ended: it is for others to share. */
  isRead(shard: string): boolean;
}

/** What a worker does about it. @internal */
export interface Moves {
  /** To be ours at once. */
  readonly take: readonly ShardLease[];
  /** To be asked for. */
  readonly want: readonly ShardLease[];
}

/**
 * Shares shards by their number, each worker for itself: free ones are taken up to a fair share, more are asked of those who
 * have more than theirs. Who asks for a shard counts as a worker, or a newcomer with nothing would count as none.
 * @internal
 */
export function nextMoves({ worker, rows, isExpired, isOverdue, isRead }: Sight): Moves {
  const active = [...rows.values()].filter((row) => isReadable(row, rows) && !isRead(row.shard));
  const isFree = (row: ShardLease): boolean => row.owner === null || (row.owner !== worker && isExpired(row));
  const theirs = new Map<string, ShardLease[]>([[worker, []]]);
  const sharesOf = (name: string): ShardLease[] => {
    const shares = theirs.get(name) ?? [];
    theirs.set(name, shares);
    return shares;
  };
  for (const row of active) {
    if (isFree(row)) continue;
    // What is asked for is as good as given.
    sharesOf(row.owner as string);
    sharesOf(row.wantedBy ?? (row.owner as string)).push(row);
  }
  const overdue = active.filter((row) => row.wantedBy === worker && !isFree(row) && isOverdue(row));
  const fair = Math.ceil(active.length / theirs.size);
  const free = active.filter(isFree);
  const missing = fair - sharesOf(worker).length;
  const taken = shuffled(free, worker).slice(0, Math.max(0, missing));
  const want = taken.length < missing && free.length === taken.length ? toAskFor(theirs, worker, missing) : [];
  return { take: [...overdue, ...taken], want };
}

function toAskFor(theirs: ReadonlyMap<string, readonly ShardLease[]>, worker: string, missing: number): ShardLease[] {
  const mine = theirs.get(worker)?.length ?? 0;
  // By how many they have left, so that whoever has the most is found without looking at all of them each time.
  const bySize: (readonly ShardLease[])[][] = [];
  for (const [name, rows] of theirs) if (name !== worker) (bySize[rows.length] ??= []).push(rows);
  // The last is taken first: the others stay where they are.
  const askable = new Map(
    [...theirs.values()].map((rows) => [rows, rows.filter(({ wantedBy }) => wantedBy === null).reverse()]),
  );
  const asked: ShardLease[] = [];
  for (let size = bySize.length - 1; asked.length < missing;) {
    const most = bySize[size]?.pop();
    if (most === undefined) {
      if (--size < 0) break;
      continue;
    }
    // Both would be as far from their share as before.
    if (size < mine + asked.length + 2) break;
    const row = askable.get(most)?.pop();
    if (row === undefined) break;
    asked.push(row);
    (bySize[size - 1] ??= []).push(most);
  }
  return asked;
}

// Workers that start together must not all reach for the same shards: each begins somewhere else.
function shuffled(rows: readonly ShardLease[], worker: string): readonly ShardLease[] {
  if (rows.length === 0) return rows;
  const from = (hashOf(worker) >>> 0) % rows.length;
  return [...rows.slice(from), ...rows.slice(0, from)];
}
