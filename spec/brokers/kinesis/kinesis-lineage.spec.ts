import { describe, expect, it } from '@jest/globals';
import {
  finishedRows,
  firstRows,
  isReadable,
  laterRows,
  missingRows,
} from '../../../lib/brokers/kinesis/kinesis-lineage.js';
import type { KinesisShardLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import type { ShardLease } from '../../../lib/core/lease-store.js';
import { choices } from '../../model/random.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { randomSeed } from '../../support/seed.js';

const SEED = randomSeed();

function shard(number: number, parents: readonly number[] = [], isOpen = true): KinesisShardLike {
  const [parent, adjacent] = parents;
  return {
    ShardId: shardId(number),
    ...(parent === undefined ? {} : { ParentShardId: shardId(parent) }),
    ...(adjacent === undefined ? {} : { AdjacentParentShardId: shardId(adjacent) }),
    HashKeyRange: { StartingHashKey: '0', EndingHashKey: '1' },
    SequenceNumberRange: { StartingSequenceNumber: '1', ...(isOpen ? {} : { EndingSequenceNumber: '2' }) },
  };
}

function mapOf(rows: readonly ShardLease[]): Map<string, ShardLease> {
  return new Map(rows.map((row) => [row.shard, row]));
}

const idsOf = (rows: readonly ShardLease[]): string[] => rows.map((row) => row.shard);

// 0 was split into 2 and 3, 1 and 3 were merged into 4.
const TREE = [shard(0, [], false), shard(1, [], false), shard(2, [0]), shard(3, [0], false), shard(4, [3, 1])];

describe('the rows of a consumer that has none', () => {
  it('are all shards for the earliest, and wait for their parents', () => {
    const rows = firstRows(TREE, 'earliest', 0);
    expect(idsOf(rows)).toEqual([0, 1, 2, 3, 4].map(shardId));
    expect(idsOf(rows.filter((row) => isReadable(row, mapOf(rows))))).toEqual([0, 1].map(shardId));
    expect(new Set(rows.map(({ checkpoint }) => checkpoint))).toEqual(new Set(['TRIM_HORIZON']));
  });

  it('are the open shards for the latest', () => {
    const rows = firstRows(TREE, 'latest', 5);
    expect(idsOf(rows)).toEqual([2, 4].map(shardId));
    expect(rows.every((row) => row.checkpoint === 'AT_TIMESTAMP 5' && isReadable(row, mapOf(rows)))).toBe(true);
  });

  it('leave out what comes before given places', () => {
    const rows = firstRows(TREE, [{ shard: shardId(4), sequenceNumber: '7' }], 0);
    expect(rows.map(({ shard: id, checkpoint }) => [id, checkpoint])).toEqual([
      [shardId(2), 'TRIM_HORIZON'],
      [shardId(4), 'AT 7'],
    ]);
  });

  it('are completed where they were added in part, and not once somebody has begun', () => {
    const [first, ...others] = firstRows(TREE, 'earliest', 0) as [ShardLease, ...ShardLease[]];
    expect(idsOf(missingRows(TREE, mapOf([first]), 'earliest', 0))).toEqual(idsOf(others));
    const all = mapOf([first, ...others].map((row) => ({ ...row, counter: 2 })));
    all.delete(shardId(0));
    expect(missingRows(TREE, all, 'earliest', 0)).toEqual([]);
  });
});

describe('the rows that come later', () => {
  it('are those of what known shards became, from their oldest record on', () => {
    const rows = mapOf(firstRows([shard(0), shard(1)], 'earliest', 0));
    const added = laterRows(TREE, rows);
    expect(idsOf(added)).toEqual([2, 3, 4].map(shardId));
    expect(added.map(({ parents }) => parents)).toEqual([[shardId(0)], [shardId(0)], [shardId(3), shardId(1)]]);
  });

  it('start at the time at which their parent is still to be read', () => {
    const rows = mapOf(firstRows([shard(0)], new Date(9), 0));
    expect(laterRows([shard(0, [], false), shard(1, [0])], rows)[0]?.checkpoint).toBe('AT_TIMESTAMP 9');
  });

  it('are not those of shards that are done and removed', () => {
    const rows = mapOf(laterRows(TREE, mapOf(firstRows([shard(0), shard(1)], 'earliest', 0))));
    expect(laterRows(TREE, rows)).toEqual([]);
  });

  it('are those that retention cut off, and every open one', () => {
    const rows = mapOf(firstRows([shard(5)], 'earliest', 0));
    const listed = [shard(5), shard(9, [7], false), shard(10, [9]), shard(3, [1])];
    expect(idsOf(laterRows(listed, rows))).toEqual([3, 9, 10].map(shardId));
  });
});

describe('random trees of shards', () => {
  it(`read each shard once, behind all that it came of, and leave no rows of what is over: seed ${SEED}`, () => {
    const choice = choices(SEED);
    for (let run = 0; run < 40; run++) {
      const shards = [shard(0), shard(1)];
      const open = [0, 1];
      const rows = mapOf(firstRows(shards, 'earliest', 0));
      const done: number[] = [];
      const close = (number: number): void => {
        const id = shardId(number);
        const at = shards.findIndex(({ ShardId }) => ShardId === id);
        shards[at] = {
          ...(shards[at] as KinesisShardLike),
          SequenceNumberRange: shard(0, [], false).SequenceNumberRange,
        };
        open.splice(open.indexOf(number), 1);
      };
      const sync = (): void => {
        for (const row of laterRows(shards, rows)) {
          expect(done).not.toContain(Number(row.shard.slice(8)));
          rows.set(row.shard, row);
        }
        for (const { shard: id } of finishedRows(shards, rows)) rows.delete(id);
      };
      const isClosed = (id: string): boolean => !open.includes(Number(id.slice(8)));
      const work = (): void => {
        const readable = [...rows.values()].filter((row) => isReadable(row, rows));
        const row = readable[choice.below(readable.length)];
        if (row === undefined) return;
        const number = Number(row.shard.slice(8));
        for (const parent of row.parents) expect(done).toContain(Number(parent.slice(8)));
        if (isClosed(row.shard)) done.push(number);
        rows.set(row.shard, { ...row, checkpoint: isClosed(row.shard) ? 'SHARD_END' : 'AFTER 1' });
      };
      for (let step = 0; step < 40; step++) {
        const next = shards.length;
        const what = choice.next();
        if (what < 0.2) {
          const parent = open[choice.below(open.length)] as number;
          close(parent);
          shards.push(shard(next, [parent]), shard(next + 1, [parent]));
          open.push(next, next + 1);
        } else if (what < 0.36 && open.length > 1) {
          const [left, right] = [...open].sort(() => choice.next() - 0.5) as [number, number];
          close(left);
          close(right);
          shards.push(shard(next, [left, right]));
          open.push(next);
        }
        if (choice.chance(0.4)) sync();
        work();
      }
      for (let step = 0; step < 400; step++) {
        if (step % 10 === 0) sync();
        work();
      }
      sync();
      const closed = shards.map((_, number) => number).filter((number) => !open.includes(number));
      expect([...done].sort((a, b) => a - b)).toEqual(closed);
      expect([...rows.keys()].sort()).toEqual([...open].sort((a, b) => a - b).map(shardId));
    }
  });
});
