import { describe, expect, it } from '@jest/globals';
import { map, NEVER, of, Subject, throwError, timer, type Observable } from 'rxjs';
import { constant, exponential } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { permanent, unavailable, type FailureClass } from '../../lib/core/failures.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import type { OnUndeliverable } from '../../lib/operators/dead-letter-queue.js';
import { handle } from '../../lib/operators/handle.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { gather } from '../support/gather.js';
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
} from '../support/publishers.js';
import { bytesOf } from '../support/scripted-log.js';

keepsTheContract('retryToDlq', {
  make: () => retryToDlq({ deadLetters: fakePublisher(), backoff: constant(3) }),
  nackGoesUp: false,
});

// Marking changes the error itself, so each class has one of its own.
const NO = new Error('no');
const INVALID = permanent(new Error('invalid'));
const OUT = unavailable(new Error('out'));

/** Fails for the names, up to and including an attempt. */
const failing =
  (names: string, attempts = Infinity, error: unknown = NO) =>
  (value: string, { attempt }: Delivery<string>): string => {
    if (names.includes(value) && attempt <= attempts) throw error;
    return value;
  };

describe('retryToDlq', () => {
  it('runs a nacked one again after the backoff, as a new attempt', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       a-------|');
      const attempts = '         a--b--c--';
      const expected = '         ------a-|';
      const seen = new Subject<number>();
      const work = (value: string, { attempt }: Delivery<string>): string => {
        seen.next(attempt);
        if (attempt < 3) throw NO;
        return value;
      };
      expectObservable(seen).toBe(attempts, { a: 1, b: 2, c: 3 });
      expectObservable(
        source.texts.pipe(retryToDlq({ deadLetters: fakePublisher(), backoff: constant(3) }), handle(work), ackEach()),
      ).toBe(expected);
    }));

  it('lets others go on meanwhile', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       abc-----|');
      const expected = '         -bc--a--|';
      expectObservable(
        source.texts.pipe(
          retryToDlq({ deadLetters: fakePublisher(), backoff: constant(5) }),
          handle(failing('a', 1)),
          ackEach(),
        ),
      ).toBe(expected);
    }));

  it('publishes a dead letter after maxRetries, and only then settles', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       a--------------b-|');
      const expected = '         ---------------b-|';
      const deadLettered = '     ----------a-------';
      const deadLetters = fakePublisher(after(4));
      expectObservable(
        source.texts.pipe(
          retryToDlq({ deadLetters, maxRetries: 3, backoff: constant(2) }),
          handle(failing('a')),
          ackEach(),
        ),
      ).toBe(expected);
      expectObservable(source.deadLettered).toBe(deadLettered);
      expectObservable(source.commits).toBe('     ----------a----b-');
      flush();
      expect(deadLetters.calls.map(({ at }) => at)).toEqual([6]);
      expect(deadLetters.published.map(({ value }) => value)).toEqual([bytesOf('a')]);
      expect(source.eventsOf('retried').map(({ event }) => [event.by, event.failure, event.delayMs])).toEqual(
        Array.from({ length: 3 }, () => ['operator', 'transient', 2]),
      );
      expect(source.eventsOf('dead-lettered').map(({ event }) => event)).toEqual([
        expect.objectContaining({ reason: NO, published: true }),
      ]);
    }));

  it.each([0, 1, 3])('tries %i times again', (maxRetries) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      let runs = 0;
      const deadLetters = fakePublisher();
      drive(
        source.texts.pipe(
          retryToDlq({ deadLetters, maxRetries, backoff: constant(1) }),
          handle(() => {
            runs++;
            throw NO;
          }),
          ackEach(),
        ),
      );
      advanceTo(20);
      expect(runs).toBe(maxRetries + 1);
      expect(deadLetters.published).toHaveLength(1);
    }),
  );

  it('tries 3 times again, with exponential waits and full jitter, by default', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      drive(source.texts.pipe(retryToDlq({ deadLetters: fakePublisher() }), handle(failing('a')), ackEach()));
      advanceTo(5_000);
      // Half of 100, 200 and 400.
      expect(source.eventsOf('retried').map(({ event }) => event.delayMs)).toEqual([50, 100, 200]);
      expect(source.settled('dead-lettered')).toEqual(['a']);
    }));

  it('waits as long as the nack asks', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(
        source.texts.pipe(retryToDlq({ deadLetters: fakePublisher(), backoff: constant(500) })),
        (delivery) => {
          if (delivery.attempt === 1) delivery.nack(NO, { delayMs: 7 });
          else if (delivery.attempt === 2) delivery.nack(NO, { delayMs: 0 });
          else delivery.ack();
        },
      );
      advanceTo(6);
      expect(out.values).toHaveLength(1);
      advanceTo(7);
      expect(out.values).toHaveLength(3);
      expect(source.settled('done')).toEqual(['a']);
    }));

  it('never runs a retry inside the nack, at whatever delay', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      let depth = 0;
      let deepest = 0;
      drive(
        source.texts.pipe(retryToDlq({ deadLetters: fakePublisher(), maxRetries: 50, backoff: constant(0) })),
        (delivery) => {
          deepest = Math.max(deepest, ++depth);
          delivery.nack(NO);
          depth--;
        },
      );
      advanceTo(1);
      expect(deepest).toBe(1);
      expect(source.settled('dead-lettered')).toEqual(['a']);
    }));

  it('goes on with a sane wait where the backoff throws or gives no number', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc');
      const backoff = (): number => {
        throw new Error('the backoff is broken');
      };
      const out = drive(
        source.texts.pipe(retryToDlq({ deadLetters: fakePublisher(), backoff }), handle(failing('a', 1)), ackEach()),
      );
      const other = log('a');
      const second = drive(
        other.texts.pipe(
          retryToDlq({ deadLetters: fakePublisher(), backoff: () => NaN }),
          handle(failing('a', 1)),
          ackEach(),
        ),
      );
      advanceTo(1_000);
      expect(out.values.sort()).toEqual(['a', 'b', 'c']);
      expect(second.values).toEqual(['a']);
    }));

  describe('by the class of the failure', () => {
    it('skips the retries of a permanent one', () =>
      marbles(({ log, expectObservable, flush }) => {
        const source = log('       abc|');
        const expected = '         a-c|';
        const deadLetters = fakePublisher();
        expectObservable(
          source.texts.pipe(retryToDlq({ deadLetters }), handle(failing('b', Infinity, INVALID)), ackEach()),
        ).toBe(expected);
        expectObservable(source.deadLettered).toBe('-b');
        flush();
        expect(deadLetters.published).toHaveLength(1);
        expect(source.eventsOf('retried')).toEqual([]);
      }));

    it('asks classify first, then the marks; a classify that throws leaves it transient', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abcd');
        const errors: Record<string, unknown> = {
          a: 'fatal',
          b: permanent(new Error('marked')),
          c: 'odd',
          d: 'broken',
        };
        const classify = (error: unknown): FailureClass | undefined => {
          if (error === 'broken') throw new Error('classify is broken');
          return error === 'fatal' ? 'permanent' : error === 'odd' ? 'transient' : undefined;
        };
        const tries: Record<string, number> = { a: 0, b: 0, c: 0, d: 0 };
        const work = (value: string): never => {
          tries[value] = (tries[value] ?? 0) + 1;
          throw errors[value];
        };
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters: fakePublisher(), maxRetries: 1, backoff: constant(1), classify }),
            handle(work),
            ackEach(),
          ),
        );
        advanceTo(20);
        expect(tries).toEqual({ a: 1, b: 1, c: 2, d: 2 });
        expect([...source.settled('dead-lettered')].sort()).toEqual(['a', 'b', 'c', 'd']);
      }));

    it('holds everything while something is out, sends one probe at a time and no dead letter, and counts no attempt', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log(undefined, { maxInFlight: 20 });
        source.fill(100);
        const deadLetters = fakePublisher();
        const runs: number[] = [];
        let running = 0;
        let most = 0;
        const work = (value: string): Observable<string> => {
          runs.push(now());
          most = Math.max(most, ++running);
          const isBack = now() >= 60_000;
          return timer(1).pipe(
            map(() => {
              running--;
              if (!isBack) throw OUT;
              return value;
            }),
          );
        };
        const attempts = new Set<number>();
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, maxRetries: 0 }),
            handle((value, delivery) => (attempts.add(delivery.attempt), work(value)), { concurrency: 5 }),
            ackEach(),
          ),
        );
        advanceTo(50);
        expect(most).toBe(5);
        most = 0;
        advanceTo(59_999);
        // At most 20 were in the handler's queue before the first failure; since then probes alone.
        expect(most).toBe(1);
        expect(runs.filter((at) => at > 50).length).toBeLessThan(20);
        expect(out.values).toEqual([]);
        expect(source.session.inFlight).toBe(20);
        expect(source.eventsOf('received')).toHaveLength(20);
        expect(source.eventsOf('unavailable')).toHaveLength(1);
        advanceTo(80_000);
        expect(out.values).toHaveLength(100);
        expect([...attempts]).toEqual([1]);
        expect(deadLetters.calls).toEqual([]);
        expect(source.eventsOf('recovered')).toHaveLength(1);
        expect(source.committed()).toBe(100);
      }));

    it('ends the outage also where the probe fails otherwise', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log('(ab)');
        const deadLetters = fakePublisher();
        const work = (value: string): string => {
          if (now() < 150) throw OUT;
          if (value === 'a') throw INVALID;
          return value;
        };
        const out = drive(source.texts.pipe(retryToDlq({ deadLetters }), handle(work), ackEach()));
        advanceTo(1_000);
        expect(out.values).toEqual(['b']);
        expect(source.settled('dead-lettered')).toEqual(['a']);
      }));

    it('waits for the probe where one that was started before succeeds', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log('(ba)--c');
        const started: string[] = [];
        const work = (value: string): Observable<string> => {
          started.push(`${value}${now()}`);
          if (value === 'a' && now() === 0) throw OUT;
          return timer(5).pipe(map(() => value));
        };
        const retry = retryToDlq({ deadLetters: fakePublisher() });
        const out = drive(source.texts.pipe(retry, handle(work, { concurrency: 4 }), ackEach()));
        advanceTo(99);
        expect(started).toEqual(['b0', 'a0']);
        expect(out.values).toEqual(['b']);
        expect(source.eventsOf('recovered')).toEqual([]);
        advanceTo(200);
        // The one that waited longest is the probe; the other follows once it is back.
        expect(started.slice(2).map((start) => start[0])).toEqual(expect.arrayContaining(['a', 'c']));
        expect(started[2]?.slice(1)).toBe('100');
        expect(started[3]?.slice(1)).toBe('105');
        expect([...out.values].sort()).toEqual(['a', 'b', 'c']);
      }));

    it('shuts again at the first of those it let go that finds it out still', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log(undefined, { maxInFlight: 20 });
        source.fill(20);
        const runs: number[] = [];
        let first = true;
        const work = (value: string): string => {
          runs.push(now());
          // One gets through at the first probe; then it is out again for a second.
          if (now() >= 100 && first) {
            first = false;
            return value;
          }
          if (now() < 1_000) throw OUT;
          return value;
        };
        const out = drive(source.texts.pipe(retryToDlq({ deadLetters: fakePublisher() }), handle(work), ackEach()));
        advanceTo(150);
        expect(out.values).toHaveLength(1);
        // The probe, and one of the nineteen that waited.
        expect(runs.filter((at) => at >= 100)).toHaveLength(2);
        advanceTo(20_000);
        expect(out.values).toHaveLength(20);
      }));

    it('sends another probe where the one that is out is abandoned below', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log('(ab)');
        let abandoned = 0;
        const retry = retryToDlq({ deadLetters: fakePublisher() });
        drive(source.texts.pipe(retry), (delivery) => {
          if (now() < 50) delivery.nack(OUT);
          else if (abandoned++ === 0) (delivery as unknown as DeliveryNode).abandon();
          else delivery.ack();
        });
        advanceTo(5_000);
        expect(abandoned).toBe(3);
        expect([...source.settled('done')].sort()).toEqual(['a', 'b']);
      }));

    it('sends another probe where the one that is out is let go', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log('(ab)', { partitions: 2, messages: { a: { partition: 0 }, b: { partition: 1 } } });
        const started: string[] = [];
        const work = (value: string): Observable<string> | string => {
          started.push(value);
          if (now() < 50) throw OUT;
          return value === 'a' ? NEVER : value;
        };
        const out = drive(
          source.texts.pipe(retryToDlq({ deadLetters: fakePublisher() }), handle(work, { concurrency: 4 }), ackEach()),
        );
        advanceTo(150);
        expect(started).toEqual(['a', 'a']);
        source.lose(0);
        advanceTo(2_000);
        expect(out.values).toEqual(['b']);
      }));
  });

  describe('where the dead letters cannot be published', () => {
    const setUp = (options: { onUndeliverable?: OnUndeliverable } = {}) => ({
      ...options,
      maxRetries: 0,
      backoff: constant(1),
    });

    it.each([
      ['is out', isOut],
      ['throws', throwsAtOnce],
    ])('holds within credit while the publisher %s, loses none and publishes each once', (_, answer) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 6 });
        source.fill(30);
        const deadLetters = fakePublisher(until(20_000, answer));
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, ...setUp() }),
            handle(() => {
              throw NO;
            }),
            ackEach(),
          ),
        );
        advanceTo(19_999);
        expect(source.session.inFlight).toBe(6);
        expect(source.settled()).toEqual([]);
        expect(deadLetters.published).toEqual([]);
        expect(deadLetters.calls.length).toBeLessThan(20);
        expect(source.eventsOf('unavailable').map(({ event }) => [event.what, event.error])).toEqual([
          ['the dead-letter publisher', OUTAGE],
        ]);
        advanceTo(60_000);
        expect(deadLetters.published).toHaveLength(30);
        expect(source.settled('dead-lettered')).toHaveLength(30);
        expect(source.committed()).toBe(30);
        expect(out.error).toBeUndefined();
      }),
    );

    it('lets what succeeds go on while the publisher is out', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abcd', { maxInFlight: 3 });
        const deadLetters = fakePublisher(until(5_000, isOut));
        const out = drive(source.texts.pipe(retryToDlq({ deadLetters, ...setUp() }), handle(failing('a')), ackEach()));
        advanceTo(1_000);
        expect(out.values).toEqual(['b', 'c', 'd']);
        expect(source.committed()).toBe(0);
      }));

    it('tries again where no connection can be had, or where it breaks', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const deadLetters = fakePublisher(confirms, (attempt) =>
          attempt < 3 ? throwError(() => OUTAGE) : of(undefined),
        );
        drive(source.texts.pipe(retryToDlq({ deadLetters, ...setUp() }), handle(failing('a')), ackEach()));
        advanceTo(10);
        expect(deadLetters.published).toEqual([]);
        expect(source.settled()).toEqual([]);
        advanceTo(2_000);
        expect(deadLetters.connects).toBe(4);
        expect(deadLetters.open).toBe(1);
        expect(source.settled('dead-lettered')).toEqual(['a']);
      }));

    it('tries one again, by itself, that failed for the moment', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const deadLetters = fakePublisher((messages, call) =>
          of(
            messages.map(() =>
              call === 0 ? { status: 'transient' as const, error: OUTAGE } : { status: 'ok' as const },
            ),
          ),
        );
        drive(source.texts.pipe(retryToDlq({ deadLetters, ...setUp() }), handle(failing('ab')), ackEach()));
        advanceTo(20);
        expect(source.settled('dead-lettered')).toEqual(['b']);
        advanceTo(1_000);
        expect(source.settled('dead-lettered')).toEqual(['b', 'a']);
        expect(deadLetters.published).toHaveLength(2);
        expect(source.eventsOf('undeliverable')).toEqual([]);
      }));

    it('takes an answer with too few outcomes as not published', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const deadLetters = fakePublisher(inTurn(answersTooFew, answersTooFew, confirms));
        drive(source.texts.pipe(retryToDlq({ deadLetters, ...setUp() }), handle(failing('a')), ackEach()));
        advanceTo(10);
        expect(source.settled()).toEqual([]);
        advanceTo(2_000);
        expect(source.settled('dead-lettered')).toEqual(['a']);
      }));

    it('settles nothing where the publisher never answers', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc', { maxInFlight: 2, unsettledWarnMs: 100, drainTimeoutMs: 50 });
        const deadLetters = fakePublisher(neverAnswers);
        const out = drive(
          source.texts.pipe(retryToDlq({ deadLetters, ...setUp() }), handle(failing('abc')), ackEach()),
        );
        advanceTo(500);
        expect(source.settled()).toEqual([]);
        expect(source.eventsOf('received')).toHaveLength(2);
        expect(source.eventsOf('unsettled-too-long')).toHaveLength(1);
        out.unsubscribe();
        advanceTo(700);
        expect(source.isOpen).toBe(false);
        expect(deadLetters.pending).toBe(0);
        expect(deadLetters.open).toBe(0);
      }));

    it.each(['digest', 'hold'] as const)(
      "holds one that is refused in every form with '%s', reports it, tries again with backoff, and others go on",
      (onUndeliverable) =>
        marbles(({ log, drive, advanceTo }) => {
          const source = log('ab');
          const deadLetters = fakePublisher(until(3_000, refuses));
          const out = drive(
            source.texts.pipe(
              retryToDlq({ deadLetters, ...setUp({ onUndeliverable }) }),
              handle(failing('a')),
              ackEach(),
            ),
          );
          advanceTo(2_999);
          expect(out.values).toEqual(['b']);
          expect(source.settled('dead-lettered')).toEqual([]);
          expect(source.committed()).toBe(0);
          const reports = source.eventsOf('undeliverable');
          expect(reports.length).toBeGreaterThan(1);
          expect(reports.length).toBeLessThan(8);
          expect(reports[0]?.event.error).toBe(REFUSAL);
          advanceTo(20_000);
          expect(source.settled('dead-lettered')).toEqual(['a']);
          expect(source.committed()).toBe(2);
          expect(out.error).toBeUndefined();
        }),
    );

    it("ends the pipeline with a typed error with 'stop', and the message comes again", () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 50 });
        const deadLetters = fakePublisher(refuses);
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, ...setUp({ onUndeliverable: 'stop' }) }),
            handle(failing('a')),
            ackEach(),
          ),
        );
        advanceTo(5);
        expect(out.error).toMatchObject({ code: 'undeliverable', details: { id: 'orders/0/0' }, cause: REFUSAL });
        // At once: nothing is out that a drain would wait for.
        advanceTo(6);
        expect(source.isOpen).toBe(false);
        expect(source.settled()).toEqual([]);
        expect(source.committed()).toBe(0);
        expect(deadLetters.open).toBe(0);
      }));

    it("gives it up with 'ack', and says that it was not published", () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const deadLetters = fakePublisher(refuses);
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, ...setUp({ onUndeliverable: 'ack' }) }),
            handle(failing('a')),
            ackEach(),
          ),
        );
        advanceTo(10);
        expect(out.values).toEqual(['b']);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(source.eventsOf('dead-lettered').map(({ event }) => event.published)).toEqual([false]);
        expect(source.committed()).toBe(2);
      }));

    it('does not give up, by any choice, one that only failed for the moment', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const deadLetters = fakePublisher(until(10_000, mishaps));
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, ...setUp({ onUndeliverable: 'ack' }) }),
            handle(failing('a')),
            ackEach(),
          ),
        );
        advanceTo(9_999);
        expect(source.settled()).toEqual([]);
        advanceTo(60_000);
        expect(source.eventsOf('dead-lettered').map(({ event }) => event.published)).toEqual([true]);
      }));
  });

  describe('within its bounds', () => {
    it('keeps what is parked in credit', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 4 });
        source.fill(50);
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(10_000) }),
            handle(() => {
              throw NO;
            }),
          ),
        );
        advanceTo(9_000);
        expect(source.eventsOf('received')).toHaveLength(4);
        expect(source.session.inFlight).toBe(4);
      }));

    it('is quiet for a gathering operator below while the rest is parked', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 4 });
        source.fill(4);
        const sizes: number[] = [];
        const nacked = new Set<string>();
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(100) }),
            gather(100, 60_000, sizes),
          ),
          (delivery) => {
            if (nacked.size < 2 && !nacked.has(delivery.value)) {
              nacked.add(delivery.value);
              delivery.nack(NO);
            } else delivery.ack();
          },
        );
        advanceTo(50);
        expect(sizes).toEqual([4]);
        advanceTo(100);
        // Both are back, nothing more can come to a source with room: they wait for the source.
        expect(source.settled('done')).toHaveLength(2);
      }));

    it('publishes dead letters together that gather while one call is under way', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a(bcd)');
        const deadLetters = fakePublisher(after(10));
        drive(source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 }), handle(failing('abcd')), ackEach()));
        advanceTo(30);
        expect(deadLetters.calls.map(({ at, messages }) => [at, messages.length])).toEqual([
          [0, 1],
          [10, 3],
        ]);
        expect(source.settled('dead-lettered')).toEqual(['a', 'b', 'c', 'd']);
      }));
  });

  describe('when the delivery stops being ours', () => {
    it('lets what is parked go on a revoke, and publishes no dead letter that was not begun', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a(bc)');
        const deadLetters = fakePublisher(after(10));
        const work = failing('abc', Infinity, INVALID);
        drive(source.texts.pipe(retryToDlq({ deadLetters }), handle(work), ackEach()));
        advanceTo(5);
        source.revoke();
        advanceTo(30);
        // The one that is under way may settle within the drain.
        expect(deadLetters.published.map(({ value }) => value)).toEqual([bytesOf('a')]);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(source.committed()).toBe(1);
        expect(source.eventsOf('revoked').map(({ at, event }) => [at, event.drained])).toEqual([[10, true]]);
      }));

    it('starts no retry of a revoked partition', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const attempts: number[] = [];
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(10) }),
            handle((_, { attempt }) => {
              attempts.push(attempt);
              throw NO;
            }),
          ),
        );
        advanceTo(5);
        source.revoke();
        advanceTo(100);
        expect(attempts).toEqual([1]);
        expect(source.eventsOf('revoked').map(({ at, event }) => [at, event.drained])).toEqual([[5, true]]);
        source.assign();
        advanceTo(101);
        expect(attempts).toEqual([1, 1]);
      }));

    it('publishes again after a crash between the publish and the commit: the dead letter comes twice, never not at all', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 3, commit: () => NEVER });
        const deadLetters = fakePublisher();
        const pipeline = source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 }), handle(failing('a')), ackEach());
        const first = drive(pipeline);
        advanceTo(1);
        expect(deadLetters.published).toHaveLength(1);
        first.unsubscribe();
        advanceTo(20);
        expect(source.committed()).toBe(0);
        drive(pipeline);
        advanceTo(21);
        expect(deadLetters.published).toHaveLength(2);
      }));

    it('does not settle where the drop comes before the publish is confirmed', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 3 });
        const deadLetters = fakePublisher(after(10));
        const pipeline = source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 }), handle(failing('a')), ackEach());
        const first = drive(pipeline);
        advanceTo(1);
        first.unsubscribe();
        advanceTo(20);
        expect(source.settled()).toEqual([]);
        expect(source.committed()).toBe(0);
        expect(source.isOpen).toBe(false);
        drive(pipeline);
        advanceTo(40);
        expect(source.settled('dead-lettered')).toEqual(['a']);
      }));

    it('settles what is confirmed within the close of an unsubscribe', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 50 });
        const deadLetters = fakePublisher(after(10));
        const out = drive(
          source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 }), handle(failing('a')), ackEach()),
        );
        advanceTo(1);
        out.unsubscribe();
        advanceTo(20);
        expect(deadLetters.published).toHaveLength(1);
        expect(source.committed()).toBe(1);
        expect(source.eventsOf('closed').map(({ at }) => at)).toEqual([10]);
      }));

    it('runs retries to their end on stop', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc');
        const deadLetters = fakePublisher();
        const out = drive(
          source.texts.pipe(retryToDlq({ deadLetters, backoff: constant(5) }), handle(failing('ac', 2)), ackEach()),
        );
        advanceTo(3);
        source.stop();
        advanceTo(30);
        expect(out.values.sort()).toEqual(['a', 'b', 'c']);
        expect(out.completed).toBe(true);
        expect(source.committed()).toBe(3);
      }));
  });

  it('connects while it is subscribed, whether or not something fails, and closes after it', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('-a-|');
      const deadLetters = fakePublisher();
      const pipeline = source.texts.pipe(retryToDlq({ deadLetters }), ackEach());
      expect(deadLetters.connects).toBe(0);
      drive(pipeline);
      expect(deadLetters.open).toBe(1);
      advanceTo(5);
      expect(deadLetters.open).toBe(0);
      expect(deadLetters.connects).toBe(1);
    }));

  it('settles nothing twice where an attempt is settled twice: the retry is another delivery', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(source.texts.pipe(retryToDlq({ deadLetters: fakePublisher(), backoff: constant(5) })));
      advanceTo(1);
      const [first] = out.values;
      first?.nack(NO);
      first?.ack();
      first?.nack(NO);
      advanceTo(6);
      expect(out.values.map(({ attempt }) => attempt)).toEqual([1, 2]);
      first?.ack();
      expect(source.settled()).toEqual([]);
      expect(source.eventsOf('stale-settlement')).toHaveLength(3);
      out.values[1]?.ack();
      advanceTo(7);
      expect(source.settled('done')).toEqual(['a']);
    }));

  it('keeps the outcome of what is settled below', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      drive(source.texts.pipe(retryToDlq({ deadLetters: fakePublisher() })), (delivery) =>
        delivery.settle(delivery.value === 'a' ? 'skipped' : 'dead-lettered'),
      );
      advanceTo(3);
      expect(source.settled('skipped')).toEqual(['a']);
      expect(source.settled('dead-lettered')).toEqual(['b']);
    }));

  it('refuses options that are not allowed, and says which, what was given and what is allowed', () => {
    const deadLetters = fakePublisher();
    expect(refusal(() => retryToDlq(untyped({})))).toBe(
      'retryToDlq: deadLetters must be a publisher, with connect(), not undefined.',
    );
    expect(refusal(() => retryToDlq({ deadLetters, maxRetries: -1 }))).toBe(
      'retryToDlq: maxRetries must be a whole number, at least 0, not -1.',
    );
    expect(refusal(() => retryToDlq({ deadLetters, onUndeliverable: untyped('drop') }))).toBe(
      "retryToDlq: onUndeliverable must be 'digest' or 'hold' or 'stop' or 'ack', not 'drop'.",
    );
    expect(refusal(() => retryToDlq({ deadLetters, format: untyped('xml') }))).toContain(
      "'headers' or 'json', not 'xml'",
    );
    expect(refusal(() => retryToDlq({ deadLetters, backoff: untyped(5) }))).toBe(
      'retryToDlq: backoff must be a function, not 5.',
    );
    expect(refusal(() => retryToDlq(untyped({ deadLetters, retries: 3 })))).toContain('there is no option retries');
    expect(refusal(() => exponential({ initialMs: 0 }))).toBe(
      'exponential: initialMs must be a number, above 0 and at most 2147483647, not 0.',
    );
    expect(refusal(() => exponential({ initialMs: 10, maxMs: 5 }))).toContain(
      'maxMs must be a number, at least initialMs (10) and at most 2147483647, not 5',
    );
    expect(refusal(() => constant(-1))).toBe(
      'constant: ms must be a number, at least 0 and at most 2147483647, not -1.',
    );
  });
});
