import { describe, expect, it } from '@jest/globals';
import {
  catchError,
  concat,
  delay,
  filter,
  identity,
  ignoreElements,
  map,
  NEVER,
  of,
  retry,
  subscribeOn,
  asyncScheduler,
  take,
  takeUntil,
  tap,
  throwError,
  timer,
  type Observable,
  type OperatorFunction,
} from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { permanent } from '../../lib/core/failures.js';
import type { Outcome } from '../../lib/core/outcome.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { batch } from '../../lib/operators/batch.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { fanOut } from '../../lib/operators/fan-out.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { handle } from '../../lib/operators/handle.js';
import { ordered } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { split } from '../../lib/operators/split.js';
import { choices, type Choices } from '../model/random.js';
import { gather } from '../support/gather.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import { fakePublisher } from '../support/publishers.js';
import { textOf, type ScriptedPosition } from '../support/scripted-log.js';
import { fakeStore } from '../support/stores.js';

type Text = Delivery<string, ScriptedPosition>;
type Branch<R = Text> = OperatorFunction<Text, R>;

keepsTheContract('fanOut of one branch', { make: () => fanOut((each: Observable<Text>) => each), nackGoesUp: true });
keepsTheContract('fanOut, beside a branch that acks', {
  make: () => fanOut(acks(), identity as Branch),
  nackGoesUp: true,
});
keepsTheContract('fanOut, above another', {
  make: () => (source) => source.pipe(fanOut(identity as Branch, acks()), fanOut(acks(), identity as Branch)),
  nackGoesUp: true,
});

// As long as never: what moves before it moved by quiet, or by its size.
const NEVER_MS = 250_000;
const NO = new Error('no');

function acks(): Branch<never> {
  return (each) => each.pipe(ackEach(), ignoreElements());
}

const takes =
  (ms: number) =>
  <T>(value: T): Observable<T> =>
    timer(ms).pipe(map(() => value));
const tagged =
  (tag: string): Branch =>
  (each) =>
    each.pipe(map((delivery) => delivery.withValue(`${tag}${delivery.value}`)));
const nodeOf = (delivery: unknown): DeliveryNode => delivery as DeliveryNode;

