import { describe, expect, it } from '@jest/globals';
import {
  concat,
  concatMap,
  EMPTY,
  exhaustMap,
  map,
  mergeMap,
  NEVER,
  type Observable,
  of,
  switchMap,
  throwError,
  timer,
} from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import { constant } from '../../lib/core/backoff.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { settling } from '../../lib/operators/settling.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import type { ScriptedPosition } from '../support/scripted-log.js';
import { refusal, untyped } from '../support/options.js';
import { thenable, throwingThenable } from '../support/thenable.js';

// It stands inside a foreign operator: where a value is no delivery, that is who meets it.
keepsTheContract('mergeMap over settling', {
  make: () => (source) => source.pipe(mergeMap((delivery) => settling(delivery, (value) => value))),
  nackGoesUp: true,
  ownsItsInput: false,
});

const takes =
  (ms: number) =>
  (value: string): Observable<string> =>
    timer(ms).pipe(map(() => value.toUpperCase()));

describe('settling', () => {
  it('emits the delivery with the result, then completes', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -(ab)---|  ');
      const expected = '         ---A--B-|';
      const work = (value: string) => takes(value === 'a' ? 2 : 5)(value);
      expectObservable(
        source.texts.pipe(
          mergeMap((d) => settling(d, work)),
          ackEach(),
        ),
      ).toBe(expected);
      expectObservable(source.done).toBe('---a--b');
    }));

  it('takes the last value, and undefined where there is none', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const work = (value: string) => (value === 'a' ? of(1, 2, 3) : EMPTY);
      const out = drive(
        source.texts.pipe(
          mergeMap((d) => settling(d, work)),
          ackEach(),
        ),
      );
      advanceTo(5);
      expect(out.values).toEqual([3, undefined]);
    }));

  it.each([
    [
      'throws',
      (): string => {
        throw 'no';
      },
    ],
    ['fails', () => throwError(() => 'no')],
    [
      'fails later',
      () =>
        concat(
          timer(1).pipe(mergeMap(() => EMPTY)),
          throwError(() => 'no'),
        ),
    ],
    ['rejects', () => thenable({ atMs: 1, error: 'no' })],
  ])('nacks where the work %s, emits nothing and never errors', (_, work: () => unknown) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a--b', { redelivery: constant(1_000) });
      const out = drive(
        source.texts.pipe(
          concatMap((d) => settling(d, (value) => (value === 'a' ? work() : value))),
          ackEach(),
        ),
      );
      advanceTo(10);
      expect(out.values).toEqual(['b']);
      expect(out.error).toBeUndefined();
      expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual(['no']);
    }),
  );

  it('emits nothing where the work settled the delivery itself, and completes', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)');
      const out = drive(
        source.texts.pipe(
          concatMap((d) =>
            settling(d, (value) => {
              if (value === 'a') d.settle('skipped');
              return value;
            }),
          ),
          ackEach(),
        ),
      );
      advanceTo(5);
      expect(out.values).toEqual(['b']);
      expect(source.settled('skipped')).toEqual(['a']);
      expect(source.eventsOf('stale-settlement')).toEqual([]);
    }));

  it('counts the first settlement of a promise that settles twice', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const work = () => thenable({ atMs: 2, error: 'no' }, { atMs: 3, value: 'late' });
      const out = drive(source.texts.pipe(mergeMap((d) => settling(d, work))));
      advanceTo(8);
      expect(out.values).toEqual([]);
      expect(source.eventsOf('retried')).toHaveLength(1);
      expect(source.eventsOf('stale-settlement')).toEqual([]);
    }));

  it('changes nothing where a promise settles after it was cancelled', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const first = drive(
        source.texts.pipe(
          mergeMap((d) => settling(d, () => thenable({ atMs: 5, value: 'late' }))),
          ackEach(),
        ),
      );
      advanceTo(2);
      first.unsubscribe();
      advanceTo(10);
      expect(first.values).toEqual([]);
      expect(source.settled()).toEqual([]);
      expect(source.committed()).toBe(0);
      expect(source.isOpen).toBe(false);
    }));

  it('releases what is cancelled: it comes again and no attempt is counted', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a-b');
      const attempts: string[] = [];
      const signals: AbortSignal[] = [];
      const work = (d: Delivery<string>) => {
        attempts.push(`${d.value}${d.attempt}`);
        signals.push(d.signal);
        return settling(d, takes(5));
      };
      const out = drive(source.texts.pipe(switchMap(work), ackEach()));
      advanceTo(2);
      expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
      advanceTo(30);
      expect(attempts).toEqual(['a1', 'b1', 'a1']);
      expect(out.values).toEqual(['B', 'A']);
    }));

  it("settles what is cancelled as skipped with 'skip'", () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       a-b-c-----');
      const expected = '         ---------C';
      const skipped = '          --a-b-----';
      const work = (d: Delivery<string>) => settling(d, takes(5), { cancelled: 'skip' });
      expectObservable(source.texts.pipe(switchMap(work), ackEach())).toBe(expected);
      expectObservable(source.skipped).toBe(skipped);
      expectObservable(source.done).toBe('         ---------c');
    }));

  it("aborts the signal of what is cancelled with 'skip' too", () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a-b');
      const signals: AbortSignal[] = [];
      const work = (d: Delivery<string>) => {
        signals.push(d.signal);
        return settling(d, takes(5), { cancelled: 'skip' });
      };
      drive(source.texts.pipe(switchMap(work), ackEach()));
      advanceTo(2);
      expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    }));

  it("gets through a flood under switchMap with 'skip'", () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 50 });
      source.fill(6_000);
      source.end();
      const work = (d: Delivery<string>) => settling(d, takes(1), { cancelled: 'skip' });
      const out = drive(source.texts.pipe(switchMap(work), ackEach()));
      advanceTo(1_000);
      expect(source.committed()).toBe(6_000);
      expect(out.completed).toBe(true);
      expect(out.values.at(-1)).toBe('5999');
    }));

  it('starts nothing for a delivery that is settled already', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      let runs = 0;
      const out = drive(source.texts.pipe(mergeMap((d) => (d.ack(), settling(d, () => runs++)))));
      advanceTo(5);
      expect(runs).toBe(0);
      expect(out.values).toEqual([]);
      expect(source.settled('done')).toEqual(['a']);
    }));

  it('starts nothing for a delivery whose partition is being revoked', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)');
      const started: string[] = [];
      const work = (d: Delivery<string>) => settling(d, (value) => (started.push(value), takes(4)(value)));
      const out = drive(source.texts.pipe(concatMap(work), ackEach()));
      advanceTo(1);
      source.revoke();
      advanceTo(10);
      expect(started).toEqual(['a']);
      expect(out.values).toEqual(['A']);
      expect(source.committed()).toBe(1);
      expect(source.eventsOf('revoked').map(({ event }) => event.drained)).toEqual([true]);
    }));

  it('completes where the epoch closes, so that an operator around it goes on', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { messages: { a: { partition: 0 }, b: { partition: 1 } }, partitions: 2 });
      const work = (d: Delivery<string>) => settling(d, (value) => (value === 'a' ? NEVER : of(value)));
      const out = drive(source.texts.pipe(exhaustMap(work), ackEach()));
      advanceTo(1);
      source.lose(0);
      source.publish('b');
      advanceTo(2);
      expect(out.values).toEqual(['b']);
    }));

  it('is cold: nothing runs before it is subscribed', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      let runs = 0;
      const out = drive(source.texts.pipe(map((d) => settling(d, () => runs++))));
      advanceTo(5);
      expect(out.values).toHaveLength(1);
      expect(runs).toBe(0);
      out.values[0]?.subscribe((delivery) => delivery.ack());
      expect(runs).toBe(1);
      expect(source.settled('done')).toEqual(['a']);
    }));

  it('nacks where `then` itself throws, and does not error', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const builder = throwingThenable(new Error('execute it'));
      const works = mergeMap((delivery: Delivery<string, ScriptedPosition>) =>
        settling(delivery, (value) => (value === 'a' && delivery.attempt === 1 ? builder : value)),
      );
      const out = drive(source.texts.pipe(works, ackEach()));
      advanceTo(20);
      expect([out.values, out.error]).toEqual([['b', 'a'], undefined]);
    }));

  it('refuses options that are not allowed, and says which, what was given and what is allowed', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const messages: string[] = [];
      drive(source.texts, (delivery) => {
        messages.push(refusal(() => settling(delivery, untyped(5))));
        messages.push(refusal(() => settling(delivery, () => 1, { cancelled: untyped('ignore') })));
        messages.push(refusal(() => settling(delivery, () => 1, untyped({ cancel: 'skip' }))));
        delivery.ack();
      });
      advanceTo(1);
      expect(messages).toEqual([
        'settling: work must be a function, not 5.',
        "settling: cancelled must be 'release' or 'skip', not 'ignore'.",
        'settling: there is no option cancel; there are cancelled.',
      ]);
    }));
});
