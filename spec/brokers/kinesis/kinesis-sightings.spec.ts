import { describe, expect, it } from '@jest/globals';
import { environment } from '../../../lib/core/environment.js';
import type { ShardLease } from '../../../lib/core/lease-store.js';
import { createSightings } from '../../../lib/brokers/kinesis/kinesis-sightings.js';
import { marbles } from '../../support/marbles.js';

const LEASE_MS = 3_000;

function row(counter: number, more: Partial<ShardLease> = {}): ShardLease {
  const rest = { owner: 'a', wantedBy: null, checkpoint: 'TRIM_HORIZON', acked: '', doneUntil: 0, parents: [] };
  return { shard: '1', counter, ...rest, ...more };
}

/** Looks at these rows at these times, and answers with when the owner first counts as gone. */
function goneAt(looks: readonly (readonly [at: number, row: ShardLease])[]): number | null {
  let found: number | null = null;
  marbles((helpers) => {
    const sightings = createSightings(LEASE_MS);
    for (const [at, seen] of looks) {
      helpers.advanceTo(at);
      sightings.observe(new Map([[seen.shard, seen]]));
      if (found === null && sightings.isExpired(seen)) found = environment.now();
    }
  });
  return found;
}

const at = (times: readonly number[], seen: ShardLease): [number, ShardLease][] => times.map((time) => [time, seen]);

describe('an owner counts as gone', () => {
  it('once its counter has stood still for a whole lease, from look to look', () => {
    expect(goneAt(at([0, 1_000, 2_000, 3_000], row(7)))).toBe(3_000);
    expect(goneAt(at([0, 999, 1_998, 2_997], row(7)))).toBe(null);
    expect(goneAt([[0, row(7)], [2_000, row(8)], ...at([2_900, 3_800, 4_700, 5_600], row(8))])).toBe(5_600);
  });

  it('never by a sight of another counter', () => {
    marbles((helpers) => {
      const sightings = createSightings(LEASE_MS);
      for (const time of [0, 1_000, 2_000, 3_000]) {
        helpers.advanceTo(time);
        sightings.observe(new Map([['1', row(7)]]));
      }
      expect(sightings.isExpired(row(8))).toBe(false);
      sightings.observe(new Map());
      expect(sightings.isExpired(row(7))).toBe(false);
    });
  });

  it('not sooner for a gap between two looks: a store that was out took nothing of the owner either', () => {
    expect(goneAt(at([0, 900, 60_000], row(7)))).toBe(null);
    expect(goneAt(at([0, 900, 60_000, 61_000], row(7)))).toBe(null);
    expect(goneAt(at([0, 900, 60_000, 61_000, 62_000], row(7)))).toBe(62_000);
  });

  it('no later for looks that failed in between, and no later for many looks', () => {
    expect(goneAt(at([0, 1_300, 2_300, 3_300], row(7)))).toBe(3_300);
    expect(
      goneAt(
        at(
          Array.from({ length: 100 }, (_, n) => n * 50),
          row(7),
        ),
      ),
    ).toBe(3_000);
  });

  it('no later for somebody who asks for the shard, or asks no more', () => {
    expect(
      goneAt([
        [0, row(7)],
        [1_000, row(8, { wantedBy: 'b' })],
        [2_000, row(9)],
        [3_000, row(10, { wantedBy: 'c' })],
      ]),
    ).toBe(3_000);
  });

  it('later for a renewal beside that, and for another owner', () => {
    expect(goneAt([[0, row(7)], ...at([1_000, 2_000, 3_000], row(9, { wantedBy: 'b' }))])).toBe(null);
    expect(goneAt([[0, row(7)], ...at([1_000, 2_000, 3_000], row(8, { owner: 'b' }))])).toBe(null);
  });
});
