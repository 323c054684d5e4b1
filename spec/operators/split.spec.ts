import { describe, expect, it } from '@jest/globals';
import {
  concat,
  delay,
  EMPTY,
  filter,
  map,
  merge,
  NEVER,
  type Observable,
  of,
  retry,
  switchMap,
  take,
  throwError,
  timer,
} from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { isSluiceError } from '../../lib/core/errors.js';
import { classifyFailure, permanent } from '../../lib/core/failures.js';
import { cork, uncork } from '../../lib/core/pump.js';
import type { Outcome } from '../../lib/core/outcome.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { batch } from '../../lib/operators/batch.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { fanOut } from '../../lib/operators/fan-out.js';
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
import { bytesOf, textOf, type ScriptedPosition } from '../support/scripted-log.js';
import { fakeStore, storeAnswersAfter } from '../support/stores.js';

keepsTheContract('split in one part', { make: () => split((value) => [value]), nackGoesUp: true });
keepsTheContract('split in one part, above another', {
  make: () => (source) =>
    source.pipe(
      split((value) => new Set([value])),
      split((value) => [value]),
    ),
  nackGoesUp: true,
});

// As long as never: what moves before it moved by quiet, or by its size.
const NEVER_MS = 250_000;
const NO = new Error('no');

type Part = Delivery<string, ScriptedPosition>;

const parts =
  (count: number) =>
  (value: string): string[] =>
    Array.from({ length: count }, (_, index) => `${value}${index}`);
const takes =
  (ms: number) =>
  <T>(value: T): Observable<T> =>
    timer(ms).pipe(map(() => value));
const nodeOf = (delivery: unknown): DeliveryNode => delivery as DeliveryNode;
const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** A generator of parts that writes down how far it was pulled and whether it was closed. */
function script(count = Infinity) {
  const seen = { pulled: 0, closed: 0, ended: 0 };
  const pull = function* (value: string) {
    try {
      for (let index = 0; index < count; index++) {
        seen.pulled++;
        yield `${value}${index}`;
      }
      seen.ended++;
    } finally {
      seen.closed++;
    }
  };
  return Object.assign(seen, { pull });
}

