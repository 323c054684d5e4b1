import { describe, expect, it } from '@jest/globals';
import {
  asyncScheduler,
  concat,
  delay,
  EMPTY,
  map,
  NEVER,
  of,
  Subject,
  switchMap,
  take,
  throwError,
  timer,
} from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { permanent, unavailable } from '../../lib/core/failures.js';
import type { Message } from '../../lib/core/message.js';
import type { Publisher, PublishOutcome } from '../../lib/core/publisher.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { batch } from '../../lib/operators/batch.js';
import { handle } from '../../lib/operators/handle.js';
import { ordered } from '../../lib/operators/ordered.js';
import { publishTo } from '../../lib/operators/publish-to.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import {
  after,
  answersTooFew,
  confirms,
  fakePublisher,
  inTurn,
  isOut,
  mishaps,
  neverAnswers,
  OUTAGE,
  REFUSAL,
  refuses,
  throwsAtOnce,
  until,
  type FakePublisher,
} from '../support/publishers.js';
import type { ScriptedLog } from '../support/scripted-log.js';

const asMessage = (value: string): Message => ({ value });

keepsTheContract('publishTo', { make: () => publishTo(fakePublisher(), asMessage), nackGoesUp: true });

const NEVER_MS = 250_000;
const NO = new Error('no');

const callsOf = ({ calls }: FakePublisher): string[] =>
  calls.map(({ messages }) => messages.map(({ value }) => value).join(''));
const published = (publisher: FakePublisher): string => publisher.published.map(({ value }) => value).join('');

/** A log that has them at the subscription, so that they come at once. */
const holding = (source: ScriptedLog, names: string): ScriptedLog => {
  for (const name of names) source.publish(name);
  return source;
};

/** Refuses the values that are named, in one call or in all. */
const refusing =
  (names: string, status: 'transient' | 'permanent', error: unknown = NO, calls = Infinity) =>
  (messages: readonly Message[], call: number) =>
    of(
      messages.map(({ value }): PublishOutcome =>
        call < calls && names.includes(value as string) ? { status, error } : { status: 'ok' },
      ),
    );

