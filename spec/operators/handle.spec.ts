import { describe, expect, it } from '@jest/globals';
import {
  concat,
  EMPTY,
  lastValueFrom,
  map,
  NEVER,
  Observable,
  of,
  Subject,
  take,
  tap,
  throwError,
  timer,
  toArray,
} from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { constant } from '../../lib/core/backoff.js';
import { publish } from '../../lib/core/publish.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { handle } from '../../lib/operators/handle.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { gather } from '../support/gather.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import { fakePublisher } from '../support/publishers.js';
import { thenable, throwingThenable } from '../support/thenable.js';

keepsTheContract('handle, synchronous', { make: () => handle((value) => value), nackGoesUp: true });
keepsTheContract('handle, by an Observable', {
  make: () => handle((value) => of(value), { concurrency: 3 }),
  nackGoesUp: true,
});

const upper = (value: string): string => value.toUpperCase();

/** The result after `ms`. */
const takes =
  (ms: number) =>
  (value: string): Observable<string> =>
    timer(ms).pipe(map(() => upper(value)));

describe('handle', () => {
  it('emits the result of a synchronous function at once', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a-b-|');
      const expected = '         -A-B-|';
      expectObservable(source.texts.pipe(handle(upper), ackEach())).toBe(expected);
    }));

  it('starts a delivery only when a slot is free, the first that came first', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -(abc)--|    ');
      const started = '          -a---b---c---';
      const expected = '         -----A---B---(C|)';
      const starts = new Subject<string>();
      const work = (value: string) => (starts.next(value), takes(4)(value));
      expectObservable(starts).toBe(started);
      expectObservable(source.texts.pipe(handle(work), ackEach())).toBe(expected);
    }));

  it('runs as many as concurrency says, and no more', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -(abcde)------|');
      const expected = '         -----(AB)(CD)E|';
      const running = { now: 0, most: 0 };
      const work = (value: string) => {
        running.most = Math.max(running.most, ++running.now);
        return takes(4)(value).pipe(tap(() => running.now--));
      };
      expectObservable(source.texts.pipe(handle(work, { concurrency: 2 }), ackEach())).toBe(expected);
      expectObservable(timer(20).pipe(map(() => running.most))).toBe('20ms (m|)', { m: 2 });
    }));

  it('gives a freed slot to what waits, not to what its own result brings in', () =>
    marbles(({ log, drive, advanceTo }) => {
      // One credit: c can come only when a is acked, while b waits already.
      const source = log('(abcd)', { maxInFlight: 3 });
      const started: string[] = [];
      const out = drive(
        source.texts.pipe(
          handle((value) => (started.push(value), takes(2)(value))),
          ackEach(),
        ),
      );
      advanceTo(20);
      expect(started.join('')).toBe('abcd');
      expect(out.values.join('')).toBe('ABCD');
    }));

  it('starts strictly in order of arrival while synchronous and asynchronous results mix', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 16 });
      source.fill(300);
      source.end();
      const started: number[] = [];
      const work = (value: string): string | Observable<string> => {
        started.push(Number(value));
        return Number(value) % 3 === 0 ? value : takes(Number(value) % 7)(value);
      };
      const out = drive(source.texts.pipe(handle(work, { concurrency: 5 }), ackEach()));
      advanceTo(2_000);
      expect(started).toEqual(Array.from({ length: 300 }, (_, index) => index));
      expect(out.completed).toBe(true);
    }));

  it('keeps the watermark moving under load: no start waits behind more than maxInFlight', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 20 });
      source.fill(1_000);
      const out = drive(source.texts.pipe(handle(takes(10), { concurrency: 10 }), ackEach()));
      const marks: number[] = [];
      for (let ms = 100; ms <= 900; ms += 100) {
        advanceTo(ms + 5);
        marks.push(source.committed());
      }
      // Ten every ten milliseconds.
      expect(marks).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900]);
      out.unsubscribe();
    }));

  it('takes the last value, and undefined where there is none', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const work = (value: string) => (value === 'a' ? of(1, 2, 3) : EMPTY);
      const out = drive(source.texts.pipe(handle(work), ackEach()));
      advanceTo(5);
      expect(out.values).toEqual([3, undefined]);
    }));

  it.each([
    ['text', 'abc'],
    ['an array', [1, 2, 3]],
    ['bytes', Uint8Array.of(1, 2)],
    ['a Map', new Map([[1, 2]])],
    ['a Set', new Set([1])],
    ['null', null],
    ['undefined', undefined],
    ['an object', { a: 1 }],
  ])('takes %s as the value itself', (_, result) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(
        source.texts.pipe(
          handle(() => result),
          ackEach(),
        ),
      );
      advanceTo(1);
      expect(out.values).toEqual([result]);
      expect(source.settled('done')).toEqual(['a']);
    }),
  );

  it('nacks with the error where the function throws, and goes on', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc');
      const failure = new Error('no');
      const work = (value: string, { attempt }: Delivery<string>): string => {
        if (value === 'b' && attempt === 1) throw failure;
        return value;
      };
      const out = drive(source.texts.pipe(handle(work), ackEach()));
      advanceTo(8);
      expect(out.values.join('')).toBe('ac');
      expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([failure]);
      advanceTo(20);
      expect(out.values.join('')).toBe('acb');
      expect(out.error).toBeUndefined();
    }));

  it('nacks with the error where its Observable fails or its promise rejects, and frees the slot', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { redelivery: constant(1_000) });
      const work = (value: string): Observable<string> | PromiseLike<unknown> => {
        if (value === 'a')
          return concat(
            timer(2),
            throwError(() => 'failed'),
          ) as Observable<never>;
        if (value === 'b') return thenable({ atMs: 2, error: 'rejected' });
        return of(value);
      };
      const out = drive(source.texts.pipe(handle(work), ackEach()));
      advanceTo(10);
      expect(source.eventsOf('retried').map(({ at, event }) => [at, event.reason])).toEqual([
        [2, 'failed'],
        [4, 'rejected'],
      ]);
      expect(out.values).toEqual(['c']);
    }));

  it('nacks where `then` itself throws, as that of a query builder which must not be awaited, and goes on', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const builder = throwingThenable(new Error('execute it'));
      const fn = (value: string, { attempt }: { readonly attempt: number }): PromiseLike<string> | string =>
        value === 'a' && attempt === 1 ? builder : upper(value);
      const out = drive(source.texts.pipe(handle(fn), ackEach()));
      advanceTo(20);
      expect(out.values).toEqual(['B', 'A']);
      expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([new Error('execute it')]);
    }));

  it('takes real promises: what resolves is emitted, what rejects is nacked, nothing is unhandled', async () => {
    const broker = memoryBroker({ topics: { orders: {} } });
    await lastValueFrom(publish(memoryPublisher(broker, { topic: 'orders' }), [{ value: 'a' }, { value: 'b' }]));
    const tries = new Map<string, number>();
    const work = async (value: Uint8Array | null): Promise<string> => {
      const name = new TextDecoder().decode(value ?? undefined);
      tries.set(name, (tries.get(name) ?? 0) + 1);
      await Promise.resolve();
      if (name === 'a' && tries.get(name) === 1) throw new Error('not yet');
      return name;
    };
    const deadLetters = fakePublisher();
    const values = await lastValueFrom(
      fromMemory(broker, { groupId: 'g', topics: ['orders'], until: 'end' }).pipe(
        retryToDlq({ deadLetters, backoff: constant(1) }),
        handle(work, { concurrency: 2 }),
        ackEach(),
        toArray(),
      ),
    );
    expect(values.sort()).toEqual(['a', 'b']);
    expect(tries.get('a')).toBe(2);
    expect(deadLetters.published).toEqual([]);
    expect(broker.committed('g', 'orders')).toEqual([2]);
  });

  it('takes the values of an AsyncIterable', async () => {
    const broker = memoryBroker({ topics: { orders: {} } });
    await lastValueFrom(publish(memoryPublisher(broker, { topic: 'orders' }), [{ value: 'a' }]));
    async function* work(): AsyncGenerator<number> {
      yield 1;
      await Promise.resolve();
      yield 2;
    }
    const source = fromMemory(broker, { groupId: 'g', topics: ['orders'], until: 'end' });
    expect(await lastValueFrom(source.pipe(handle(work), ackEach()))).toBe(2);
  });

  it('counts the first settlement of a promise that settles twice', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       a---------');
      const expected = '         --x-------';
      const twice = () => thenable({ atMs: 2, value: 'x' }, { atMs: 3, error: 'y' }, { atMs: 4, value: 'z' });
      expectObservable(source.texts.pipe(handle(twice), ackEach())).toBe(expected);
      expectObservable(source.done).toBe('--a-------');
      flush();
      expect(source.eventsOf('retried')).toEqual([]);
      expect(source.settled()).toEqual(['a']);
    }));

  it('starts no second one in the slot that a promise frees twice', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)');
      const started: string[] = [];
      const work = (value: string) => {
        started.push(value);
        return value === 'a' ? thenable({ atMs: 2, value }, { atMs: 3, value }) : NEVER;
      };
      drive(source.texts.pipe(handle(work), ackEach()));
      advanceTo(10);
      expect(started).toEqual(['a', 'b']);
    }));

  it('emits nothing where the function settled the delivery itself, and takes the next', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)', { redelivery: constant(1_000) });
      const work = (value: string, delivery: Delivery<string>): string | Observable<string> => {
        if (value === 'a') delivery.ack();
        if (value === 'b') delivery.nack('mine');
        if (value === 'c') return timer(2).pipe(map(() => (delivery.settle('skipped'), 'ignored')));
        return value;
      };
      const out = drive(source.texts.pipe(handle(work), ackEach()));
      advanceTo(10);
      expect(out.values).toEqual(['d']);
      expect(source.settled('done')).toEqual(['a', 'd']);
      expect(source.settled('skipped')).toEqual(['c']);
      expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual(['mine']);
      expect(source.eventsOf('stale-settlement')).toEqual([]);
    }));

  it('does not nack where the function settled the delivery and then threw', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const out = drive(
        source.texts.pipe(
          handle((_, delivery) => {
            delivery.ack();
            throw new Error('after the ack');
          }),
          ackEach(),
        ),
      );
      advanceTo(50);
      expect(source.settled('done')).toEqual(['a']);
      expect(source.eventsOf('retried')).toEqual([]);
      expect(source.eventsOf('received')).toHaveLength(1);
      expect(out.values).toEqual([]);
    }));

  it('holds the slot of one that never settles, and the source gives no more than maxInFlight', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcdef)', { maxInFlight: 4, unsettledWarnMs: 100 });
      const started: string[] = [];
      drive(
        source.texts.pipe(
          handle((value) => (started.push(value), NEVER)),
          ackEach(),
        ),
      );
      advanceTo(500);
      expect(started).toEqual(['a']);
      expect(source.eventsOf('received')).toHaveLength(4);
      expect(source.eventsOf('unsettled-too-long').map(({ event }) => event.message.id)).toEqual(['orders/0/0']);
    }));

  describe('with a time-out', () => {
    it('aborts the signal, frees the slot and nacks; the next one starts in that slot', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { redelivery: constant(1_000) });
        const signals: AbortSignal[] = [];
        const work = (value: string, { signal }: Delivery<string>) => {
          signals.push(signal);
          return value === 'a' ? NEVER : of(value);
        };
        const out = drive(source.texts.pipe(handle(work, { timeoutMs: 5 }), ackEach()));
        advanceTo(4);
        expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
        advanceTo(5);
        expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
        expect(signals[0]?.reason).toMatchObject({ code: 'handler-timeout' });
        expect(out.values).toEqual(['b']);
        expect(source.eventsOf('timed-out').map(({ at, event }) => [at, event.message.id])).toEqual([
          [5, 'orders/0/0'],
        ]);
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([
          expect.objectContaining({ code: 'handler-timeout' }),
        ]);
      }));

    it('times each attempt from its own start', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { redelivery: constant(1_000) });
        const work = (value: string) => (value === 'b' ? NEVER : takes(4)(value));
        const out = drive(source.texts.pipe(handle(work, { timeoutMs: 5 }), ackEach()));
        advanceTo(50);
        expect(out.values).toEqual(['A', 'C']);
        expect(source.eventsOf('timed-out').map(({ at }) => at)).toEqual([9]);
      }));

    it('changes nothing by a late settlement of the attempt that timed out', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { redelivery: constant(10) });
        const attempts: Delivery<string>[] = [];
        const work = (_: string, delivery: Delivery<string>) => {
          attempts.push(delivery);
          return thenable({ atMs: 12, value: `late ${delivery.attempt}` });
        };
        const out = drive(source.texts.pipe(handle(work, { timeoutMs: 5, concurrency: 2 }), ackEach()));
        advanceTo(16);
        expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2]);
        attempts[0]?.ack();
        attempts[0]?.nack('late');
        advanceTo(19);
        expect(out.values).toEqual([]);
        expect(source.settled()).toEqual([]);
        expect(source.committed()).toBe(0);
        expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['repeat', 'repeat']);
        // The attempt that runs may still settle, by its own hand.
        attempts[1]?.ack();
        advanceTo(20);
        expect(source.settled('done')).toEqual(['a']);
      }));

    it('counts the handlers that run on without a slot', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { redelivery: constant(10_000) });
        const work = () => thenable({ atMs: 12, value: 'late' });
        drive(source.texts.pipe(handle(work, { timeoutMs: 5 }), ackEach()));
        advanceTo(100);
        // The first is over at 12, before the third times out at 15.
        expect(source.eventsOf('timed-out').map(({ at, event }) => [at, event.zombies])).toEqual([
          [5, 1],
          [10, 2],
          [15, 2],
        ]);
      }));

    it('counts none that settled twice', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { redelivery: constant(100_000) });
        const twice = thenable({ atMs: 1, value: 'A' }, { atMs: 2, value: 'A' });
        const fn = (value: string): PromiseLike<string> => (value === 'a' ? twice : thenable());
        drive(source.texts.pipe(handle(fn, { timeoutMs: 5 }), ackEach()));
        advanceTo(10);
        expect(source.eventsOf('timed-out').map(({ event }) => event.zombies)).toEqual([1]);
      }));

    it('unsubscribes an Observable that timed out', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { redelivery: constant(1_000) });
        let ended = 0;
        const work = () => new Observable<never>(() => () => void ended++);
        drive(source.texts.pipe(handle(work, { timeoutMs: 5 }), ackEach()));
        advanceTo(5);
        expect(ended).toBe(1);
        expect(source.eventsOf('timed-out').map(({ event }) => event.zombies)).toEqual([0]);
      }));
  });

  it('lets queued ones go on a revoke and started ones finish', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)');
      const started: string[] = [];
      const out = drive(
        source.texts.pipe(
          handle((value) => (started.push(value), takes(8)(value))),
          ackEach(),
        ),
      );
      advanceTo(3);
      source.revoke();
      advanceTo(30);
      expect(started).toEqual(['a']);
      expect(out.values).toEqual(['A']);
      expect(source.committed()).toBe(1);
      source.assign();
      advanceTo(60);
      expect(started).toEqual(['a', 'b', 'c']);
    }));

  it('aborts what runs when its epoch is closed, and goes on with the others', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)', {
        partitions: 2,
        messages: { a: { partition: 0 }, b: { partition: 1 } },
      });
      const signals: AbortSignal[] = [];
      const work = (value: string, { signal }: Delivery<string>) => (signals.push(signal), takes(5)(value));
      const out = drive(source.texts.pipe(handle(work), ackEach()));
      advanceTo(2);
      source.lose(0);
      expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
      advanceTo(20);
      expect(out.values).toEqual(['B']);
    }));

  it('unsubscribes what runs and aborts its signal on unsubscribe: up to concurrency come again', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      const running = new Set<string>();
      const signals: AbortSignal[] = [];
      const work = (value: string, { signal }: Delivery<string>) => {
        signals.push(signal);
        return new Observable<string>((subscriber) => {
          running.add(value);
          const inner = takes(5)(value).subscribe(subscriber);
          return () => (inner.unsubscribe(), running.delete(value));
        });
      };
      const first = drive(source.texts.pipe(handle(work, { concurrency: 2 }), ackEach()));
      advanceTo(7);
      expect(first.values).toEqual(['A', 'B']);
      expect([...running]).toEqual(['c', 'd']);
      first.unsubscribe();
      expect([...running]).toEqual([]);
      expect(signals.map(({ aborted }) => aborted)).toEqual([false, false, true, true]);
      advanceTo(9);
      expect(source.isOpen).toBe(false);
      const second = drive(source.texts.pipe(handle(work, { concurrency: 2 }), ackEach()));
      advanceTo(20);
      expect(second.values).toEqual(['C', 'D']);
    }));

  it('finishes what is out when it is stopped, repeats nothing and completes', () =>
    marbles(({ log, at, expectObservable, flush }) => {
      const source = log('       (abc)---d--');
      const expected = '         ----A---B---(C|)';
      expectObservable(source.texts.pipe(handle(takes(4)), ackEach())).toBe(expected);
      at(6, () => source.stop());
      flush();
      expect(source.committed()).toBe(3);
    }));

  it('finishes what it has where what stands above completes before it', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)');
      const out = drive(source.texts.pipe(take(2), handle(takes(5), { concurrency: 2 }), ackEach()));
      advanceTo(4);
      expect(out.completed).toBe(false);
      advanceTo(5);
      expect(out.values).toEqual(['A', 'B']);
      expect(out.completed).toBe(true);
      advanceTo(6);
      expect(source.committed()).toBe(2);
      expect(source.isOpen).toBe(false);
    }));

  it('never nests: a function that makes the source speak does not start the next inside itself', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      let depth = 0;
      let deepest = 0;
      const work = (value: string): string => {
        deepest = Math.max(deepest, ++depth);
        if (value.length < 5) source.publish(`${value}a`);
        depth--;
        return value;
      };
      const out = drive(source.texts.pipe(handle(work, { concurrency: 8 }), ackEach()));
      advanceTo(5);
      expect(out.values).toEqual(['a', 'aa', 'aaa', 'aaaa', 'aaaaa']);
      expect(deepest).toBe(1);
    }));

  it('does not let a gathering operator above flush while something still runs', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)c', { maxInFlight: 3 });
      const sizes: number[] = [];
      drive(source.texts.pipe(gather(2, 60_000, sizes), handle(takes(10)), ackEach()));
      advanceTo(15);
      expect(sizes).toEqual([2]);
      advanceTo(20);
      expect(source.eventsOf('received')).toHaveLength(3);
    }));

  it('makes progress under take(10) over repeated subscriptions of one group', () =>
    marbles(({ advanceTo, drive, now }) => {
      const broker = memoryBroker({ topics: { orders: { partitions: 2 } } });
      const messages = Array.from({ length: 45 }, (_, index) => ({ value: String(index) }));
      publish(memoryPublisher(broker, { topic: 'orders' }), messages).subscribe();
      const seen = new Set<string>();
      let rounds = 0;
      while (seen.size < 45 && rounds < 12) {
        rounds++;
        let left = 10;
        const out = drive(
          fromMemory(broker, { groupId: 'g', topics: ['orders'] }).pipe(
            handle((value) => timer(3).pipe(map(() => new TextDecoder().decode(value ?? undefined))), {
              concurrency: 4,
            }),
            ackEach(),
          ),
          (value) => {
            seen.add(value);
            if (--left === 0) out.unsubscribe();
          },
        );
        advanceTo(now() + 100);
        out.unsubscribe();
        advanceTo(now() + 1);
      }
      expect(seen.size).toBe(45);
      // Each round does 10; up to concurrency of them may be repeats.
      expect(rounds).toBeLessThanOrEqual(8);
      const [first, second] = broker.committed('g', 'orders');
      expect((first ?? 0) + (second ?? 0)).toBe(45);
    }));

  it('refuses options that are not allowed, and says which, what was given and what is allowed', () => {
    const fn = (value: string): string => value;
    expect(refusal(() => handle(untyped('fn')))).toBe('handle: fn must be a function, not a string.');
    expect(refusal(() => handle(fn, { concurrency: 0 }))).toBe(
      'handle: concurrency must be a whole number, at least 1, not 0.',
    );
    expect(refusal(() => handle(fn, { concurrency: 1.5 }))).toContain(
      'concurrency must be a whole number, at least 1, not 1.5',
    );
    expect(refusal(() => handle(fn, { timeoutMs: 0 }))).toBe(
      `handle: timeoutMs must be a number, above 0 and at most ${2 ** 31 - 1}, not 0.`,
    );
    expect(refusal(() => handle(fn, untyped({ timeout: 5 })))).toBe(
      'handle: there is no option timeout; there are concurrency, timeoutMs.',
    );
  });
});