describe('split', () => {
  it('makes parts of each delivery, which settles when the last of them does', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a--b--------|');
      const expected = '         ----x-y--z---|';
      const done = '             ------a--b----';
      const took: Readonly<Record<string, number>> = { a0: 5, a1: 3, b0: 5 };
      const work = (value: string) => takes(took[value] as number)(value);
      const out = source.texts.pipe(
        split((value) => (value === 'a' ? ['a0', 'a1'] : ['b0'])),
        handle(work, { concurrency: 9 }),
        ackEach(),
      );
      expectObservable(out).toBe(expected, { x: 'a1', y: 'a0', z: 'b0' });
      expectObservable(source.done).toBe(done);
      expectObservable(source.commits).toBe(done);
    }));

  it('has the identity of its delivery, and its index in the id', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab', { messages: { b: { key: 'k', headers: { h: '1' } } } });
      const out = drive(source.texts.pipe(split(parts(2)), split(parts(2))));
      advanceTo(2);
      expect(out.values.map(({ id }) => id)).toEqual(
        ['0/0/0', '0/0/1', '0/1/0', '0/1/1', '1/0/0', '1/0/1', '1/1/0', '1/1/1'].map((id) => `orders/0/${id}`),
      );
      const last = out.values[7] as Part;
      expect(last).toMatchObject({ value: 'b11', key: 'k', headers: { h: '1' }, position: { offset: 1 }, attempt: 1 });
      expect(last.withValue(1).id).toBe('orders/0/1/1/1');
      expect(last.timestamp).toBe(0);
    }));

  it('takes any iterable object', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abcd');
      const values: Readonly<Record<string, Iterable<unknown> & object>> = {
        a: new Set([1, 2]),
        b: new Map([[3, 4]]),
        c: script(1).pull('c'),
        d: { *[Symbol.iterator]() { yield* [5, undefined]; } }, // prettier-ignore
      };
      const out = drive(
        source.texts.pipe(
          split((value) => values[value] as Iterable<unknown> & object),
          ackEach(),
        ),
      );
      advanceTo(5);
      expect(out.values).toEqual([1, 2, [3, 4], 'c0', 5, undefined]);
      expect(source.settled('done')).toEqual(['a', 'b', 'c', 'd']);
    }));

  it('is done at once where there are no parts', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc');
      const out = drive(
        source.texts.pipe(
          split((value) => (value === 'b' ? [value] : [])),
          ackEach(),
        ),
      );
      advanceTo(3);
      expect(out.values).toEqual(['b']);
      expect(source.settled('done')).toEqual(['a', 'b', 'c']);
    }));

  it.each<[readonly Outcome[], Outcome]>([
    [['done', 'done'], 'done'],
    [['skipped', 'done'], 'skipped'],
    [['done', 'skipped'], 'skipped'],
    [['dead-lettered', 'skipped', 'done'], 'dead-lettered'],
    [['done', 'skipped', 'dead-lettered'], 'dead-lettered'],
    [['skipped', 'dead-lettered', 'skipped'], 'dead-lettered'],
  ])('of %p makes %s: the worst outcome', (outcomes, worst) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(source.texts.pipe(split(() => outcomes)));
      advanceTo(1);
      for (const part of out.values) part.settle(part.value);
      expect(source.settled(worst)).toEqual(['a']);
    }),
  );

  it('settles nothing more by a second settlement of a part', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(source.texts.pipe(split(parts(2))));
      advanceTo(1);
      out.values[0]?.ack();
      out.values[0]?.ack();
      out.values[0]?.nack(NO);
      expect(source.settled()).toEqual([]);
      expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['repeat', 'repeat']);
      out.values[1]?.ack();
      expect(source.settled()).toEqual(['a']);
    }));

  it('lets the function settle the delivery itself: nothing is made of it', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc', { redelivery: constant(1_000) });
      const scripted = script();
      const fn = function* (value: string, delivery: Part): Generator<string> {
        if (value === 'a') delivery.settle('skipped');
        yield* value === 'b' ? settlesMidway(delivery) : ['x'];
      };
      const settlesMidway = function* (delivery: Part): Generator<string> {
        yield 'b0';
        delivery.nack(NO);
        yield* scripted.pull('b');
      };
      const out = drive(source.texts.pipe(split(fn), ackEach()));
      advanceTo(5);
      expect(out.values).toEqual(['b0', 'x']);
      expect([scripted.pulled, scripted.closed]).toEqual([1, 1]);
      expect(source.settled('skipped')).toEqual(['a']);
      expect(source.settled('done')).toEqual(['c']);
      expect(source.eventsOf('stale-settlement')).toEqual([]);
      expect(source.session).toMatchObject({ parts: 0, full: 0 });
    }));

  it('pulls nothing more of a delivery that somebody else settled', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const scripted = script();
      const whole: Part[] = [];
      const out = drive(
        source.texts.pipe(
          map((delivery) => (whole.push(delivery), delivery)),
          split((value) => (value === 'a' ? scripted.pull(value) : [value]), { maxPartsInFlight: 1 }),
        ),
      );
      advanceTo(2);
      whole[0]?.ack();
      out.values[0]?.ack();
      expect([scripted.pulled, scripted.closed]).toEqual([1, 1]);
      expect(out.values.map(({ value }) => value)).toEqual(['a0', 'b']);
    }));

  it('completes with its upstream, once the last part is started', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc', { drainTimeoutMs: 50 });
      const out = drive(source.texts.pipe(take(2), split(parts(2), { maxPartsInFlight: 1 })), (part) => {
        timer(4).subscribe(() => part.ack());
      });
      advanceTo(11);
      expect([out.values.map(({ value }) => value), out.completed]).toEqual([['a0', 'a1', 'b0'], false]);
      advanceTo(12);
      expect([out.values.length, out.completed]).toEqual([4, false]);
      // Only now there was room to find that there are no more.
      advanceTo(16);
      expect(out.completed).toBe(true);
      expect(source.isOpen).toBe(false);
      expect(source.committed()).toBe(2);
    }));

  it('never completes inside a settlement', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(
        concat(source.texts.pipe(take(1)), EMPTY).pipe(
          split(parts(2), { maxPartsInFlight: 1 }),
          map((part) => {
            timer(2).subscribe(() => part.nack(NO));
            return part;
          }),
        ),
      );
      advanceTo(5);
      expect(out.completed).toBe(true);
      expect(out.values).toHaveLength(1);
      expect(source.isOpen).toBe(false);
    }));

  describe('pulls lazily', () => {
    it('as many as maxPartsInFlight allows, the next as one settles', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const scripted = script();
        const out = drive(source.texts.pipe(split(scripted.pull, { maxPartsInFlight: 3 })));
        advanceTo(1);
        expect([out.values.length, scripted.pulled]).toEqual([3, 3]);
        out.values[1]?.ack();
        expect([out.values.length, scripted.pulled]).toEqual([4, 4]);
        out.values[0]?.ack();
        out.values[3]?.ack();
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1', 'a2', 'a3', 'a4', 'a5']);
      }));

    it('over all deliveries together, those of one before those of the next', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const order: string[] = [];
        const most = { now: 0, out: 0 };
        const out = drive(
          source.texts.pipe(
            split(parts(5), { maxPartsInFlight: 7 }),
            map((part) => {
              order.push(part.value);
              most.out = Math.max(most.out, ++most.now);
              timer(1 + (order.length % 4)).subscribe(() => {
                most.now--;
                part.ack();
              });
              return part.value;
            }),
          ),
        );
        advanceTo(60);
        expect(order).toEqual(['a', 'b', 'c', 'd'].flatMap(parts(5)));
        expect(out.values).toHaveLength(20);
        expect(most.out).toBe(7);
        expect(source.committed()).toBe(4);
      }));

    it('of two sources together, and goes on with one where the other is lost', () =>
      marbles(({ log, drive, advanceTo }) => {
        const [one, two] = [log('a', { topic: 'one' }), log('-b', { topic: 'two' })];
        const out = drive(merge(one.texts, two.texts).pipe(split(parts(3), { maxPartsInFlight: 2 })));
        advanceTo(2);
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1']);
        expect([one.session.full, two.session.full]).toEqual([1, 1]);
        one.lose();
        advanceTo(3);
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1', 'b0', 'b1']);
        out.values[2]?.ack();
        out.values[3]?.ack();
        out.values[4]?.ack();
        expect(two.settled()).toEqual(['b']);
        expect([one.session.full, two.session.full]).toEqual([0, 0]);
        for (const { session } of [one, two]) expect(session).toMatchObject({ parts: 0, held: 0 });
      }));

    it('in order also where the user’s generator brings another delivery in', () =>
      marbles(({ log, drive, advanceTo }) => {
        const [one, two] = [log('a', { topic: 'one' }), log(undefined, { topic: 'two' })];
        const fn = function* (value: string): Generator<string> {
          if (value === 'a') two.publish('b');
          yield `${value}0`;
          yield `${value}1`;
        };
        const out = drive(merge(two.texts, one.texts).pipe(split(fn), ackEach()));
        advanceTo(2);
        expect(out.values).toEqual(['a0', 'a1', 'b0', 'b1']);
        expect([one.settled(), two.settled()]).toEqual([['a'], ['b']]);
      }));

    it('says that there is room again wherever it comes from: a failure, a revoke, the end of an epoch', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('-a', { redelivery: constant(1_000), drainTimeoutMs: 20 });
        const out = drive(source.texts.pipe(split(script().pull, { maxPartsInFlight: 2 })));
        advanceTo(1);
        expect(source.session.full).toBe(1);
        out.values[0]?.nack(NO);
        expect(source.session.full).toBe(0);
        out.values[1]?.ack();
        source.publish('b');
        expect([out.values.length, source.session.full]).toEqual([4, 1]);
        source.lose();
        expect(source.session.full).toBe(0);
        // Their room was given back already: what becomes of them now gives no more.
        nodeOf(out.values[2]).abandon();
        nodeOf(out.values[3]).abandon();
        source.assign();
        expect([out.values.length, source.session.full]).toEqual([6, 1]);
        source.revoke();
        nodeOf(out.values[4]).abandon();
        expect(source.session.full).toBe(0);
        advanceTo(30);
      }));

    it('says so too where it is torn down, full, over a source that goes on', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('-a', { drainTimeoutMs: 20 });
        const endless = split(script().pull, { maxPartsInFlight: 2 });
        const fails = timer(3).pipe(switchMap(() => throwError(() => NO)));
        const again = (each: Observable<Part>) => merge(each.pipe(endless), fails).pipe(retry(1));
        drive(source.texts.pipe(fanOut(again)));
        const other = log('-a', { drainTimeoutMs: 20 });
        const inside = (each: Observable<Part>) => concat(each.pipe(endless, take(2)), NEVER);
        const taken = drive(other.texts.pipe(fanOut(inside)));
        advanceTo(2);
        expect([taken.values.length, other.session.full, source.session.full]).toEqual([2, 0, 1]);
        advanceTo(4);
        expect(source.session.full).toBe(0);
      }));

    it('starts nothing inside a settlement', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { maxInFlight: 1 });
        let settling = false;
        const nested: string[] = [];
        const out = drive(source.texts.pipe(split(parts(4), { maxPartsInFlight: 2 })), ({ value }) => {
          if (settling) nested.push(value);
        });
        advanceTo(1);
        // As the pump does it: what is settled in there is settled before anything is given.
        const { session } = source;
        cork(session);
        settling = true;
        out.values[0]?.ack();
        settling = false;
        expect(nested).toEqual([]);
        uncork(session);
        expect(out.values).toHaveLength(3);
        out.values[1]?.ack();
        expect(out.values).toHaveLength(4);
      }));

    it('takes an ack inside next for a million parts, with a stack of one', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { quiet: true });
        const count = 1_000_000;
        const endless = function* (): Generator<number> {
          for (let index = 0; index < count; index++) yield index;
        };
        let next = 0;
        let wrong = 0;
        source.fill(1);
        source.end();
        const out = drive(source.texts.pipe(split(endless, { maxParts: count }), map((part) => {
          if (part.value !== next++) wrong++;
          part.ack();
        }), filter(() => false))); // prettier-ignore
        advanceTo(1);
        expect([next, wrong, out.completed]).toEqual([count, 0, true]);
        expect(source.committed()).toBe(1);
      }));

    it('goes through a hundred thousand parts that are acked later, a few at a time', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 2, quiet: true });
        source.fill(100);
        source.end();
        let done = 0;
        const out = drive(
          source.texts.pipe(
            split(parts(1_000), { maxPartsInFlight: 50 }),
            handle(takes(1), { concurrency: 50 }),
            ackEach(),
          ),
          () => done++,
        );
        advanceTo(3_000);
        expect([done, out.completed]).toEqual([100_000, true]);
        expect(source.session).toMatchObject({ parts: 0, held: 0, full: 0, inFlight: 0 });
      }));
  });

  describe('a bound that is passed', () => {
    it('takes as many parts as maxParts', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const fn = (value: string) => (value === 'a' ? parts(3)(value) : script(3).pull(value));
        const out = drive(source.texts.pipe(split(fn, { maxParts: 3 }), ackEach()));
        advanceTo(2);
        expect(out.values).toHaveLength(6);
        expect(source.settled('done')).toEqual(['a', 'b']);
      }));

    it('nacks an array with more as permanent, names the count, and starts none of it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const deadLetters = fakePublisher();
        const fn = (value: string) => parts(value === 'a' ? 4 : 3)(value);
        const out = drive(source.texts.pipe(retryToDlq({ deadLetters }), split(fn, { maxParts: 3 }), ackEach()));
        advanceTo(2);
        expect(out.values).toEqual(['b0', 'b1', 'b2']);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        const [reason] = source.eventsOf('dead-lettered').map(({ event }) => event.reason);
        expect(reason).toMatchObject({
          code: 'too-many-parts',
          message: 'split: orders/0/0 has 4 parts, maxParts allows 3. Raise it, or send smaller messages.',
          details: { id: 'orders/0/0', maxParts: 3, parts: 4 },
        });
        expect(deadLetters.published).toHaveLength(1);
      }));

    it('stops an iterable there, and nacks once the parts that are out have ended', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { redelivery: constant(1_000) });
        const scripted = script();
        const out = drive(source.texts.pipe(split(scripted.pull, { maxParts: 3 })));
        advanceTo(1);
        expect([out.values.length, scripted.pulled, scripted.closed]).toEqual([3, 4, 1]);
        out.values[0]?.ack();
        out.values[1]?.ack();
        expect(source.eventsOf('retried')).toEqual([]);
        out.values[2]?.ack();
        const [reason] = source.eventsOf('retried').map(({ event }) => event.reason);
        expect([isSluiceError(reason) && reason.code, classifyFailure(reason)]).toEqual([
          'too-many-parts',
          'permanent',
        ]);
        expect((reason as Error).message).toContain('more than 3 parts');
        expect(source.settled()).toEqual([]);
      }));
  });

  describe('of user code that fails', () => {
    it('nacks where the function throws, and goes on', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc', { redelivery: constant(1_000) });
        const fn = (value: string): string[] => {
          if (value === 'b') throw NO;
          return [value];
        };
        const out = drive(source.texts.pipe(split(fn), ackEach()));
        advanceTo(5);
        expect(out.values).toEqual(['a', 'c']);
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([NO]);
        expect(out.error).toBeUndefined();
      }));

    it('nacks where the iterator throws midway, once what is out has ended; others go on meanwhile', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { redelivery: constant(1_000) });
        const breaks = function* (): Generator<string> {
          yield 'a0';
          yield 'a1';
          throw NO;
        };
        const out = drive(source.texts.pipe(split((value) => (value === 'a' ? breaks() : ['b0']))));
        advanceTo(2);
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1', 'b0']);
        out.values[0]?.settle('dead-lettered');
        out.values[2]?.ack();
        expect(source.eventsOf('retried')).toEqual([]);
        out.values[1]?.ack();
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([NO]);
        expect(source.settled()).toEqual(['b']);
      }));

    it.each<[string, unknown, string]>([
      ['text', 'abc', 'a string'],
      ['bytes', bytesOf('abc'), 'bytes'],
      ['a number', 3, 'a number'],
      ['null', null, 'null'],
      ['undefined', undefined, 'undefined'],
      ['an Observable', of(1), 'an object'],
      ['a plain object', { length: 2 }, 'an object'],
    ])('nacks %s as permanent: no iterable object', (_, given, named) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { redelivery: constant(1_000) });
        const out = drive(source.texts.pipe(split(() => untyped(given))));
        advanceTo(2);
        const reason = source.eventsOf('retried')[0]?.event.reason as Error;
        expect([isSluiceError(reason) && reason.code, classifyFailure(reason)]).toEqual(['invalid-parts', 'permanent']);
        expect(reason.message).toContain(`not ${named}.`);
        expect(out.values).toEqual([]);
      }),
    );

    it('nacks where the iterator breaks its protocol, and survives a return() that throws', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc', { redelivery: constant(1_000) });
        const broken = { next: () => undefined } as unknown as Iterator<string>;
        const stubborn: Iterator<string> = {
          next: () => ({ done: false, value: 'b0' }),
          return: () => {
            throw new Error('not now');
          },
        };
        const iterators: Readonly<Record<string, Iterator<string>>> = {
          a: broken,
          b: stubborn,
          c: script(1).pull('c'),
        };
        const fn = (value: string) => ({ [Symbol.iterator]: () => iterators[value] as Iterator<string> });
        const out = drive(source.texts.pipe(split(fn, { maxParts: 5, maxPartsInFlight: 2 })), (part) => {
          if (part.value === 'b0') part.nack(NO);
          else part.ack();
        });
        advanceTo(5);
        expect(out.values.map(({ value }) => value)).toEqual(['b0', 'c0']);
        expect(source.eventsOf('retried').map(({ event }) => event.message.id)).toEqual(['orders/0/0', 'orders/0/1']);
        expect(source.settled('done')).toEqual(['c']);
      }));
  });

  describe('of a part that fails', () => {
    it('pulls nothing more, waits for the others, and nacks with the first reason and delay', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const scripted = script(9);
        const out = drive(source.texts.pipe(split(scripted.pull, { maxPartsInFlight: 4 })));
        advanceTo(1);
        const [first, second, third, fourth] = out.values as [Part, Part, Part, Part];
        second.nack(NO, { delayMs: 7 });
        expect([scripted.pulled, scripted.closed]).toEqual([4, 1]);
        first.ack();
        fourth.nack(permanent(new Error('later')), { delayMs: 70 });
        expect(source.eventsOf('retried')).toEqual([]);
        third.settle('dead-lettered');
        expect(source.eventsOf('retried').map(({ event }) => event)).toEqual([
          expect.objectContaining({ reason: NO, delayMs: 7, failure: 'transient' }),
        ]);
        advanceTo(9);
        expect(out.values).toHaveLength(8);
        expect(out.values.slice(4).map(({ value, attempt, id }) => [value, attempt, id])).toEqual(
          numbers(4).map((index) => [`a${index}`, 2, `orders/0/0/${index}`]),
        );
      }));

    it('lets the next deliveries have the room at once', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { redelivery: constant(1_000) });
        const out = drive(source.texts.pipe(split(parts(3), { maxPartsInFlight: 2 })));
        advanceTo(1);
        out.values[0]?.nack(NO);
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1', 'b0']);
        out.values[1]?.ack();
        expect(source.eventsOf('retried')).toHaveLength(1);
      }));

    it('runs all of it again above: fresh parts, with the attempt of the retry', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const deadLetters = fakePublisher();
        const started: string[] = [];
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(10) }),
            split(parts(2)),
            handle((value, { attempt }) => {
              started.push(`${value}#${attempt}`);
              if (value === 'a1') throw NO;
              return value;
            }),
            ackEach(),
          ),
        );
        advanceTo(30);
        expect(started).toEqual(['a0#1', 'a1#1', 'b0#1', 'b1#1', 'a0#2', 'a1#2']);
        expect(deadLetters.published.map(({ value }) => textOf(value as Uint8Array))).toEqual(['a']);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(out.values).toEqual(['a0', 'b0', 'b1', 'a0']);
      }));

    it('runs that part alone again below; its dead letter is the message, and says which part', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { group: 'billing' });
        const deadLetters = fakePublisher();
        const started: string[] = [];
        const out = drive(
          source.texts.pipe(
            split(parts(3)),
            retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(10) }),
            handle((value, { attempt }) => {
              started.push(`${value}#${attempt}`);
              if (value === 'a1') throw NO;
              return value;
            }),
            ackEach(),
          ),
        );
        advanceTo(30);
        expect(started).toEqual(['a0#1', 'a1#1', 'a2#1', 'b0#1', 'b1#1', 'b2#1', 'a1#2']);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(source.settled('done')).toEqual(['b']);
        const [letter] = deadLetters.published;
        expect(textOf(letter?.value as Uint8Array)).toBe('a');
        expect(letter?.headers).toMatchObject({
          'dead-letter-part': '1',
          'dead-letter-attempts': '2',
          'dead-letter-source-position': '0',
        });
        expect(source.eventsOf('dead-lettered').map(({ event }) => event.message.id)).toEqual(['orders/0/0/1']);
        expect(out.values).toHaveLength(5);
      }));

    it('does not tell of an earlier part where a redriven message fails as a whole', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { messages: { a: { headers: { 'dead-letter-part': '3', own: 'x' } } } });
        const deadLetters = fakePublisher();
        drive(source.texts.pipe(retryToDlq({ deadLetters }), split((): string[] => { throw permanent(new Error('no')); }))); // prettier-ignore
        advanceTo(2);
        expect(deadLetters.published[0]?.headers).toMatchObject({ own: 'x', 'dead-letter-error-class': 'Error' });
        expect(deadLetters.published[0]?.headers).not.toHaveProperty('dead-letter-part');
      }));

    it('lets go of the whole where a part is let go: no attempt is counted', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const scripted = script(9);
        const out = drive(source.texts.pipe(split(scripted.pull, { maxPartsInFlight: 2 })));
        advanceTo(1);
        nodeOf(out.values[0]).abandon();
        expect(scripted.closed).toBe(1);
        out.values[1]?.ack();
        expect(source.settled()).toEqual([]);
        advanceTo(12);
        expect(out.values.slice(2).map(({ value, attempt }) => `${value}#${attempt}`)).toEqual(['a0#1', 'a1#1']);
      }));

    it('counts the attempt where one part is let go and another failed', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(source.texts.pipe(split(parts(2))));
        advanceTo(1);
        nodeOf(out.values[0]).abandon();
        out.values[1]?.nack(NO);
        advanceTo(12);
        expect(out.values[2]?.attempt).toBe(2);
      }));

    it('of one that never ends keeps the delivery unsettled, and that is reported (I2)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { unsettledWarnMs: 100 });
        drive(source.texts.pipe(split(parts(3)), filter(({ value }) => value !== 'a1'), ackEach())); // prettier-ignore
        advanceTo(250);
        expect(source.settled()).toEqual([]);
        expect(source.eventsOf('unsettled-too-long').map(({ event }) => event.message.id)).toEqual(['orders/0/0']);
      }));
  });

  describe('and what gathers below it', () => {
    it('moves where it asks for 100 under few credits, weighing the parts', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 4 });
        source.fill(40);
        source.end();
        const sizes: number[] = [];
        const out = drive(source.texts.pipe(split(parts(7)), gather(100, NEVER_MS, sizes), ackEach()));
        advanceTo(5);
        expect(out.values).toHaveLength(280);
        expect(out.completed).toBe(true);
        expect(sizes).toEqual(numbers(10).map(() => 28));
      }));

    it('moves at once where maxPartsInFlight is what holds back, over a source that is idle', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a-b');
        const sizes: number[] = [];
        const out = drive(
          source.texts.pipe(split(parts(100), { maxPartsInFlight: 30 }), gather(80, NEVER_MS, sizes), ackEach()),
        );
        advanceTo(1);
        // The last ten wait: the source may still give.
        expect([sizes, out.values.length]).toEqual([[30, 30, 30], 90]);
        advanceTo(3);
        expect([sizes, out.values.length]).toEqual([numbers(6).map(() => 30), 180]);
        expect(source.settled()).toEqual(['a']);
      }));

    it('keeps gathering while a part still runs', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { maxInFlight: 1 });
        const sizes: number[] = [];
        const work = (value: string) => takes(value === 'a2' ? 20 : 1)(value);
        drive(
          source.texts.pipe(split(parts(5)), handle(work, { concurrency: 9 }), gather(100, NEVER_MS, sizes), ackEach()),
        );
        advanceTo(19);
        expect(sizes).toEqual([]);
        advanceTo(20);
        expect(sizes).toEqual([5]);
      }));

    it.each([20, 0])('moves also where the last that runs settles by itself, after %i ms', (ms) =>
      marbles(({ log, drive, advanceTo, scheduler }) => {
        const source = log('a', { maxInFlight: 1 });
        const sizes: number[] = [];
        const settles = (value: string, delivery: Part) => {
          if (value !== 'a4') return value;
          if (ms === 0) delivery.ack();
          else scheduler.schedule(() => delivery.ack(), ms);
          return ms === 0 ? value : NEVER;
        };
        drive(
          source.texts.pipe(
            delay(1),
            split(parts(5)),
            handle(settles, { concurrency: 9 }),
            gather(100, NEVER_MS, sizes),
            ackEach(),
          ),
        );
        advanceTo(ms);
        expect(sizes).toEqual([]);
        advanceTo(ms + 1);
        expect(sizes).toEqual([4]);
        expect(source.settled()).toEqual(['a']);
      }),
    );

    it('counts deliveries that wait for room as held', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { maxInFlight: 3 });
        const out = drive(source.texts.pipe(split(parts(4), { maxPartsInFlight: 5 })));
        advanceTo(1);
        // a and b are begun, c waits.
        expect(source.session).toMatchObject({ inFlight: 3, parts: 3, held: 1 });
        for (const part of out.values.slice(0, 4)) part.ack();
        expect(source.session).toMatchObject({ inFlight: 2, parts: 3, held: 0, full: 1 });
        for (let index = 4; index < out.values.length; index++) out.values[index]?.ack();
        expect(source.session).toMatchObject({ inFlight: 0, parts: 0, held: 0, full: 0 });
        advanceTo(2);
        expect(source.committed()).toBe(3);
      }));

    it('makes batches of the parts of many deliveries, each of which settles with its own', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)|', { maxInFlight: 2 });
        const out = drive(source.texts.pipe(split(parts(3)), batch({ maxSize: 4, maxWaitMs: NEVER_MS }), ackEach()));
        advanceTo(5);
        expect(out.values).toEqual([['a0', 'a1', 'a2', 'b0'], ['b1', 'b2', 'c0', 'c1'], ['c2']]); // prettier-ignore
        expect(source.settled('done')).toEqual(['a', 'b', 'c']);
        expect(out.completed).toBe(true);
      }));

    it('splits what batch gathered, which settles as one', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcde)|', { maxInFlight: 2 });
        const sizes: number[] = [];
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 10, maxWaitMs: NEVER_MS }),
            split((values) => values.flatMap(parts(2))),
            gather(100, NEVER_MS, sizes),
            ackEach(),
          ),
        );
        advanceTo(20);
        expect(out.values).toEqual(['a', 'b', 'c', 'd', 'e'].flatMap(parts(2)));
        expect(sizes).toEqual([4, 4, 2]);
        expect(out.completed).toBe(true);
        expect(source.committed()).toBe(5);
        expect(source.session).toMatchObject({ parts: 0, held: 0 });
      }));

    it('goes through ordered, retries, dedupe and a handler with few credits and little room', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 5 });
        source.fill(40, (index) => ({ key: `k${index % 3}` }));
        source.end();
        const store = fakeStore({ claim: storeAnswersAfter(2), confirm: storeAnswersAfter(1) });
        const failed = new Set<string>();
        const deadLetters = fakePublisher();
        const out = drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            retryToDlq({ deadLetters, maxRetries: 7, backoff: constant(5) }),
            split((value) => parts(6)(`${value}:`), { maxPartsInFlight: 9 }),
            ordered({ by: ({ value }) => value.slice(-1) }),
            dedupe({ key: (value) => value, store }),
            gather(100, NEVER_MS),
            handle((value) => {
              if (failed.size < 30 && !failed.has(value)) {
                failed.add(value);
                throw NO;
              }
              return takes(1)(value);
            }),
            ackEach(),
          ),
        );
        advanceTo(5_000);
        expect(out.completed).toBe(true);
        expect(source.committed()).toBe(40);
        expect(new Set(out.values).size).toBe(240);
        // dedupe lets no part through twice, also where its delivery came again.
        expect(out.values).toHaveLength(240);
        expect(deadLetters.published).toEqual([]);
        expect(source.session).toMatchObject({ parts: 0, held: 0, full: 0 });
      }));
  });

  describe('above ordered', () => {
    it('goes on with the other parts of a key where one fails: the whole comes again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { messages: { a: { key: 'k' } } });
        const out = drive(source.texts.pipe(split(parts(3)), ordered({ by: 'key' })), (part) => {
          timer(1).subscribe(() => {
            if (part.value === 'a0' && part.attempt === 1) part.nack(NO);
            else part.ack();
          });
        });
        advanceTo(30);
        expect(out.values.map(({ value, attempt }) => `${value}#${attempt}`)).toEqual(
          ['a0#1', 'a1#1', 'a2#1', 'a0#2', 'a1#2', 'a2#2'], // prettier-ignore
        );
        expect(source.settled('done')).toEqual(['a']);
      }));

    it('goes on where one is let go', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { messages: { a: { key: 'k' } } });
        let first = true;
        const out = drive(source.texts.pipe(split(parts(2)), ordered({ by: 'key' })), (part) => {
          const isFirst = first;
          first = false;
          timer(1).subscribe(() => {
            if (isFirst) nodeOf(part).abandon();
            else part.ack();
          });
        });
        advanceTo(30);
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1', 'a0', 'a1']);
        expect(source.settled('done')).toEqual(['a']);
      }));
  });

  describe('on a revoke', () => {
    it('pulls nothing more, lets started parts end, and lets go of what is not pulled (I4)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { drainTimeoutMs: 50 });
        const scripted = script(4);
        const out = drive(source.texts.pipe(split(scripted.pull, { maxPartsInFlight: 6 })));
        advanceTo(1);
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1', 'a2', 'a3', 'b0', 'b1']);
        let revoked = false;
        source.revoke(0, () => (revoked = true));
        expect([scripted.ended, scripted.closed]).toEqual([1, 2]);
        advanceTo(5);
        expect(revoked).toBe(false);
        for (const part of [...out.values]) part.ack();
        advanceTo(6);
        expect(revoked).toBe(true);
        expect(out.values).toHaveLength(6);
        expect(source.settled()).toEqual(['a']);
        expect(source.committed()).toBe(1);
        source.assign();
        advanceTo(7);
        expect(out.values.slice(6).map(({ value }) => value)).toEqual(['b0', 'b1', 'b2', 'b3', 'c0', 'c1']);
      }));

    it('lets a delivery settle whose last part is out, also where there was no room to ask for more', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 50 });
        const out = drive(source.texts.pipe(split(parts(2), { maxPartsInFlight: 1 }), handle(takes(10)), ackEach()));
        advanceTo(12);
        source.revoke();
        advanceTo(25);
        expect(out.values).toEqual(['a0', 'a1']);
        expect(source.settled()).toEqual(['a']);
        expect(source.committed()).toBe(1);
      }));

    it('does not pull for a delivery that comes to it after the drain began', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 50 });
        const scripted = script(4);
        drive(source.texts.pipe(handle(takes(5)), split(scripted.pull)));
        advanceTo(2);
        source.revoke();
        advanceTo(8);
        expect(scripted.pulled).toBe(0);
        expect(source.session.inFlight).toBe(0);
      }));

    it('of another partition goes on with the rest', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { partitions: 2, drainTimeoutMs: 10 });
        source.fill(0);
        const out = drive(source.texts.pipe(split(parts(3), { maxPartsInFlight: 2 })));
        source.publish('a', { partition: 0 });
        source.publish('b', { partition: 1 });
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1']);
        source.revoke(0);
        advanceTo(5);
        expect(out.values).toHaveLength(2);
        // Nobody ends its parts: the close gives their room back.
        advanceTo(1_011);
        expect(out.values.map(({ value }) => value)).toEqual(['a0', 'a1', 'b0', 'b1']);
        out.values[0]?.ack();
        out.values[2]?.ack();
        out.values[3]?.ack();
        out.values[4]?.ack();
        expect(source.settled()).toEqual(['b']);
        expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['closed']);
        expect(source.session).toMatchObject({ parts: 0, held: 0, full: 0, inFlight: 0 });
      }));

    it('inside the user’s generator: it is closed once it can be', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 10 });
        let closed = 0;
        const fn = function* (value: string): Generator<string> {
          try {
            yield `${value}0`;
            source.revoke();
            yield `${value}1`;
          } finally {
            closed++;
          }
        };
        const out = drive(source.texts.pipe(split(fn), ackEach()));
        advanceTo(30);
        expect(out.values).toEqual(['a0']);
        expect(closed).toBe(1);
        expect(source.settled()).toEqual([]);
        expect(source.session).toMatchObject({ parts: 0, inFlight: 0 });
      }));

    it('closes the iterator where the drain of a stop is cut off', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 10 });
        const scripted = script();
        drive(source.texts.pipe(split(scripted.pull, { maxPartsInFlight: 2 })));
        advanceTo(2);
        source.stop();
        advanceTo(11);
        expect(scripted.closed).toBe(0);
        advanceTo(30);
        expect(scripted.closed).toBe(1);
        expect(source.isOpen).toBe(false);
      }));

    it('settles nothing where the epoch is lost, of parts that end in whatever way (I5)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(source.texts.pipe(split(parts(3))));
        advanceTo(1);
        const { signal } = out.values[0] as Part;
        source.lose();
        expect(signal.aborted).toBe(true);
        out.values[0]?.ack();
        out.values[1]?.nack(NO);
        nodeOf(out.values[2]).abandon();
        advanceTo(30);
        expect(source.settled()).toEqual([]);
        expect(source.eventsOf('retried')).toEqual([]);
        expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['closed', 'closed']);
        expect(source.session).toMatchObject({ parts: 0, held: 0, full: 0, inFlight: 0 });
      }));
  });

  describe('on an unsubscribe', () => {
    it('closes the iterator, and lets what is pulled to the end settle in the background', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { drainTimeoutMs: 50 });
        const scripted = script(2);
        const out = drive(source.texts.pipe(split(scripted.pull, { maxPartsInFlight: 3 })));
        advanceTo(1);
        const values = [...out.values];
        out.unsubscribe();
        // It asked once more whether the third was the last.
        expect([scripted.pulled, scripted.closed]).toEqual([4, 2]);
        for (const part of values) part.ack();
        advanceTo(5);
        expect(source.committed()).toBe(1);
        expect(source.isOpen).toBe(false);
      }));

    it('inside the user’s generator pulls nothing more', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 10 });
        let closed = 0;
        const fn = function* (value: string): Generator<string> {
          try {
            yield `${value}0`;
            out.unsubscribe();
            yield `${value}1`;
          } finally {
            closed++;
          }
        };
        const out = drive(source.texts.pipe(delay(1), split(fn), ackEach()));
        advanceTo(30);
        expect(out.values).toEqual(['a0']);
        expect(closed).toBe(1);
        expect(source.committed()).toBe(0);
        expect(source.isOpen).toBe(false);
      }));

    it('by take, in the middle of a delivery, brings it again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const first = drive(source.texts.pipe(split(parts(3)), ackEach(), take(4)));
        advanceTo(5);
        expect([first.values, first.completed]).toEqual([['a0', 'a1', 'a2', 'b0'], true]);
        expect(source.committed()).toBe(1);
        expect(source.isOpen).toBe(false);
        const second = drive(source.texts.pipe(split(parts(3)), ackEach()));
        advanceTo(10);
        expect(second.values).toEqual(['b0', 'b1', 'b2']);
      }));

    it('leaves nothing behind, at whatever millisecond, with parts out, waiting and unpulled', () => {
      for (let ms = 0; ms <= 40; ms++) {
        marbles(({ log, drive, advanceTo, scheduler }) => {
          const source = log('-(abc)--d-e|', { drainTimeoutMs: 50, unsettledWarnMs: 400 });
          const started: string[] = [];
          const out = drive(
            source.texts.pipe(
              split(parts(3), { maxPartsInFlight: 4 }),
              handle((value, { attempt }) => {
                started.push(value);
                if (attempt === 1 && ['b1', 'd0'].includes(value)) throw NO;
                return takes(3)(value);
              }, { concurrency: 2 }), // prettier-ignore
              ackEach(),
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

  it('passes an error of its source on, and lets go of what waits', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a-#', { drainTimeoutMs: 20 });
      const scripted = script();
      const out = drive(
        source.texts.pipe(
          split(scripted.pull, { maxPartsInFlight: 2 }),
          handle(() => NEVER, { concurrency: 2 }),
        ),
      );
      advanceTo(3);
      expect(isSluiceError(out.error)).toBe(true);
      expect(scripted.closed).toBe(1);
      advanceTo(4);
      expect(source.isOpen).toBe(false);
    }));

  it('settles every delivery by what became of its parts, whatever happens', () => {
    const seed = Number(process.env.RXSLUICE_SEED ?? Date.now() % 2 ** 31);
    const random = choices(seed);
    for (let round = 0; round < 60; round++) tryAtRandom(random, `RXSLUICE_SEED=${seed}, round ${round}`);
  });

  it('refuses options that are none', () => {
    expect(refusal(() => split(untyped('x')))).toBe('split: fn must be a function, not a string.');
    expect(refusal(() => split(() => [], { maxParts: 0 }))).toBe(
      'split: maxParts must be a whole number, at least 1, not 0.',
    );
    expect(refusal(() => split(() => [], { maxPartsInFlight: 1.5 }))).toContain('maxPartsInFlight must be');
    expect(refusal(() => split(() => [], untyped({ max: 3 })))).toContain('there is no option max');
  });
});

const ENDS = ['done', 'done', 'done', 'skipped', 'dead-lettered', 'nack', 'abandon'] as const;
const RANK: readonly string[] = ['done', 'skipped', 'dead-lettered'];

/** Deliveries with parts that end at random, at random times; a revoke now and then. */
function tryAtRandom({ below: random }: Choices, name: string): void {
  marbles(({ log, drive, advanceTo, at }) => {
    const room = 1 + random(6);
    const source = log(undefined, { maxInFlight: 1 + random(6), partitions: 2, drainTimeoutMs: 30 });
    source.fill(20, (index) => ({ partition: index % 2 }));
    // The outcomes of the parts, by the last run of their delivery.
    const plan = new Map<string, Outcome[]>();
    let out = 0;
    let most = 0;
    const ended = (delta: number): void => {
      out += delta;
      most = Math.max(most, out);
    };
    const fn = function* (value: string): Generator<Outcome[]> {
      const outcomes: Outcome[] = [];
      plan.set(value, outcomes);
      const count = random(6);
      for (let index = 0; index < count; index++) yield outcomes;
      if (random(10) === 0) throw NO;
    };
    const end = (part: Delivery<Outcome[]>): void => {
      const how = ENDS[random(ENDS.length)] as (typeof ENDS)[number];
      ended(-1);
      if (how === 'nack') part.nack(NO);
      else if (how === 'abandon') nodeOf(part).abandon();
      else {
        part.value.push(how);
        part.settle(how);
      }
    };
    const wrong: unknown[] = [];
    const check = (outcome: Outcome) => (value: string) => {
      const outcomes = plan.get(value) as Outcome[];
      const worst = Math.max(0, ...outcomes.map((each) => RANK.indexOf(each)));
      if (RANK[worst] !== outcome) wrong.push([name, value, outcomes, outcome]);
    };
    source.done.subscribe(check('done'));
    source.skipped.subscribe(check('skipped'));
    source.deadLettered.subscribe(check('dead-lettered'));
    drive(source.texts.pipe(split(fn, { maxPartsInFlight: room })), (part) => {
      ended(1);
      const wait = random(4);
      if (wait === 0) end(part);
      else timer(wait).subscribe(() => end(part));
    });
    for (const ms of [40, 90]) {
      at(ms, () => source.revoke(0));
      at(ms + 35, () => source.assign(0));
    }
    advanceTo(3_000);
    expect(wrong).toEqual([]);
    expect([name, source.committed(0), source.committed(1)]).toEqual([name, 10, 10]);
    expect([name, most <= room, out]).toEqual([name, true, 0]);
    expect(source.session).toMatchObject({ inFlight: 0, held: 0, parts: 0, full: 0 });
  });
}
