import { describe, expect, it } from '@jest/globals';
import { delay, from, timer } from 'rxjs';
import type { OutboxClaim } from '../../lib/core/outbox-store.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { fromOutbox } from '../../lib/operators/from-outbox.js';
import { handle } from '../../lib/operators/handle.js';
import { marbles } from '../support/marbles.js';
import { fakeRows, type FakeRows } from '../support/outbox-rows.js';

describe('a claim of fromOutbox beside rows that are out', () => {
  const LANES = Array.from({ length: 100 }, (_, n) => String.fromCharCode(0x4e00 + n));
  const claimsOf = (rows: FakeRows): number => rows.calls.filter((call) => call.includes('claim')).length;

  it('is made again at once for what marks have freed while it was under way', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows({ published: 5 });
      for (let n = 0; n < 20; n++) rows.put(...LANES.map((lane) => `${lane}${n}`));
      // As in a database, a claim sees what there was when it began.
      const slow = { ...rows, claim: (options: OutboxClaim) => from(rows.claim(options)).pipe(delay(100)) };
      drive(fromOutbox(slow, { pollMs: 10_000 }).pipe(ackEach()));
      advanceTo(1_000);
      expect(rows.in('published')).toHaveLength(2_000);
    }));

  it('is not made for a while after one that has found little, since all follow the same lanes', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows({ claim: 10, published: 5 });
      for (let n = 0; n < 200; n++) rows.put(...LANES.map((lane) => `${lane}${n}`));
      drive(
        fromOutbox(rows, { pollMs: 10_000 }).pipe(
          handle(() => timer(10), { concurrency: 100 }),
          ackEach(),
        ),
      );
      advanceTo(9_000);
      expect(rows.in('published')).toHaveLength(20_000);
      // 20 that give a thousand each, and some beside them; 222 otherwise.
      expect(claimsOf(rows)).toBeLessThan(80);
    }));
});

describe('a claim of fromOutbox that finds nothing', () => {
  const claimsOf = (rows: FakeRows): number => rows.calls.filter((call) => call.includes('claim')).length;

  it.each([
    [1, 100],
    [20, 84],
    [100, 17],
    // At least every 5 s.
    [5_000, 1],
  ])('and takes %d ms is made %d times in 10 s', (ms, times) =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows({ claim: ms });
      drive(fromOutbox(rows).pipe(ackEach()));
      advanceTo(9_999);
      expect(claimsOf(rows)).toBe(times);
    }),
  );

  it('keeps no row waiting that the relay is woken for', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows({ claim: 1_000 });
      drive(fromOutbox(rows).pipe(ackEach()));
      advanceTo(1_500);
      rows.put('a1');
      rows.wakeUps.next(null);
      advanceTo(2_501);
      expect(rows.in('published')).toEqual(['a1']);
    }));

  it('has the next one poll at its usual time, once rows are there', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows({ claim: 400 });
      drive(fromOutbox(rows).pipe(ackEach()));
      advanceTo(100);
      rows.put('a1');
      advanceTo(2_400);
      rows.put('a2');
      // The claim of 2,400 ms found a1, and the next begins 100 ms after it has ended.
      advanceTo(3_301);
      expect(rows.in('published')).toEqual(['a1', 'a2']);
    }));
});

it('fromOutbox marks together what is published in one turn', () =>
  marbles(({ drive, advanceTo }) => {
    const rows = fakeRows();
    rows.put(...Array.from({ length: 100 }, (_, n) => `-${n}`));
    drive(fromOutbox(rows).pipe(ackEach()));
    advanceTo(1);
    expect(rows.in('published')).toHaveLength(100);
    expect(rows.calls.filter((call) => call.includes('published'))).toHaveLength(1);
  }));
