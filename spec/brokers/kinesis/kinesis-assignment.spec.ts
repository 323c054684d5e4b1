import { describe, expect, it } from '@jest/globals';
import { nextMoves } from '../../../lib/brokers/kinesis/kinesis-assignment.js';
import type { ShardLease } from '../../../lib/core/lease-store.js';
import { choices } from '../../model/random.js';
import { randomSeed } from '../../support/seed.js';

const SEED = randomSeed();
const no = (): boolean => false;

function row(shard: string, owner: string | null, more: Partial<ShardLease> = {}): ShardLease {
  const rest = { counter: 1, wantedBy: null, checkpoint: 'TRIM_HORIZON', acked: '', doneUntil: 0, parents: [] };
  return { shard, owner, ...rest, ...more };
}

function moves(
  worker: string,
  rows: readonly ShardLease[],
  { expired = [], overdue = [], read = [] }: Partial<Record<'expired' | 'overdue' | 'read', readonly string[]>> = {},
): { take: string[]; want: string[] } {
  const { take, want } = nextMoves({
    worker,
    rows: new Map(rows.map((each) => [each.shard, each])),
    isExpired: ({ shard }) => expired.includes(shard),
    isOverdue: ({ shard }) => overdue.includes(shard),
    isRead: (shard) => read.includes(shard),
  });
  return { take: take.map(({ shard }) => shard).sort(), want: want.map(({ shard }) => shard).sort() };
}

describe('the sharing of shards', () => {
  it('gives all to one that is alone', () => {
    expect(moves('a', [row('1', null), row('2', null)])).toEqual({ take: ['1', '2'], want: [] });
  });

  it('takes no more than a fair share of what is free', () => {
    const rows = [row('1', 'b'), row('2', null), row('3', null), row('4', null)];
    expect(moves('a', rows).take).toHaveLength(2);
  });

  it('asks those who have most, and leaves alone who have as many', () => {
    const rows = [row('1', 'b'), row('2', 'b'), row('3', 'b'), row('4', 'c')];
    expect(moves('a', rows)).toEqual({ take: [], want: [expect.any(String)] });
    expect(moves('c', rows)).toEqual({ take: [], want: [expect.any(String)] });
    expect(moves('a', [row('1', 'b'), row('2', 'c')])).toEqual({ take: [], want: [] });
  });

  it('does not ask for what is asked for already', () => {
    const rows = [row('1', 'b', { wantedBy: 'c' }), row('2', 'b', { wantedBy: 'd' })];
    expect(moves('a', rows)).toEqual({ take: [], want: [] });
  });

  it('takes what has expired, whoever wanted it, and what is overdue', () => {
    expect(moves('a', [row('1', 'b', { wantedBy: 'c' })], { expired: ['1'] }).take).toEqual(['1']);
    const rows = [row('1', 'b', { wantedBy: 'a' }), row('2', 'b')];
    expect(moves('a', rows)).toEqual({ take: [], want: [] });
    expect(moves('a', rows, { overdue: ['1'] }).take).toEqual(['1']);
    expect(moves('a', [row('1', 'b', { wantedBy: 'c' }), row('2', 'b')], { overdue: ['1'] }).take).toEqual([]);
  });

  it('leaves to others what it has read to its end, and shares the rest', () => {
    const rows = [row('1', null), row('2', null), row('3', 'b'), row('4', 'b')];
    expect(moves('a', rows, { read: ['1', '2'] })).toEqual({ take: [], want: [expect.stringMatching(/3|4/)] });
    expect(moves('a', rows, { read: ['1', '2', '3', '4'] })).toEqual({ take: [], want: [] });
    expect(moves('b', rows).take).toEqual(['1', '2']);
  });

  it('takes neither what is done nor what is not to be read yet', () => {
    const rows = [
      row('1', null, { checkpoint: 'SHARD_END' }),
      row('2', null, { parents: ['1'] }),
      row('3', 'b'),
      row('4', null, { parents: ['2', '3'] }),
    ];
    expect(moves('a', rows).take).toEqual(['2']);
  });

  it(`comes to rest at fair shares from any beginning: seed ${SEED}`, () => {
    const choice = choices(SEED);
    for (let run = 0; run < 300; run++) {
      const names = [...'abcdefg'].slice(0, 1 + choice.below(7));
      const rows = new Map<string, ShardLease>();
      for (let shard = 0, count = choice.below(25); shard < count; shard++) {
        const owner = choice.chance(0.3) ? null : (names[choice.below(names.length)] as string);
        rows.set(`${shard}`, row(`${shard}`, owner));
      }
      let written: number;
      let round = 0;
      do {
        written = 0;
        for (const worker of names) {
          const { take, want } = nextMoves({ worker, rows, isExpired: no, isOverdue: no, isRead: no });
          for (const each of take) rows.set(each.shard, { ...each, owner: worker, wantedBy: null });
          for (const each of want) rows.set(each.shard, { ...each, wantedBy: worker });
          written += take.length + want.length;
          // Owners give at once what is asked for.
          for (const each of rows.values()) {
            if (each.wantedBy !== null) rows.set(each.shard, { ...each, owner: each.wantedBy, wantedBy: null });
          }
        }
      } while (written > 0 && ++round < 50);
      const counts = names.map((name) => [...rows.values()].filter(({ owner }) => owner === name).length);
      expect(round).toBeLessThan(20);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(rows.size);
      expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    }
  });
});