describe('fanOut', () => {
  it('gives each delivery to every branch, and settles it when the last has', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a--b-----|');
      const expected = '         -a--b--x--(y|)';
      const done = '             -------a--b';
      const out = source.texts.pipe(
        fanOut(
          (each) => each.pipe(ackEach()),
          (each) => each.pipe(handle(takes(6), { concurrency: 2 }), ackEach(), map((value) => value.toUpperCase())), // prettier-ignore
        ),
      );
      expectObservable(out).toBe(expected, { a: 'a', b: 'b', x: 'A', y: 'B' });
      expectObservable(source.done).toBe(done);
    }));

  it('gives each branch a delivery of its own, of the same identity', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab', { messages: { b: { key: 'k', headers: { h: '1' } } } });
      const out = drive(source.texts.pipe(fanOut(tagged('x'), tagged('y'))));
      advanceTo(2);
      expect(out.values.map(({ value }) => value)).toEqual(['xa', 'ya', 'xb', 'yb']);
      const [, , x, y] = out.values as [Text, Text, Text, Text];
      for (const each of [x, y]) {
        expect(each).toMatchObject({
          id: 'orders/0/1',
          key: 'k',
          headers: { h: '1' },
          position: { offset: 1 },
          attempt: 1,
        });
      }
      x.ack();
      x.ack();
      x.nack(NO);
      expect(source.settled()).toEqual([]);
      expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['repeat', 'repeat']);
      expect(y.signal).not.toBe(x.signal);
      y.ack();
      expect(source.settled()).toEqual(['b']);
    }));

  it.each<[readonly Outcome[], Outcome]>([
    [['done', 'done'], 'done'],
    [['skipped', 'done'], 'skipped'],
    [['done', 'skipped', 'dead-lettered'], 'dead-lettered'],
    [['dead-lettered', 'skipped', 'done'], 'dead-lettered'],
  ])('of %p makes %s: the worst outcome', (outcomes, worst) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const [first, ...others] = outcomes.map((outcome) => tap((delivery: Text) => delivery.settle(outcome)));
      drive(source.texts.pipe(fanOut(first as Branch, ...others)));
      advanceTo(1);
      expect(source.settled(worst)).toEqual(['a']);
    }),
  );

  it('settles as skipped where a branch does not want it', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      drive(
        source.texts.pipe(
          fanOut(acks(), (each) =>
            each.pipe(
              filterValue((value) => value === 'a'),
              ackEach(),
            ),
          ),
        ),
      );
      advanceTo(2);
      expect([source.settled('done'), source.settled('skipped')]).toEqual([['a'], ['b']]);
    }));

  describe('of a branch that fails', () => {
    it('waits for the others, then nacks with the first reason and delay: all run again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(source.texts.pipe(fanOut(tagged('x'), tagged('y'), tagged('z'))));
        advanceTo(1);
        const [x, y, z] = out.values as [Text, Text, Text];
        y.nack(NO, { delayMs: 7 });
        x.ack();
        expect(source.eventsOf('retried')).toEqual([]);
        z.nack('later', { delayMs: 70 });
        expect(source.eventsOf('retried').map(({ event }) => event)).toEqual([
          expect.objectContaining({ reason: NO, delayMs: 7 }),
        ]);
        advanceTo(9);
        expect(out.values.slice(3).map(({ value, attempt }) => `${value}#${attempt}`)).toEqual([
          'xa#2',
          'ya#2',
          'za#2',
        ]);
      }));

    it('runs that one alone again where it has its own retryToDlq, which settles for it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const deadLetters = fakePublisher();
        const ran: string[] = [];
        const works =
          (tag: string): Branch<string> =>
          (each) =>
            each.pipe(
              retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(5) }),
              handle((value, { attempt }) => {
                ran.push(`${tag}${value}#${attempt}`);
                if (tag === 'y' && value === 'a') throw NO;
                return value;
              }),
              ackEach(),
            );
        drive(source.texts.pipe(fanOut(works('x'), works('y'))));
        advanceTo(20);
        expect(ran).toEqual(['xa#1', 'ya#1', 'xb#1', 'yb#1', 'ya#2']);
        expect(deadLetters.published.map(({ value }) => textOf(value as Uint8Array))).toEqual(['a']);
        expect([source.settled('dead-lettered'), source.settled('done')]).toEqual([['a'], ['b']]);
      }));

    it('does not run the others again where they remember, by dedupe with a key of each branch', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeStore();
        const ran: string[] = [];
        const works =
          (tag: string): Branch<string> =>
          (each) =>
            each.pipe(
              dedupe({ key: (_, { id }) => `${tag}/${id}`, store }),
              handle((value, { attempt }) => {
                ran.push(`${tag}${value}#${attempt}`);
                if (tag === 'y' && attempt === 1) throw NO;
                return value;
              }),
              ackEach(),
            );
        drive(source.texts.pipe(fanOut(works('x'), works('y'))));
        advanceTo(30);
        expect(ran).toEqual(['xa#1', 'ya#1', 'ya#2']);
        expect(source.committed()).toBe(1);
      }));

    it('is dead-lettered above as a whole', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const deadLetters = fakePublisher();
        const fails: Branch<Delivery<never>> = (each) => each.pipe(handle((): never => { throw permanent(new Error('x')); })); // prettier-ignore
        drive(source.texts.pipe(retryToDlq({ deadLetters }), fanOut(acks(), fails, fails)));
        advanceTo(5);
        expect(deadLetters.published).toHaveLength(1);
        expect(source.settled('dead-lettered')).toEqual(['a']);
      }));

    it('lets go where a branch lets go, and counts no attempt; a failure of another counts', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const out = drive(source.texts.pipe(fanOut(tagged('x'), tagged('y'))));
        advanceTo(2);
        const [xa, ya, xb, yb] = out.values as [Text, Text, Text, Text];
        nodeOf(xa).abandon();
        ya.ack();
        nodeOf(xb).abandon();
        yb.nack(NO);
        expect(source.settled()).toEqual([]);
        advanceTo(20);
        expect(out.values.slice(4).map(({ value, attempt }) => `${value}#${attempt}`)).toEqual(
          ['xa#1', 'ya#1', 'xb#2', 'yb#2'], // prettier-ignore
        );
      }));

    it('keeps the order of a key in each branch through a retry of all', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { messages: { a: { key: 'k' }, b: { key: 'k' }, c: { key: 'l' } } });
        const ran: string[] = [];
        const works =
          (tag: string, ms: number): Branch<string> =>
          (each) =>
            each.pipe(
              ordered({ by: 'key' }),
              handle(
                (value, { attempt }) => {
                  ran.push(`${tag}${value}`);
                  if (tag === 'x' && value === 'a' && attempt === 1) throw NO;
                  return takes(ms)(value);
                },
                { concurrency: 9 },
              ),
              ackEach(),
            );
        drive(source.texts.pipe(fanOut(works('x', 1), works('y', 3))));
        advanceTo(60);
        expect(ran.filter((each) => each.startsWith('x'))).toEqual(['xa', 'xc', 'xa', 'xb']);
        expect(source.committed()).toBe(3);
      }));
  });

  describe('completes', () => {
    it('when all branches have', () =>
      marbles(({ log, expectObservable }) => {
        const source = log('       -a-|       ');
        const expected = '         -a----(z|)';
        const lasts: Branch<string> = (each) => concat(each.pipe(ackEach(), ignoreElements()), timer(3).pipe(map(() => 'z'))); // prettier-ignore
        expectObservable(source.texts.pipe(fanOut((each) => each.pipe(ackEach()), lasts))).toBe(expected);
      }));

    it('as soon as a branch does before its input: nothing counts as done in it that it did not take', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a-b-c');
        const seen: string[] = [];
        const other: Branch<never> = (each) => each.pipe(tap(({ value }) => seen.push(value)), acks()); // prettier-ignore
        const first = drive(source.texts.pipe(fanOut((each) => each.pipe(ackEach(), take(2)), other)));
        advanceTo(5);
        expect([first.values, first.completed]).toEqual([['a', 'b'], true]);
        // b was taken by one and never given to the other: it comes again to both.
        expect(seen).toEqual(['a']);
        expect(source.committed()).toBe(1);
        expect(source.isOpen).toBe(false);
        const second = drive(source.texts.pipe(fanOut((each) => each.pipe(ackEach()), other)));
        advanceTo(9);
        expect(second.values).toEqual(['b', 'c']);
        expect(source.committed()).toBe(3);
      }));

    it('at once where a branch never listens', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(source.texts.pipe(fanOut(acks(), () => of(1, 2))));
        advanceTo(5);
        expect([out.values, out.completed]).toEqual([[1, 2], true]);
        expect(source.committed()).toBe(0);
        expect(source.isOpen).toBe(false);
      }));
  });

  describe('while a branch does not listen', () => {
    it('lets go of deliveries before any branch sees them, and they come again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const seen: string[] = [];
        const other: Branch<never> = (each) => each.pipe(tap(({ value }) => seen.push(value)), acks()); // prettier-ignore
        const late: Branch = (each) => each.pipe(subscribeOn(asyncScheduler, 15));
        const out = drive(source.texts.pipe(fanOut(other, late)), (delivery) => delivery.ack());
        advanceTo(12);
        expect([seen, out.values]).toEqual([[], []]);
        advanceTo(25);
        expect(seen).toEqual(['a']);
        expect(out.values.map(({ attempt }) => attempt)).toEqual([1]);
        expect(source.committed()).toBe(1);
      }));

    it('goes on with one that subscribes again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc', { drainTimeoutMs: 20 });
        let thrown = false;
        const flaky: Branch<string> = (each) =>
          each.pipe(
            map((delivery) => {
              if (delivery.value === 'b' && !thrown) {
                thrown = true;
                nodeOf(delivery).abandon();
                throw NO;
              }
              return delivery;
            }),
            ackEach(),
            retry({ delay: 5 }),
          );
        const out = drive(source.texts.pipe(fanOut(flaky, acks())));
        advanceTo(40);
        expect(out.values.sort()).toEqual(['a', 'b', 'c']);
        expect(source.committed()).toBe(3);
        expect(out.error).toBeUndefined();
      }));

    it('reports what stays unsettled where it never listens again (I2)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('-a', { unsettledWarnMs: 100 });
        const seen: string[] = [];
        const gone: Branch<never> = (each) => concat(each.pipe(takeUntil(timer(0)), acks()), NEVER);
        drive(source.texts.pipe(fanOut((each) => each.pipe(tap(({ value }) => seen.push(value)), acks()), gone))); // prettier-ignore
        advanceTo(250);
        expect(seen).toEqual([]);
        expect(source.eventsOf('unsettled-too-long').map(({ event }) => event.message.id)).toEqual(['orders/0/0']);
      }));
  });

  it('leaks what a foreign operator in a branch drops, and that is reported (I2)', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab', { unsettledWarnMs: 100 });
      const drops: Branch<string> = (each) => each.pipe(filter(({ value }) => value !== 'a'), ackEach()); // prettier-ignore
      drive(source.texts.pipe(fanOut(acks(), drops)));
      advanceTo(250);
      expect(source.settled()).toEqual(['b']);
      expect(source.committed()).toBe(0);
      expect(source.eventsOf('unsettled-too-long').map(({ event }) => event.message.id)).toEqual(['orders/0/0']);
    }));

  describe('ends', () => {
    it('with the error of a foreign operator in a branch; what is out comes again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { drainTimeoutMs: 5 });
        const fails: Branch<string> = (each) =>
          each.pipe(
            map((delivery) => {
              if (delivery.value === 'b') throw NO;
              return delivery;
            }),
            ackEach(),
          );
        const first = drive(source.texts.pipe(fanOut(acks(), fails)));
        advanceTo(20);
        expect([first.error, first.values]).toEqual([NO, ['a']]);
        expect(source.committed()).toBe(1);
        expect(source.isOpen).toBe(false);
        const second = drive(source.texts.pipe(fanOut((each) => each.pipe(ackEach()))));
        advanceTo(30);
        expect(second.values).toEqual(['b', 'c']);
      }));

    it('with the error of its source, which no branch can catch away', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a#');
        const catches: Branch<string> = (each) => each.pipe(ackEach(), catchError(() => of('caught'))); // prettier-ignore
        const out = drive(source.texts.pipe(fanOut(catches, acks())));
        advanceTo(3);
        expect(out.error).toMatchObject({ code: 'source-failed' });
        expect(out.values).toEqual(['a']);
      }));

    it('with the error of a branch that cannot be made, or fails at once; nothing is left open', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        let open = 0;
        const counts: Branch<never> = (each) => each.pipe(tap({ subscribe: () => open++, finalize: () => open-- }), acks()); // prettier-ignore
        const throws: Branch<never> = () => {
          throw NO;
        };
        const unmade = drive(source.texts.pipe(fanOut(counts, throws)));
        const failed = drive(source.texts.pipe(fanOut(counts, () => throwError(() => NO))));
        advanceTo(2);
        expect([unmade.error, failed.error, open]).toEqual([NO, NO, 0]);
        expect(source.committed()).toBe(0);
      }));

    it('by take below, in the middle of a delivery, which comes again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const both = () =>
          fanOut(
            (each: Observable<Text>) => each.pipe(ackEach()),
            (each) => each.pipe(ackEach()),
          );
        const first = drive(source.texts.pipe(both(), take(3)));
        advanceTo(3);
        expect([first.values, first.completed]).toEqual([['a', 'a', 'b'], true]);
        expect(source.committed()).toBe(1);
        const second = drive(source.texts.pipe(both()));
        advanceTo(6);
        expect(second.values).toEqual(['b', 'b']);
      }));
  });

  describe('on a revoke or an unsubscribe', () => {
    it('does not start what comes after the drain began, and lets the branches let go (I4)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { drainTimeoutMs: 50 });
        const started: string[] = [];
        const works =
          (tag: string, ms: number): Branch<string> =>
          (each) =>
            each.pipe(
              handle((value) => (started.push(tag + value), takes(ms)(value))),
              ackEach(),
            );
        const out = drive(source.texts.pipe(fanOut(works('x', 4), works('y', 8))));
        advanceTo(1);
        source.revoke();
        advanceTo(40);
        expect(started).toEqual(['xa', 'ya']);
        expect(out.values).toEqual(['a', 'a']);
        expect(source.settled()).toEqual(['a']);
        expect(source.session).toMatchObject({ inFlight: 0, parts: 0, held: 0 });
        source.assign();
        advanceTo(80);
        expect(source.settled()).toEqual(['a', 'b', 'c']);
      }));

    it('begun by one branch inside next, does not give the delivery to the others', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 5 });
        const seen: string[] = [];
        const revokes: Branch<never> = (each) => each.pipe(tap(() => source.revoke()), acks()); // prettier-ignore
        drive(source.texts.pipe(fanOut(revokes, (each) => each.pipe(tap(({ value }) => seen.push(value)), acks())))); // prettier-ignore
        advanceTo(20);
        expect(seen).toEqual([]);
        expect(source.settled()).toEqual([]);
        expect(source.session).toMatchObject({ inFlight: 0, parts: 0 });
      }));

    it('settles nothing where the epoch is lost, in whatever way the branches end (I5)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(source.texts.pipe(fanOut(tagged('x'), tagged('y'), tagged('z'))));
        advanceTo(1);
        source.lose();
        out.values[0]?.ack();
        out.values[1]?.nack(NO);
        nodeOf(out.values[2]).abandon();
        advanceTo(30);
        expect(source.settled()).toEqual([]);
        expect(source.eventsOf('retried')).toEqual([]);
        expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['closed', 'closed']);
        expect(source.session).toMatchObject({ inFlight: 0, parts: 0, held: 0 });
      }));

    it('tears the branches down after its upstream: no key goes on', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { messages: { a: { key: 'k' }, b: { key: 'k' } } });
        const started: string[] = [];
        const out = drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            fanOut((each) => each.pipe(handle((value) => (started.push(value), NEVER)))),
          ),
        );
        advanceTo(1);
        out.unsubscribe();
        advanceTo(2);
        expect(started).toEqual(['a']);
        expect(source.isOpen).toBe(false);
      }));

    it('leaves nothing behind, at whatever millisecond', () => {
      for (let ms = 0; ms <= 40; ms++) {
        marbles(({ log, drive, advanceTo, scheduler }) => {
          const source = log('-(abc)--d-e|', { drainTimeoutMs: 50, unsettledWarnMs: 400 });
          const deadLetters = fakePublisher();
          const out = drive(
            source.texts.pipe(
              fanOut(
                (each) =>
                  each.pipe(
                    retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(4) }),
                    handle((value) => (value === 'b' ? throwError(() => NO) : takes(3)(value))),
                    ackEach(),
                  ),
                (each) => each.pipe(batch({ maxSize: 2, maxWaitMs: 5 }), handle(takes(2)), ackEach()),
              ),
            ),
          );
          advanceTo(ms);
          out.unsubscribe();
          advanceTo(300);
          expect(source.eventsOf('closed')).toHaveLength(1);
          expect(source.session).toMatchObject({ inFlight: 0, held: 0, parts: 0, full: 0, lingering: 0 });
          expect(scheduler.actions).toHaveLength(0);
        });
      }
    });
  });

  describe('and what gathers in its branches', () => {
    it('moves where each asks for 100 under few credits', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 8 });
        source.fill(80);
        source.end();
        const [one, two] = [[] as number[], [] as number[]];
        const out = drive(
          source.texts.pipe(
            fanOut(
              (each) => each.pipe(gather(100, NEVER_MS, one), ackEach()),
              (each) => each.pipe(gather(100, NEVER_MS, two), ackEach()),
            ),
          ),
        );
        advanceTo(5);
        expect(out.completed).toBe(true);
        expect(out.values).toHaveLength(160);
        expect([one, two]).toEqual([Array.from({ length: 10 }, () => 8), Array.from({ length: 10 }, () => 8)]);
      }));

    it('keeps gathering in one while another still runs', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { maxInFlight: 2 });
        const sizes: number[] = [];
        drive(
          source.texts.pipe(
            fanOut(
              (each) => each.pipe(gather(100, NEVER_MS, sizes), ackEach()),
              (each) => each.pipe(handle(takes(20), { concurrency: 9 }), ackEach()),
            ),
          ),
        );
        advanceTo(19);
        expect(sizes).toEqual([]);
        advanceTo(20);
        expect(sizes).toEqual([2]);
        expect(source.committed()).toBe(2);
      }));

    it('weighs the branches as it counts them', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const out = drive(source.texts.pipe(fanOut(tagged('x'), tagged('y'), tagged('z'))));
        advanceTo(1);
        expect(source.session).toMatchObject({ inFlight: 2, parts: 4 });
        out.values[1]?.ack();
        expect(source.session).toMatchObject({ inFlight: 2, parts: 3 });
        out.values[0]?.ack();
        out.values[2]?.ack();
        expect(source.session).toMatchObject({ inFlight: 1, parts: 2 });
        for (const delivery of out.values.slice(3)) delivery.ack();
        expect(source.session).toMatchObject({ inFlight: 0, parts: 0 });
      }));

    it('goes through parts, batches and branches in branches, with few credits', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 3 });
        source.fill(20);
        source.end();
        const parts = (value: string): string[] => [`${value}.0`, `${value}.1`, `${value}.2`];
        const out = drive(
          source.texts.pipe(
            fanOut(
              (each) => each.pipe(split(parts, { maxPartsInFlight: 4 }), gather(100, NEVER_MS), ackEach()),
              (each) =>
                each.pipe(
                  batch({ maxSize: 100, maxWaitMs: NEVER_MS }),
                  fanOut(
                    (both) => both.pipe(handle((values) => values.join()), ackEach()), // prettier-ignore
                    (both) => both.pipe(gather(100, NEVER_MS), ackEach(), ignoreElements()),
                  ),
                ),
            ),
          ),
        );
        advanceTo(5);
        expect(out.completed).toBe(true);
        expect(out.values.filter((value) => value.includes('.'))).toHaveLength(60);
        expect(source.committed()).toBe(20);
        expect(source.session).toMatchObject({ parts: 0, held: 0, full: 0 });
      }));
  });

  it('takes an ack inside next of three branches for a hundred thousand, with a stack of one', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 7, quiet: true });
      source.fill(100_000);
      source.end();
      let count = 0;
      const counts: Branch<never> = (each) => each.pipe(tap(() => count++), acks()); // prettier-ignore
      const out = drive(source.texts.pipe(fanOut(counts, counts, counts)));
      advanceTo(1);
      expect([count, out.completed, source.committed()]).toEqual([300_000, true, 100_000]);
    }));

  it('gives the branches the deliveries in order, those that a foreign operator delays in their own time', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)');
      const out = drive(source.texts.pipe(fanOut(tagged('x'), (each) => each.pipe(delay(3), tagged('y')))));
      advanceTo(5);
      expect(out.values.map(({ value }) => value)).toEqual(['xa', 'xb', 'xc', 'ya', 'yb', 'yc']);
    }));

  it('settles every delivery by what became of it in all branches, whatever happens', () => {
    const seed = Number(process.env.RXSLUICE_SEED ?? Date.now() % 2 ** 31);
    const random = choices(seed);
    for (let round = 0; round < 40; round++) tryAtRandom(random, `RXSLUICE_SEED=${seed}, round ${round}`);
  });

  it('refuses branches that are none', () => {
    expect(refusal(() => (fanOut as (...none: never[]) => unknown)())).toBe(
      'fanOut: branches must be operators, at least one, not an empty array.',
    );
    expect(refusal(() => fanOut(untyped('x')))).toContain('branches must be operators');
  });
});

