import { describe, expect, it } from '@jest/globals';
import { delay, of, type Observable } from 'rxjs';
import type { OutboxContext } from '../../lib/operators/outbox-handler.js';
import { outboxPace, type OutboxPace } from '../../lib/operators/outbox-pace.js';
import { withOutbox } from '../../lib/operators/with-outbox.js';
import { marbles } from '../support/marbles.js';
import { CONFLICT, fakeOutbox, type FakeTx } from '../support/outbox-store.js';

const widthOf = ({ maxBatch, maxCalls }: OutboxPace): string => `${maxCalls} of ${maxBatch}`;

function widthsAfterConflicts(pace: OutboxPace, conflicts: number): string[] {
  return Array.from({ length: conflicts + 1 }, (_, n) => {
    if (n > 0) pace.conflict(pace.step);
    return widthOf(pace);
  });
}

describe('outboxPace', () => {
  it('runs one group at a time after a conflict, then smaller ones, and single messages side by side at last', () => {
    expect(widthsAfterConflicts(outboxPace(10, 8), 6)).toEqual([
      '8 of 10',
      '1 of 10',
      '1 of 5',
      '1 of 3',
      '1 of 2',
      ...['8 of 1', '8 of 1'],
    ]);
    expect(widthsAfterConflicts(outboxPace(4, 1), 3)).toEqual(['1 of 4', '1 of 2', '1 of 1', '1 of 1']);
    expect(widthsAfterConflicts(outboxPace(1, 8), 2)).toEqual(['8 of 1', '8 of 1', '8 of 1']);
  });

  it('narrows by one step for all that ran side by side', () => {
    const pace = outboxPace(64, 8);
    for (let n = 0; n < 8; n++) pace.conflict(0);
    expect(widthOf(pace)).toBe('1 of 64');
  });

  it('widens after 16 calls that went well, and after twice as many where that was too early', () => {
    const pace = outboxPace(64, 8);
    const until = (width: string): number => {
      for (let calls = 1; ; calls++) {
        pace.wentWell(pace.step);
        if (widthOf(pace) === width) return calls;
        if (calls > 10_000) return NaN;
      }
    };
    pace.conflict(0);
    expect(pace.listens).toBe(true);
    expect(until('8 of 64')).toBe(16);
    for (const calls of [32, 64, 128, 256, 512, 1_024, 1_024]) {
      pace.conflict(0);
      expect(until('8 of 64')).toBe(calls);
    }
    // It went well for as long: what comes now is a new conflict.
    for (let n = 0; n < 1_024; n++) pace.wentWell(0);
    expect(pace.listens).toBe(false);
    pace.conflict(0);
    expect(until('8 of 64')).toBe(16);
  });
});

describe('withOutbox whose groups are in the way of one another', () => {
  it('has one transaction open at a time after the first conflicts', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcdefghijklmnopqrstuvwxyz)');
      const store = fakeOutbox({ begin: 1 });
      let conflicts = 0;
      const sideBySide: number[] = [];
      const handler = (value: string, { tx }: OutboxContext<FakeTx>): Observable<string> => {
        if (conflicts > 0) sideBySide.push(store.open);
        // Only groups conflict: the first messages come alone.
        if (value > 'c' && store.open > 1 && conflicts < 2) {
          conflicts++;
          throw CONFLICT;
        }
        tx.write(value);
        return of(value).pipe(delay(5));
      };
      const options = { consumer: 'me', key: (value: string) => value, group: 4, concurrency: 3 };
      const out = drive(source.texts.pipe(withOutbox(store, handler, options)));
      advanceTo(3_000);
      expect([...out.values].sort().join('')).toBe('abcdefghijklmnopqrstuvwxyz');
      expect(conflicts).toBe(2);
      expect(sideBySide.slice(-8)).toEqual(Array.from({ length: 8 }, () => 1));
      expect(source.eventsOf('retried')).toEqual([]);
    }));
});