describe('publishTo', () => {
  it('lets a delivery pass, as it was, once its publish is confirmed', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       -a----b|');
      const expected = '         ---a----(b|)';
      const publisher = fakePublisher(after(2));
      const out = source.texts.pipe(
        publishTo(publisher, (value, { id }) => ({ key: id, value: `<${value}>` })),
        ackEach(),
      );
      expectObservable(out).toBe(expected);
      expectObservable(source.commits).toBe('     ---a----b-');
      flush();
      expect(publisher.published).toEqual([
        { key: 'orders/0/0', value: '<a>' },
        { key: 'orders/0/1', value: '<b>' },
      ]);
    }));

  it('leaves the ack to what is below', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(source.texts.pipe(publishTo(fakePublisher(), asMessage)));
      advanceTo(5);
      expect(source.settled()).toEqual([]);
      out.values[0]?.ack();
      expect(source.settled()).toEqual(['a']);
    }));

  it('gathers while a call is under way: one call at a time, in order', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       abcd----e|');
      const expected = '         ---a--(bcd)(e|)';
      const publisher = fakePublisher(after(3));
      expectObservable(source.texts.pipe(publishTo(publisher, asMessage), ackEach())).toBe(expected);
      flush();
      expect(callsOf(publisher)).toEqual(['a', 'bcd', 'e']);
    }));

  it('takes at most maxBatch deliveries in a call', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 20 });
      source.fill(10);
      source.end();
      const publisher = fakePublisher(after(1));
      const out = drive(source.texts.pipe(publishTo(publisher, asMessage, { maxBatch: 4 }), ackEach()));
      advanceTo(10);
      expect(callsOf(publisher)).toEqual(['0123', '4567', '89']);
      expect(out.completed).toBe(true);
    }));

  it('never has more in it than the source may give', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 3 });
      source.fill(10);
      const publisher = fakePublisher(neverAnswers);
      drive(source.texts.pipe(publishTo(publisher, asMessage)));
      advanceTo(100);
      expect(callsOf(publisher)).toEqual(['012']);
      expect(source.session).toMatchObject({ inFlight: 3, held: 3 });
    }));

  it('has maxInFlightBatches calls under way', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abcdef');
      const publisher = fakePublisher(after(10));
      const most: number[] = [];
      const out = drive(source.texts.pipe(publishTo(publisher, asMessage, { maxInFlightBatches: 2 }), ackEach()));
      for (let ms = 1; ms < 40; ms++) {
        advanceTo(ms);
        most.push(publisher.pending);
      }
      expect(Math.max(...most)).toBe(2);
      expect(callsOf(publisher)).toEqual(['a', 'b', 'cdef']);
      expect(out.values).toEqual(['a', 'b', 'c', 'd', 'e', 'f']);
    }));

  it('tries with one call alone while the publisher is out, also where two may be under way', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abcdef');
      const publisher = fakePublisher(until(3_000, after(10, isOut)));
      const options = { maxInFlightBatches: 2, maxBatch: 1 };
      const out = drive(source.texts.pipe(publishTo(publisher, asMessage, options), ackEach()));
      advanceTo(11);
      expect(callsOf(publisher)).toEqual(['a', 'b']);
      for (let ms = 12; ms < 3_000; ms++) {
        advanceTo(ms);
        expect(publisher.pending).toBeLessThan(2);
      }
      advanceTo(20_000);
      expect([...out.values].sort().join('')).toBe('abcdef');
      expect(published(publisher)).toHaveLength(6);
      expect(source.eventsOf('unavailable')).toHaveLength(1);
    }));

  describe('of several messages or none', () => {
    const each = (value: string): Message[] => [...value].map((character) => ({ value: character }));
    const messages = { x: { value: 'uvw' }, y: { value: '' }, z: { value: 'z' } };

    it('publishes all of them before the delivery passes, each in its place', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xyz)', { messages });
        const publisher = fakePublisher(after(2));
        const out = drive(source.texts.pipe(publishTo(publisher, each), ackEach()));
        advanceTo(1);
        expect(out.values).toEqual([]);
        advanceTo(4);
        expect(published(publisher)).toBe('uvwz');
        expect(out.values).toEqual(['uvw', '', 'z']);
      }));

    it('lets one without a message pass at once where nothing is before it, without a call', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('y', { messages });
        const publisher = fakePublisher();
        const out = drive(source.texts.pipe(publishTo(publisher, each), ackEach()));
        advanceTo(0);
        expect(out.values).toEqual(['']);
        expect(publisher.calls).toEqual([]);
      }));

    it('lets one without a message wait for its turn behind others, and calls for none', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('xy', { messages });
        const publisher = fakePublisher(after(5));
        const out = drive(source.texts.pipe(publishTo(publisher, each), ackEach()));
        advanceTo(4);
        expect(out.values).toEqual([]);
        advanceTo(5);
        expect(out.values).toEqual(['uvw', '']);
        expect(publisher.calls).toHaveLength(1);
      }));

    it('nacks for one that is refused, for good before for the moment', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xz)', { messages });
        const publisher = fakePublisher((all) =>
          of(
            all.map(({ value }): PublishOutcome => {
              if (value === 'u') return { status: 'transient', error: OUTAGE };
              return value === 'w' ? { status: 'permanent', error: new Error('w') } : { status: 'ok' };
            }),
          ),
        );
        const deadLetters = fakePublisher();
        const out = drive(source.texts.pipe(retryToDlq({ deadLetters }), publishTo(publisher, each), ackEach()));
        advanceTo(5);
        expect(out.values).toEqual(['z']);
        expect(source.settled('dead-lettered')).toEqual(['x']);
        expect(deadLetters.published[0]?.headers).toMatchObject({ 'dead-letter-error-message': 'w' });
        expect(published(publisher)).toBe('vz');
      }));
  });

  describe('settles outcomes one by one', () => {
    it('nacks the one that failed for the moment with its error, and lets the others pass', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = holding(log(), 'abc');
        const publisher = fakePublisher(refusing('b', 'transient', NO, 1));
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(1);
        expect(out.values).toEqual(['a', 'c']);
        expect(source.eventsOf('retried').map(({ event }) => [event.failure, event.reason])).toEqual([
          ['transient', NO],
        ]);
        advanceTo(20);
        expect(out.values).toEqual(['a', 'c', 'b']);
        expect(callsOf(publisher)).toEqual(['abc', 'b']);
      }));

    it('nacks the one that is refused as permanent: it skips the retries', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = holding(log(), 'abc');
        const publisher = fakePublisher(refusing('b', 'permanent', new Error('too large')));
        const deadLetters = fakePublisher();
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, backoff: constant(1) }),
            publishTo(publisher, asMessage),
            ackEach(),
          ),
        );
        advanceTo(20);
        expect(out.values).toEqual(['a', 'c']);
        expect(source.settled('dead-lettered')).toEqual(['b']);
        expect(callsOf(publisher)).toEqual(['abc']);
        expect(deadLetters.published[0]?.headers).toMatchObject({
          'dead-letter-attempts': '1',
          'dead-letter-error-message': 'too large',
        });
      }));

    it.each([
      ['transient', permanent(new Error('marked permanent'))],
      ['transient', unavailable(new Error('marked unavailable'))],
      ['permanent', unavailable(new Error('marked unavailable'))],
      ['permanent', 'no error at all'],
    ] as const)('goes by the outcome, %s, not by the mark of its error', (status, error) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const publisher = fakePublisher(refusing('a', status, error, 1));
        drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(1);
        expect(source.eventsOf('retried').map(({ event }) => event.failure)).toEqual([status]);
      }),
    );

    it('nacks with a typed error where there are fewer outcomes than messages', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = holding(log(), 'ab');
        const publisher = fakePublisher(inTurn(() => of([{ status: 'ok' as const }]), confirms));
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(1);
        expect(out.values).toEqual(['a']);
        expect(source.eventsOf('retried').map(({ event }) => event)).toMatchObject([
          { failure: 'transient', reason: { code: 'publish-failed', details: { id: 'orders/0/1' } } },
        ]);
        advanceTo(20);
        expect(out.values).toEqual(['a', 'b']);
      }));

    it.each([
      ['completes without an answer', () => EMPTY],
      ['answers with nothing', answersTooFew],
    ] as const)('nacks all, typed, where a call %s', (_, answer) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = holding(log(), 'ab');
        const publisher = fakePublisher(inTurn(answer, confirms));
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(1);
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toMatchObject([
          { code: 'publish-failed' },
          { code: 'publish-failed' },
        ]);
        advanceTo(20);
        expect(out.values).toEqual(['a', 'b']);
      }),
    );
  });

  describe('while the publisher is out', () => {
    it.each([
      ['errors', isOut],
      ['throws', throwsAtOnce],
    ] as const)('holds within credit where a call %s, loses none and counts no attempt', (_, answer) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 6 });
        source.fill(30);
        source.end();
        const publisher = fakePublisher(until(20_000, answer));
        const attempts: number[] = [];
        const out = drive(
          source.texts.pipe(
            publishTo(publisher, asMessage),
            handle((value, { attempt }) => {
              attempts.push(attempt);
              return value;
            }),
            ackEach(),
          ),
        );
        advanceTo(19_999);
        expect(source.session).toMatchObject({ inFlight: 6, held: 6 });
        expect(publisher.calls.length).toBeLessThan(20);
        expect(source.eventsOf('unavailable').map(({ event }) => [event.what, event.error])).toEqual([
          ['the publisher of publishTo', OUTAGE],
        ]);
        advanceTo(60_000);
        expect(out.values).toEqual(Array.from({ length: 30 }, (__, index) => `${index}`));
        expect(new Set(attempts)).toEqual(new Set([1]));
        expect(source.eventsOf('recovered')).toHaveLength(1);
        expect(source.eventsOf('retried')).toEqual([]);
        expect(out.completed).toBe(true);
      }),
    );

    it('keeps the order per key through an outage', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a-b-c-d');
        const publisher = fakePublisher(until(300, isOut));
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage, { maxBatch: 2 }), ackEach()));
        advanceTo(5_000);
        expect(published(publisher)).toBe('abcd');
        expect(out.values).toEqual(['a', 'b', 'c', 'd']);
      }));
  });

  describe('connects', () => {
    it('while it is subscribed, once, and closes after it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('-a-|');
        const publisher = fakePublisher();
        const pipeline = source.texts.pipe(publishTo(publisher, asMessage), ackEach());
        expect(publisher.connects).toBe(0);
        drive(pipeline);
        expect(publisher.open).toBe(1);
        advanceTo(5);
        expect([publisher.open, publisher.connects]).toEqual([0, 1]);
      }));

    it('and waits for the connection, which is no outage', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const publisher = fakePublisher(confirms, () => timer(7));
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(6);
        expect(out.values).toEqual([]);
        advanceTo(7);
        expect(out.values).toEqual(['a', 'b']);
        expect(source.eventsOf('unavailable')).toEqual([]);
      }));

    it.each([
      ['errors', () => throwError(() => OUTAGE), /^No connection: Error at publishers\.ts:\d+:\d+\.$/],
      ['completes without one', () => EMPTY, /^The publisher completed without a connection\.$/],
    ] as const)('again with backoff where connecting %s; publishes as soon as there is one', (_, fails, message) =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log('a');
        let opened = -1;
        let connects = 0;
        const { connect } = fakePublisher();
        const publisher: Publisher = {
          connect: () => {
            if (++connects < 4) return timer(7).pipe(switchMap(fails));
            opened = now();
            return connect();
          },
        };
        let passed = -2;
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()), () => (passed = now()));
        advanceTo(10);
        expect(out.values).toEqual([]);
        expect(source.eventsOf('unavailable').map(({ event }) => event.error)).toMatchObject([
          { code: 'publish-failed', message: expect.stringMatching(message) as unknown },
        ]);
        advanceTo(2_000);
        expect(out.values).toEqual(['a']);
        expect(connects).toBe(4);
        expect(passed).toBe(opened);
      }),
    );

    it('again where the connection breaks', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a------b');
        const breaks = new Subject<never>();
        const publisher = fakePublisher(confirms, (attempt) =>
          attempt === 0 ? concat(of(undefined), breaks) : of(undefined),
        );
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(3);
        breaks.error(OUTAGE);
        expect(publisher.open).toBe(0);
        advanceTo(1_000);
        expect(out.values).toEqual(['a', 'b']);
        expect(publisher.connects).toBe(2);
      }));

    it('and keeps a connection whose publisher completes once it is open', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a--b');
        const publisher: Publisher = {
          connect: () => of({ publish: (all) => of(all.map((): PublishOutcome => ({ status: 'ok' }))) }),
        };
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(5);
        expect(out.values).toEqual(['a', 'b']);
      }));

    it('and takes a connect that throws for an error', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const connect = (): never => {
          throw OUTAGE;
        };
        const out = drive(source.texts.pipe(publishTo({ connect }, asMessage), ackEach()));
        advanceTo(500);
        expect(out.error).toBeUndefined();
        expect(source.session).toMatchObject({ inFlight: 1, held: 1 });
      }));
  });

  describe('toMessage', () => {
    it('that throws is a nack with what it threw, of whatever class that is', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)');
        const publisher = fakePublisher();
        const out = drive(
          source.texts.pipe(
            publishTo(publisher, (value, { attempt }) => {
              if (value === 'a' && attempt === 1) throw NO;
              if (value === 'b' && attempt === 1) throw permanent(new Error('b'));
              return { value };
            }),
            ackEach(),
          ),
        );
        advanceTo(20);
        expect(source.eventsOf('retried').map(({ event }) => event.failure)).toEqual(['transient', 'permanent']);
        expect(out.values).toEqual(['c', 'a', 'b']);
      }));

    it.each([
      ['undefined', undefined],
      ['null', null],
      ['a list with a hole', [{ value: 'x' }, undefined]],
      ['a Promise', Promise.resolve({ value: 'x' })],
    ])('that gives %s is a permanent nack, typed', (_, made) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const publisher = fakePublisher();
        const deadLetters = fakePublisher();
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters }),
            publishTo(publisher, () => untyped(made)),
            ackEach(),
          ),
        );
        advanceTo(5);
        expect(source.eventsOf('dead-lettered').map(({ event }) => event.reason)).toMatchObject([
          { code: 'publish-failed', details: { id: 'orders/0/0' } },
        ]);
        expect(publisher.calls).toEqual([]);
      }),
    );

    it('that keeps the delivery and settles it while it is published: it does not pass', () =>
      marbles(({ log, drive, advanceTo, at }) => {
        const source = log('a');
        const out = drive(
          source.texts.pipe(
            publishTo(fakePublisher(after(10)), (value, delivery) => {
              at(5, () => delivery.ack());
              return { value };
            }),
          ),
        );
        advanceTo(20);
        expect(out.values).toEqual([]);
        expect(source.settled()).toEqual(['a']);
      }));

    it('that settles the delivery itself has nothing published', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const publisher = fakePublisher();
        const out = drive(
          source.texts.pipe(
            publishTo(publisher, (value, delivery) => {
              if (value === 'a') delivery.settle('skipped');
              return { value };
            }),
            ackEach(),
          ),
        );
        advanceTo(5);
        expect(out.values).toEqual(['b']);
        expect(published(publisher)).toBe('b');
        expect(source.settled('skipped')).toEqual(['a']);
      }));
  });

  describe('when its upstream or its subscriber ends', () => {
    it('lets what is in it pass before it completes, after the last value', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abcd');
        const publisher = fakePublisher(after(10));
        const out = drive(source.texts.pipe(take(3), publishTo(publisher, asMessage), ackEach()));
        advanceTo(19);
        expect([out.values, out.completed]).toEqual([['a'], false]);
        advanceTo(20);
        expect([out.values, out.completed]).toEqual([['a', 'b', 'c'], true]);
        expect(source.committed()).toBe(3);
      }));

    it('does not complete inside a settlement, whose value is still to be emitted', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = holding(log(undefined, { maxInFlight: 1, drainTimeoutMs: 5 }), 'ab');
        const publisher = fakePublisher(refusing('b', 'permanent', new Error('b')));
        const out = drive(
          source.texts.pipe(
            take(2),
            publishTo(publisher, asMessage),
            handle((value) => timer(5).pipe(map(() => value))),
            ackEach(), // its ack lets b come, which is refused at once: the last one
          ),
        );
        advanceTo(20);
        expect([out.values, out.completed]).toEqual([['a'], true]);
      }));

    it('completes also where the last one is refused', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 50 });
        const publisher = fakePublisher(after(5, refuses));
        const out = drive(source.texts.pipe(take(2), publishTo(publisher, asMessage), ackEach()));
        advanceTo(12);
        expect([out.values, out.completed]).toEqual([[], true]);
      }));

    it('completes as soon as what is in it is lost', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc', { drainTimeoutMs: 50 });
        const out = drive(source.texts.pipe(take(3), publishTo(fakePublisher(after(10)), asMessage), ackEach()));
        advanceTo(5);
        expect(out.completed).toBe(false);
        source.lose();
        advanceTo(6);
        expect([out.values, out.completed]).toEqual([[], true]);
      }));

    it('completes with its source, once it is stopped, where the publisher never answers', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 50 });
        const publisher = fakePublisher(neverAnswers);
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(5);
        source.stop();
        advanceTo(56);
        expect([out.values, out.completed, source.isOpen]).toEqual([[], true, false]);
        expect([publisher.pending, publisher.open]).toEqual([0, 0]);
      }));

    it('ends its wait for a publisher that is out, after two calls that failed', () =>
      marbles(({ log, drive, advanceTo, scheduler }) => {
        const source = log('ab', { unsettledWarnMs: 20 });
        const options = { maxInFlightBatches: 2 };
        const out = drive(source.texts.pipe(publishTo(fakePublisher(after(5, isOut)), asMessage, options)));
        advanceTo(30); // the next try is at 55
        out.unsubscribe();
        advanceTo(31);
        expect(source.isOpen).toBe(false);
        expect(scheduler.actions).toHaveLength(0);
      }));

    it('lets go on an unsubscribe; what is under way settles nothing any more', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc', { drainTimeoutMs: 100 });
        const publisher = fakePublisher(after(10));
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(5);
        out.unsubscribe();
        expect(publisher.open).toBe(0);
        expect(source.session).toMatchObject({ inFlight: 1 });
        advanceTo(10);
        expect(published(publisher)).toBe('a');
        expect(source.isOpen).toBe(false);
        expect(out.values).toEqual([]);
        expect(source.committed()).toBe(0);
      }));

    it('gives a call up with its epochs where the publisher never answers', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 20 });
        const publisher = fakePublisher(neverAnswers);
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage)));
        advanceTo(5);
        out.unsubscribe();
        expect(publisher.pending).toBe(1);
        advanceTo(25);
        expect([publisher.pending, source.isOpen]).toEqual([0, false]);
      }));

    it('leaves nothing behind of a publisher that never connects', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 20 });
        const out = drive(
          source.texts.pipe(
            publishTo(
              fakePublisher(confirms, () => NEVER),
              asMessage,
            ),
          ),
        );
        advanceTo(5);
        out.unsubscribe();
        advanceTo(6);
        expect(source.isOpen).toBe(false);
      }));

    it('leaves nothing behind, at whatever millisecond it is unsubscribed', () => {
      for (let ms = 0; ms <= 24; ms++) {
        marbles(({ log, drive, advanceTo, scheduler }) => {
          const source = log('-a-b-(cd)-e|', { drainTimeoutMs: 50, unsettledWarnMs: 400 });
          const publisher = fakePublisher(after(2, refusing('b', 'transient', NO, 3)), () => timer(3));
          const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
          advanceTo(ms);
          out.unsubscribe();
          advanceTo(300);
          expect(source.eventsOf('closed')).toHaveLength(1);
          expect(source.session).toMatchObject({ inFlight: 0, held: 0, lingering: 0 });
          expect([publisher.open, publisher.pending]).toEqual([0, 0]);
          expect(scheduler.actions).toHaveLength(0);
        });
      }
    });
  });

  describe('on a revoke', () => {
    it('lets go of what waits; what is under way may pass within the drain (I4)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc', { drainTimeoutMs: 50 });
        const publisher = fakePublisher(after(10));
        const revoked: number[] = [];
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(5);
        source.revoke(0, () => revoked.push(asyncScheduler.now()));
        advanceTo(100);
        expect(revoked).toEqual([10]);
        expect(out.values).toEqual(['a']);
        expect(callsOf(publisher)).toEqual(['a']);
        expect(source.committed()).toBe(1);
      }));

    it('publishes none that arrives after its drain began', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 50 });
        const publisher = fakePublisher();
        const revoked: number[] = [];
        drive(source.texts.pipe(delay(10), publishTo(publisher, asMessage), ackEach()));
        advanceTo(5);
        source.revoke(0, () => revoked.push(asyncScheduler.now()));
        advanceTo(20);
        expect(publisher.calls).toEqual([]);
        expect(revoked).toEqual([10]);
      }));

    it('lets nothing pass whose epoch is closed: it is published again by its next owner (I5)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const publisher = fakePublisher(after(10));
        const seen: Delivery<string>[] = [];
        drive(source.texts.pipe(publishTo(publisher, asMessage)), (delivery) => seen.push(delivery));
        advanceTo(5);
        source.lose();
        advanceTo(15);
        expect(published(publisher)).toBe('a');
        expect(seen).toEqual([]);
        source.assign();
        advanceTo(30);
        expect(published(publisher)).toBe('aa');
        expect(seen).toHaveLength(1);
        seen[0]?.ack();
        expect(source.settled()).toEqual(['a']);
      }));

    it('does not try again for what is lost while the publisher is out', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { partitions: 2, messages: { b: { partition: 1 } } });
        const publisher = fakePublisher(inTurn(after(10, isOut), confirms));
        const out = drive(source.texts.pipe(publishTo(publisher, asMessage), ackEach()));
        advanceTo(5);
        source.lose(0);
        advanceTo(2_000);
        expect(callsOf(publisher).slice(1).join('')).toBe('b');
        expect(out.values).toEqual(['b']);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0 });
      }));
  });

  describe('with others', () => {
    it('lets a batch below it gather what it publishes', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 10 });
        source.fill(25);
        source.end();
        const out = drive(
          source.texts.pipe(
            publishTo(fakePublisher(after(3)), asMessage),
            batch({ maxSize: 20, maxWaitMs: NEVER_MS }),
            ackEach(),
          ),
        );
        advanceTo(100);
        expect(out.values.map(({ length }) => length)).toEqual([10, 10, 5]);
        expect(out.completed).toBe(true);
      }));

    it('publishes a whole batch in one call, or nacks all of it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = holding(log(), 'abcd');
        const publisher = fakePublisher(refusing('d', 'transient', NO, 1));
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 5 }),
            publishTo(publisher, (values) => values.map((value) => ({ value }))),
            ackEach(),
          ),
        );
        advanceTo(1);
        expect(out.values).toEqual([['a', 'b']]);
        advanceTo(30);
        expect(out.values).toEqual([
          ['a', 'b'],
          ['c', 'd'],
        ]);
        expect(published(publisher)).toBe('abccd');
      }));

    it('keeps each key in order below ordered and retryToDlq, also where publishes fail', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 8 });
        source.fill(40, (index) => ({ key: `k${index % 3}` }));
        source.end();
        let failures = 0;
        const publisher = fakePublisher((messages) =>
          timer(2).pipe(() =>
            of(
              messages.map((): PublishOutcome =>
                ++failures % 5 === 0 ? { status: 'transient', error: NO } : { status: 'ok' },
              ),
            ),
          ),
        );
        const out = drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            retryToDlq({ deadLetters: fakePublisher(), maxRetries: 20, backoff: constant(4) }),
            publishTo(publisher, asMessage, { maxInFlightBatches: 3 }),
            ackEach(),
          ),
        );
        advanceTo(5_000);
        expect(out.completed).toBe(true);
        for (const key of [0, 1, 2]) {
          const ofKey = publisher.published.map(({ value }) => Number(value)).filter((value) => value % 3 === key);
          expect(ofKey).toEqual([...ofKey].sort((left, right) => left - right));
        }
        expect(publisher.published).toHaveLength(40);
      }));
  });

  it.each([
    [undefined, asMessage, {}, 'publishTo: publisher must be a publisher, with connect(), not undefined.'],
    [fakePublisher(), 'text', {}, 'publishTo: toMessage must be a function, not a string.'],
    [fakePublisher(), asMessage, { maxBatch: 0 }, 'publishTo: maxBatch must be a whole number, at least 1, not 0.'],
    [
      fakePublisher(),
      asMessage,
      { maxInFlightBatches: 0.5 },
      'publishTo: maxInFlightBatches must be a whole number, at least 1, not 0.5.',
    ],
    [
      fakePublisher(),
      asMessage,
      { size: 1 },
      'publishTo: there is no option size; there are maxBatch, maxInFlightBatches.',
    ],
  ])('refuses what is not allowed, at the call', (publisher, toMessage, options, message) => {
    expect(refusal(() => publishTo(untyped(publisher), untyped(toMessage), untyped(options)))).toBe(message);
  });

  it('says nothing else of an error of the publisher: REFUSAL is handed on as it is', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      drive(source.texts.pipe(publishTo(fakePublisher(inTurn(refuses, mishaps, confirms)), asMessage), ackEach()));
      advanceTo(5);
      expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([REFUSAL]);
    }));
});