const ENDS = ['done', 'done', 'done', 'skipped', 'dead-lettered', 'nack', 'abandon'] as const;
const RANK: readonly string[] = ['done', 'skipped', 'dead-lettered'];

/** Branches that end at random, at random times; a revoke now and then. */
function tryAtRandom({ below }: Choices, name: string): void {
  marbles(({ log, drive, advanceTo, at }) => {
    const source = log(undefined, { maxInFlight: 1 + below(6), partitions: 2, drainTimeoutMs: 30 });
    source.fill(20, (index) => ({ partition: index % 2 }));
    const plan = new Map<string, Outcome[]>();
    const wrong: unknown[] = [];
    const check = (outcome: Outcome) => (value: string) => {
      const outcomes = plan.get(value) as Outcome[];
      const worst = Math.max(0, ...outcomes.map((each) => RANK.indexOf(each)));
      if (outcomes.length !== 3 || RANK[worst] !== outcome) wrong.push([name, value, outcomes, outcome]);
    };
    source.done.subscribe(check('done'));
    source.skipped.subscribe(check('skipped'));
    source.deadLettered.subscribe(check('dead-lettered'));
    const begins: Branch = (each) => each.pipe(tap(({ value }) => plan.set(value, [])));
    drive(source.texts.pipe(fanOut(begins, identity as Branch, identity as Branch)), (delivery) => {
      const outcomes = plan.get(delivery.value) as Outcome[];
      const how = ENDS[below(ENDS.length)] as (typeof ENDS)[number];
      const end = (): void => {
        if (how === 'nack') delivery.nack(NO);
        else if (how === 'abandon') nodeOf(delivery).abandon();
        else {
          outcomes.push(how);
          delivery.settle(how);
        }
      };
      const wait = below(4);
      if (wait === 0) end();
      else timer(wait).subscribe(end);
    });
    for (const ms of [40, 90]) {
      at(ms, () => source.revoke(0));
      at(ms + 35, () => source.assign(0));
    }
    advanceTo(5_000);
    expect(wrong).toEqual([]);
    expect([name, source.committed(0), source.committed(1)]).toEqual([name, 10, 10]);
    expect(source.session).toMatchObject({ inFlight: 0, held: 0, parts: 0, full: 0 });
  });
}
