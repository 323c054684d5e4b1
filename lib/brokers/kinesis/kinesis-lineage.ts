import { isDate } from '../../core/is-date.js';
import type { ShardLease } from '../../core/lease-store.js';
import { decodeCheckpoint, encodeCheckpoint, isEnd, isUntouched, type Checkpoint } from './kinesis-checkpoint.js';
import type { KinesisShardLike } from './kinesis-client.js';

/** Where a shard starts that the consumer has nothing of. @internal */
export type Start = 'earliest' | 'latest' | Date | readonly StartPlace[];

/** @internal */
export interface StartPlace {
  readonly shard: string;
  readonly sequenceNumber: string;
  readonly subSequenceNumber?: number | null;
}

/** All rows of a consumer, by shard. @internal */
export type Rows = ReadonlyMap<string, ShardLease>;

const FIRST_COUNTER = 1;

/** The rows of a consumer that has none: of all shards that its start leads to. `latestMs` is what `'latest'` falls back to. @internal */
export function firstRows(shards: readonly KinesisShardLike[], start: Start, latestMs: number): ShardLease[] {
  if (start === 'latest') {
    return shards.filter(isOpen).map((shard) => rowOf(shard, { kind: 'time', ms: latestMs }));
  }
  if (start === 'earliest') return shards.map((shard) => rowOf(shard, { kind: 'oldest' }));
  if (isDate(start)) return shards.map((shard) => rowOf(shard, { kind: 'time', ms: start.getTime() }));
  const places = new Map(start.map((place) => [place.shard, place]));
  const before = ancestorsOf(shards, places);
  return shards
    .filter(({ ShardId }) => !before.has(ShardId as string))
    .map((shard) => {
      const place = places.get(shard.ShardId as string);
      if (place === undefined) return rowOf(shard, { kind: 'oldest' });
      const { sequenceNumber, subSequenceNumber = null } = place;
      return rowOf(shard, { kind: 'at', sequenceNumber, subSequenceNumber });
    });
}

/** The rows to be added: the first ones, as long as nobody has begun, for whoever added them may have died amid it. */
export function missingRows(
  shards: readonly KinesisShardLike[],
  rows: Rows,
  start: Start,
  latestMs: number,
): ShardLease[] {
  const isBegun = [...rows.values()].some(({ counter }) => counter > FIRST_COUNTER);
  if (isBegun) return laterRows(shards, rows);
  return firstRows(shards, start, latestMs).filter(({ shard }) => !rows.has(shard));
}

/**
 * Rows of shards that have come since: those whose parents have one, and theirs in turn. Where retention has taken a whole
 * generation while nobody looked, it is the shards that are newer than all that are known.
 * @internal
 */
export function laterRows(shards: readonly KinesisShardLike[], rows: Rows): ShardLease[] {
  const known = new Map(rows);
  const listed = new Set(shards.map(({ ShardId }) => ShardId as string));
  const newest = [...rows.keys()].reduce((last, shard) => (shard > last ? shard : last), '');
  const added: ShardLease[] = [];
  // Parents come first: ids ascend.
  const inOrder = [...shards].sort((left, right) => ((left.ShardId as string) < (right.ShardId as string) ? -1 : 1));
  for (const shard of inOrder) {
    const id = shard.ShardId as string;
    if (known.has(id)) continue;
    const parents = parentsOf(shard);
    const parent = parents.map((name) => known.get(name)).find((row) => row !== undefined);
    // One that is open was never done.
    const isCutOff = parents.every((name) => !listed.has(name)) && (id > newest || isOpen(shard));
    if (parent === undefined && !isCutOff) continue;
    const row = rowOf(shard, startBehind(parent));
    known.set(id, row);
    added.push(row);
  }
  return added;
}

/** Whether all that comes before it is done. @internal */
export function isReadable(row: ShardLease, rows: Rows): boolean {
  return !isEnd(row.checkpoint) && row.parents.every((parent) => isEnd(rows.get(parent)?.checkpoint ?? END));
}

/** Shards that have ended, and nothing is known of what they became. @internal */
export function childlessEnds(rows: Rows): string[] {
  const parents = new Set([...rows.values()].flatMap((row) => row.parents));
  return [...rows.values()].filter((row) => isEnd(row.checkpoint) && !parents.has(row.shard)).map(({ shard }) => shard);
}

/** Rows that nobody needs any more: the oldest ones, all of whose children are on their way. @internal */
export function finishedRows(shards: readonly KinesisShardLike[], rows: Rows): ShardLease[] {
  // By what they came of: has every child moved on.
  const haveMovedOn = new Map<string, boolean>();
  for (const shard of shards) {
    const child = rows.get(shard.ShardId as string);
    const hasMovedOn = child !== undefined && !isUntouched(child.checkpoint);
    for (const parent of parentsOf(shard)) haveMovedOn.set(parent, hasMovedOn && haveMovedOn.get(parent) !== false);
  }
  return [...rows.values()].filter(
    ({ shard, checkpoint, parents }) =>
      isEnd(checkpoint) && haveMovedOn.get(shard) === true && !parents.some((parent) => rows.has(parent)),
  );
}

const END = encodeCheckpoint({ kind: 'end' });

/** The shards that a shard came of, by a split or a merge. @internal */
export function parentsOf({ ParentShardId, AdjacentParentShardId }: KinesisShardLike): string[] {
  return [ParentShardId, AdjacentParentShardId].filter((parent) => parent !== undefined);
}

// A shard that came of one that is still to be read from a time on has nothing that is older, or is cut at the same time.
function startBehind(parent: ShardLease | undefined): Checkpoint {
  const checkpoint = parent === undefined ? null : decodeCheckpoint(parent.checkpoint);
  return checkpoint?.kind === 'time' ? checkpoint : { kind: 'oldest' };
}

function rowOf(shard: KinesisShardLike, checkpoint: Checkpoint): ShardLease {
  return {
    shard: shard.ShardId as string,
    counter: FIRST_COUNTER,
    owner: null,
    wantedBy: null,
    checkpoint: encodeCheckpoint(checkpoint),
    acked: '',
    doneUntil: checkpoint.kind === 'time' ? checkpoint.ms : 0,
    parents: parentsOf(shard),
  };
}

function ancestorsOf(
  shards: readonly KinesisShardLike[],
  places: ReadonlyMap<string, StartPlace>,
): ReadonlySet<string> {
  const byId = new Map(shards.map((shard) => [shard.ShardId as string, shard]));
  const before = new Set<string>();
  // A list and no recursion: a stream may have thousands of generations.
  const toWalk = [...places.keys()];
  for (let id = toWalk.pop(); id !== undefined; id = toWalk.pop()) {
    const shard = byId.get(id);
    for (const parent of shard === undefined ? [] : parentsOf(shard)) {
      if (before.has(parent)) continue;
      before.add(parent);
      toWalk.push(parent);
    }
  }
  for (const id of places.keys()) before.delete(id);
  return before;
}

/** Whether it has been neither split nor merged. @internal */
export function isOpen({ SequenceNumberRange }: KinesisShardLike): boolean {
  return SequenceNumberRange?.EndingSequenceNumber === undefined;
}
