import { describe, expect, it } from '@jest/globals';
import { constant } from '../../lib/core/backoff.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';

keepsTheContract('filterValue', { make: () => filterValue(() => true), nackGoesUp: true });

describe('filterValue', () => {
  it('settles what it drops as skipped', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a-b-c-|');
      const expected = '         -a---c-|';
      const skipped = '          ---b----';
      const done = '             -a---c--';
      expectObservable(
        source.texts.pipe(
          filterValue((value) => value !== 'b'),
          ackEach(),
        ),
      ).toBe(expected);
      expectObservable(source.skipped).toBe(skipped);
      expectObservable(source.done).toBe(done);
      expectObservable(source.commits).toBe('-a-b-c-');
    }));

  it('narrows the type by a guard', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const isA = (value: string): value is 'a' => value === 'a';
      const out = drive(source.texts.pipe(filterValue(isA), ackEach()));
      advanceTo(2);
      const values: 'a'[] = out.values;
      expect(values).toEqual(['a']);
    }));

  it('drops a flood within a few credits', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 3 });
      source.fill(5_000);
      source.end();
      const out = drive(
        source.texts.pipe(
          filterValue((value) => value === '4999'),
          ackEach(),
        ),
      );
      advanceTo(1);
      expect(out.values).toEqual(['4999']);
      expect(out.completed).toBe(true);
      expect(source.committed()).toBe(5_000);
    }));

  it('nacks with the error where the predicate throws, and goes on', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc', { redelivery: constant(1_000) });
      const failure = new Error('no');
      const predicate = (value: string): boolean => {
        if (value === 'b') throw failure;
        return true;
      };
      const out = drive(source.texts.pipe(filterValue(predicate), ackEach()));
      advanceTo(10);
      expect(out.values.join('')).toBe('ac');
      expect(out.error).toBeUndefined();
      expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([failure]);
      expect(source.committed()).toBe(1);
    }));

  it('refuses what is no function', () => {
    expect(refusal(() => filterValue(untyped('x')))).toBe('filterValue: predicate must be a function, not a string.');
  });
});
