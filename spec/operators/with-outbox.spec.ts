import { describe, expect, it } from '@jest/globals';
import { delay, map, NEVER, of, take, timer, type Observable } from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import { permanent, unavailable } from '../../lib/core/failures.js';
import { batch } from '../../lib/operators/batch.js';
import { fanOut } from '../../lib/operators/fan-out.js';
import type { OutboxContext } from '../../lib/operators/outbox-handler.js';
import { ordered } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { split } from '../../lib/operators/split.js';
import { withOutbox } from '../../lib/operators/with-outbox.js';
import { marbles } from '../support/marbles.js';
import { refusal, untyped } from '../support/options.js';
import { CONFLICT, fakeOutbox, LOST, OUTBOX_OUTAGE, type FakeOutbox, type FakeTx } from '../support/outbox-store.js';
import { fakePublisher } from '../support/publishers.js';

type Context = OutboxContext<FakeTx>;

const NO = new Error('no');
const byValue = { consumer: 'billing', key: (value: string) => value };

/** Writes the message's text, emits it, and answers it in upper case after some time. */
const writes =
  (ms = 0) =>
  (value: string, { tx, emit }: Context): Observable<string> => {
    tx.write(value);
    emit({ topic: 'out', key: value, value: value.toUpperCase() });
    const done = of(value.toUpperCase());
    return ms === 0 ? done : done.pipe(delay(ms));
  };

const failsFor =
  (bad: string, error: unknown, times = Infinity) =>
  (value: string, context: Context): Observable<string> => {
    const done = writes()(value, context);
    if (value === bad && times-- > 0) throw error;
    return done;
  };

const outbox = <P>(store: FakeOutbox, handler: (value: string, context: Context) => P, options: object = {}) =>
  withOutbox(store, handler, { ...byValue, ...options });

const emitted = (store: FakeOutbox): unknown[] => store.stored.map(({ value }) => value);

describe('withOutbox', () => {
  it('records, handles, stores what was emitted, commits; then acks and emits the plain result', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       -a----b----|');
      const expected = '         ---A----B--|';
      const store = fakeOutbox({ begin: 1, commit: 1 });
      expectObservable(source.texts.pipe(outbox(store, writes()))).toBe(expected);
      expectObservable(source.done).toBe('---a----b---');
      flush();
      expect(store.written).toEqual(['a', 'b']);
      expect(emitted(store)).toEqual(['A', 'B']);
      expect([...store.recorded]).toEqual(['billing a', 'billing b']);
      expect(store.steps).toEqual(['1 begin', '2 record a', '2 commit a', '6 begin', '7 record b', '7 commit b']);
      expect(store.open).toBe(0);
    }));

  it('skips a repeat without running its handler', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       a-b-a-b-c|', { messages: {} });
      const expected = '         A-B-----C|';
      const store = fakeOutbox();
      expectObservable(source.texts.pipe(outbox(store, writes()))).toBe(expected);
      expectObservable(source.skipped).toBe('----a-b--');
      flush();
      expect(store.written).toEqual(['a', 'b', 'c']);
    }));

  it('takes the id of the delivery for its key and the group of the source for its consumer', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { group: 'readers', topic: 'orders' });
      const store = fakeOutbox();
      drive(source.texts.pipe(withOutbox(store, writes())));
      advanceTo(1);
      expect([...store.recorded]).toEqual(['readers orders/0/0']);
    }));

  it('refuses messages for good where there is no consumer at all', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const store = fakeOutbox();
      drive(source.texts.pipe(withOutbox(store, writes())));
      advanceTo(1);
      const [retried] = source.eventsOf('retried');
      expect(retried?.event).toMatchObject({ failure: 'permanent', reason: { code: 'invalid-options' } });
      expect(store.steps).toEqual([]);
    }));

  it.each<unknown>(['', undefined, 5])('refuses the key %p for good', (key) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const letters = fakePublisher();
      drive(
        source.texts.pipe(retryToDlq({ deadLetters: letters }), outbox(fakeOutbox(), writes(), { key: () => key })),
      );
      advanceTo(1);
      expect(source.settled('dead-lettered')).toEqual(['a']);
      expect(letters.published[0]?.headers?.['dead-letter-error-message']).toContain('withOutbox: the key of');
    }),
  );

  it.each([
    [
      'throws',
      () => {
        throw NO;
      },
    ],
    [
      'rejects',
      () =>
        timer(1).pipe(
          map(() => {
            throw NO;
          }),
        ),
    ],
  ])('rolls back and nacks where the handler %s: nothing of it is left', (_, fails) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { redelivery: constant(1_000) });
      const store = fakeOutbox();
      drive(
        source.texts.pipe(
          outbox(store, (value, context) => {
            writes()(value, context);
            return fails();
          }),
        ),
      );
      advanceTo(500);
      expect(source.eventsOf('retried')).toHaveLength(1);
      expect(store).toMatchObject({ written: [], stored: [], open: 0, broken: 0 });
      expect(store.recorded.size).toBe(0);
      expect(store.steps.filter((step) => /commit|undo/.test(step))).toEqual([]);
    }),
  );

  it('runs a message that failed again, as a new one', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { redelivery: constant(10) });
      const store = fakeOutbox();
      const out = drive(source.texts.pipe(outbox(store, failsFor('a', NO, 2))));
      advanceTo(50);
      expect(out.values).toEqual(['A']);
      expect(store.written).toEqual(['a']);
    }));

  it('has up to `concurrency` transactions open, started in order of arrival', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abcdef');
      const store = fakeOutbox();
      const started: string[] = [];
      const handler = (value: string, context: Context) => {
        started.push(value);
        return writes(10)(value, context);
      };
      const out = drive(source.texts.pipe(outbox(store, handler, { concurrency: 3 })));
      advanceTo(9);
      expect(started).toEqual(['a', 'b', 'c']);
      advanceTo(100);
      expect(started.join('')).toBe('abcdef');
      expect(store.mostOpen).toBe(3);
      expect(out.values).toEqual(['A', 'B', 'C', 'D', 'E', 'F']);
    }));

  describe('in groups', () => {
    const grouped = { group: 4, concurrency: 1 };

    it('has what waits share a transaction, one handler after another', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xabcdef)');
        const store = fakeOutbox({ begin: 1, commit: 1 });
        let running = 0;
        let most = 0;
        const handler = (value: string, context: Context) => {
          most = Math.max(most, ++running);
          return writes(2)(value, context).pipe(map((result) => (running--, result)));
        };
        const out = drive(source.texts.pipe(outbox(store, handler, grouped)));
        advanceTo(100);
        expect(store.steps.filter((step) => step.includes('commit')).map((step) => step.split(' ')[2])).toEqual([
          'x',
          'a,b,c,d',
          'e,f',
        ]);
        expect(most).toBe(1);
        expect(out.values).toEqual([...'XABCDEF']);
        expect(emitted(store).join('')).toBe('XABCDEF');
      }));

    it('rolls a failing one back alone, with its key and what it emitted', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xabc)', { redelivery: constant(1_000) });
        const store = fakeOutbox({ begin: 1 });
        const out = drive(source.texts.pipe(outbox(store, failsFor('b', NO), grouped)));
        advanceTo(500);
        expect(store.written).toEqual(['x', 'a', 'c']);
        expect(emitted(store)).toEqual(['X', 'A', 'C']);
        expect([...store.recorded]).toEqual(['billing x', 'billing a', 'billing c']);
        expect(out.values).toEqual(['X', 'A', 'C']);
        expect(source.settled()).toEqual(['x', 'a', 'c']);
        expect(store.steps.filter((step) => step.endsWith('undo'))).toHaveLength(1);
      }));

    it('has the twin of a message wait for what becomes of it: done, and it is skipped', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xaab)');
        const store = fakeOutbox({ begin: 1, commit: 1 });
        const out = drive(source.texts.pipe(outbox(store, writes(), grouped)));
        advanceTo(50);
        expect(out.values).toEqual(['X', 'A', 'B']);
        expect(source.settled('skipped')).toEqual(['a']);
        expect(store.written).toEqual(['x', 'a', 'b']);
      }));

    it('has the twin of a message wait for what becomes of it: failed, and it runs', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xaa)', { redelivery: constant(1_000) });
        const store = fakeOutbox({ begin: 1, commit: 1 });
        const out = drive(source.texts.pipe(outbox(store, failsFor('a', NO, 1), grouped)));
        advanceTo(500);
        expect(out.values).toEqual(['X', 'A']);
        expect(store.written).toEqual(['x', 'a']);
      }));

    it.each([
      ['a conflict', CONFLICT],
      ['a lost connection', LOST],
    ])('runs each again in a transaction of its own after %s in a handler, and counts no attempt', (_, error) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xabc)');
        const store = fakeOutbox({ begin: 1 });
        const out = drive(source.texts.pipe(outbox(store, failsFor('b', error, 1), grouped)));
        advanceTo(100);
        expect(store.written).toEqual(['x', 'a', 'b', 'c']);
        expect(out.values).toEqual(['X', 'A', 'B', 'C']);
        expect(store.steps.filter((step) => step.includes('commit'))).toHaveLength(4);
        expect(source.eventsOf('retried')).toEqual([]);
        expect(store.open).toBe(0);
      }),
    );

    it('finds out which one it is where the commit fails for what a handler did', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xabc)', { redelivery: constant(1_000) });
        const store = fakeOutbox({ begin: 1 });
        store.failNext('commit', undefined);
        store.failNext('commit', NO, 2);
        const out = drive(source.texts.pipe(outbox(store, writes(), grouped)));
        advanceTo(500);
        expect(out.values).toEqual(['X', 'B', 'C']);
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([NO]);
      }));

    it('rolls back the one that takes too long, gives its connection up and runs the others again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(xabc)', { redelivery: constant(10_000) });
        const store = fakeOutbox({ begin: 1 });
        const handler = (value: string, context: Context) => (value === 'b' ? NEVER : writes()(value, context));
        const out = drive(source.texts.pipe(outbox(store, handler, { ...grouped, timeoutMs: 50 })));
        advanceTo(200);
        expect(out.values).toEqual(['X', 'A', 'C']);
        expect(store.broken).toBe(1);
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([
          expect.objectContaining({ code: 'handler-timeout' }),
        ]);
      }));

    it('keeps different consumers apart', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { group: 'one' });
        const store = fakeOutbox({ begin: 1 });
        drive(source.texts.pipe(withOutbox(store, writes(), { key: (value) => value, ...grouped })));
        advanceTo(10);
        expect([...store.recorded]).toEqual(['one a', 'one b']);
      }));
  });

  describe('while the store is out', () => {
    it('holds everything, lets one transaction at a time try, counts no attempt and goes on by itself', () =>
      marbles(({ log, drive, advanceTo, at }) => {
        const source = log('(abcd)', { maxInFlight: 3 });
        const store = fakeOutbox();
        store.failNext('begin', OUTBOX_OUTAGE, 1_000);
        const out = drive(source.texts.pipe(outbox(store, writes(), { concurrency: 3 })));
        advanceTo(10_000);
        expect(source.eventsOf('unavailable')).toHaveLength(1);
        expect(source.eventsOf('received')).toHaveLength(3);
        expect(store.steps.length).toBeLessThan(20);
        at(10_001, () => store.failNext('begin', undefined, 0));
        expect(out.values).toEqual([]);
        expect(source.eventsOf('retried')).toEqual([]);
        out.unsubscribe();
      }));

    it('goes on by itself, in order, once it is back', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const store = fakeOutbox();
        store.failNext('begin', OUTBOX_OUTAGE, 4);
        const out = drive(source.texts.pipe(outbox(store, writes(), { concurrency: 3 })));
        advanceTo(20_000);
        expect(out.values).toEqual([...'ABCD']);
        expect(source.eventsOf('recovered')).toHaveLength(1);
        expect(source.eventsOf('retried')).toEqual([]);
      }));

    it('does not know whether a commit took place whose answer was lost, and asks the key', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeOutbox();
        store.failNext('commit', LOST, 1);
        const out = drive(source.texts.pipe(outbox(store, writes())));
        advanceTo(20_000);
        expect(out.values).toEqual(['A']);
        expect(store.written).toEqual(['a']);
      }));

    it('takes a handler that loses each connection it is given for a failure, not for an outage', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { redelivery: constant(100_000) });
        const store = fakeOutbox();
        const out = drive(source.texts.pipe(outbox(store, failsFor('a', LOST))));
        advanceTo(20_000);
        expect(out.values).toEqual(['B']);
        expect(source.eventsOf('retried').map(({ event }) => event.failure)).toEqual(['transient']);
      }));
  });

  it('leaves an outage that the handler names to who stands above', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const store = fakeOutbox();
      const letters = fakePublisher();
      const out = drive(
        source.texts.pipe(
          retryToDlq({ maxRetries: 0, deadLetters: letters }),
          outbox(store, failsFor('a', unavailable(new Error('back end')), 3)),
        ),
      );
      advanceTo(60_000);
      expect(out.values).toEqual(['A']);
      expect(letters.published).toEqual([]);
    }));

  it('keeps order by key below ordered, over retries', () =>
    marbles(({ log, drive, advanceTo }) => {
      const messages = { a: { key: 'k' }, b: { key: 'k' }, c: { key: 'other' } };
      const source = log('(abc)', { messages });
      const store = fakeOutbox();
      drive(
        source.texts.pipe(
          ordered({ by: 'key' }),
          retryToDlq({ backoff: constant(10), deadLetters: fakePublisher() }),
          outbox(store, failsFor('a', NO, 2), { group: 10 }),
        ),
      );
      advanceTo(100);
      expect(store.written).toEqual(['c', 'a', 'b']);
    }));

  describe('emit', () => {
    const emits =
      (message: unknown) =>
      (_: string, { emit }: Context) =>
        emit(message as never);

    it.each([
      ['no message', undefined],
      ['no topic', { value: 'x' }],
      ['an empty topic', { topic: '', value: 'x' }],
      ['no value', { topic: 'out' }],
      ['an object for a value', { topic: 'out', value: {} }],
      ['a number for a key', { topic: 'out', value: null, key: 5 }],
      ['a partition below 0', { topic: 'out', value: null, partition: -1 }],
      ['a date for a timestamp', { topic: 'out', value: null, timestamp: new Date(0) }],
    ])('refuses %s for good', (_, message) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeOutbox();
        drive(source.texts.pipe(outbox(store, emits(message))));
        advanceTo(1);
        expect(source.eventsOf('retried')[0]?.event).toMatchObject({
          failure: 'permanent',
          reason: { code: 'invalid-emit' },
        });
        expect(store.stored).toEqual([]);
      }),
    );

    it('refuses more than maxEmits', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeOutbox();
        const handler = (_: string, { emit }: Context) => {
          for (let i = 0; i < 3; i++) emit({ topic: 'out', value: null });
        };
        drive(source.texts.pipe(outbox(store, handler, { maxEmits: 2 })));
        advanceTo(1);
        expect(source.eventsOf('retried')[0]?.event.reason).toMatchObject({
          message: 'withOutbox: emit, for orders/0/0: more than maxEmits = 2 messages.',
        });
      }));

    it('throws after the handler has ended: the message would be lost', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        let late: (() => void) | undefined;
        const handler = (_: string, { emit }: Context) => {
          late = () => emit({ topic: 'out', value: null });
        };
        drive(source.texts.pipe(outbox(fakeOutbox(), handler)));
        advanceTo(1);
        expect(source.settled()).toEqual(['a']);
        expect(() => late?.()).toThrow('the handler has ended');
      }));

    it('carries the trace of the message on, unless the handler gives its own', () =>
      marbles(({ log, drive, advanceTo }) => {
        const headers = { traceparent: '00-1', tracestate: 'x', other: 'y' };
        const source = log('(ab)', { messages: { a: { headers }, b: { headers } } });
        const store = fakeOutbox();
        const handler = (value: string, { emit }: Context) =>
          emit({ topic: 'out', value, ...(value === 'b' && { headers: { traceparent: '00-2' } }) });
        drive(source.texts.pipe(outbox(store, handler)));
        advanceTo(1);
        expect(store.stored.map((message) => message.headers)).toEqual([
          { traceparent: '00-1', tracestate: 'x' },
          { traceparent: '00-2' },
        ]);
      }));

    it('keeps a message as it was when it was emitted', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeOutbox();
        const handler = (_: string, { emit }: Context) => {
          const message = { topic: 'out', value: 'before' };
          emit(message);
          message.value = 'after';
        };
        drive(source.texts.pipe(outbox(store, handler)));
        advanceTo(1);
        expect(emitted(store)).toEqual(['before']);
      }));
  });

  it('does not open the part of a handler that asks for no tx', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const store = fakeOutbox();
      let asked = 0;
      const watched = {
        ...store,
        transaction: (consumer: string) =>
          store.transaction(consumer).pipe(
            map((transaction) => ({
              ...transaction,
              begin: (alone: boolean) => {
                const part = transaction.begin(alone);
                return {
                  get tx() {
                    asked++;
                    return part.tx;
                  },
                  undo: () => part.undo(),
                  keep: () => part.keep(),
                };
              },
            })),
          ),
      };
      drive(
        source.texts.pipe(withOutbox(watched, (value: string, { emit }) => emit({ topic: 'out', value }), byValue)),
      );
      advanceTo(1);
      expect(emitted(store)).toEqual(['a']);
      expect(asked).toBe(0);
    }));

  describe('at the end', () => {
    it('completes when the last one is settled', () =>
      marbles(({ log, expectObservable }) => {
        const source = log('       (ab)|');
        const expected = '         -----(AB|)';
        expectObservable(source.texts.pipe(outbox(fakeOutbox(), writes(5)))).toBe(expected);
      }));

    it('waits with its completion for what is in it, also where take stands above', () =>
      marbles(({ log, expectObservable }) => {
        const source = log('       (abc)');
        const expected = '         -----(AB|)';
        expectObservable(source.texts.pipe(take(2), outbox(fakeOutbox(), writes(5)))).toBe(expected);
      }));

    it('lets what is in a transaction commit and be acked on an unsubscribe, starts nothing, emits nothing', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)');
        const store = fakeOutbox();
        const out = drive(source.texts.pipe(outbox(store, writes(10), { concurrency: 2 })));
        advanceTo(5);
        out.unsubscribe();
        advanceTo(50);
        expect(store.written).toEqual(['a', 'b']);
        expect(source.committed()).toBe(2);
        expect(out.values).toEqual([]);
        expect(source.isOpen).toBe(false);
        expect(store.open).toBe(0);
      }));

    it('completes with its source, once it is stopped, where a handler never ends', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab', { drainTimeoutMs: 50 });
        const out = drive(source.texts.pipe(outbox(fakeOutbox(), () => NEVER)));
        advanceTo(5);
        source.stop();
        advanceTo(56);
        expect([out.values, out.completed, source.isOpen]).toEqual([[], true, false]);
      }));

    it('rolls back what does not end within the drain', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 100 });
        const store = fakeOutbox();
        const out = drive(source.texts.pipe(outbox(store, () => NEVER)));
        advanceTo(5);
        out.unsubscribe();
        advanceTo(3_000);
        expect(source.isOpen).toBe(false);
        expect(store).toMatchObject({ written: [], open: 0, broken: 1 });
      }));

    it('lets go of what waits on a revoke; what runs may commit within the drain (I4)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const store = fakeOutbox();
        drive(source.texts.pipe(outbox(store, writes(10), { concurrency: 1, group: 2 })));
        advanceTo(5);
        source.revoke();
        advanceTo(100);
        expect(store.written).toEqual(['a']);
        expect(source.committed()).toBe(1);
      }));
  });

  it('is not misused below batch, whose members come again in other company', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)');
      const out = drive(
        source.texts.pipe(
          batch({ maxSize: 2, maxWaitMs: 10 }),
          withOutbox(fakeOutbox(), () => 1, { consumer: 'c' }),
        ),
      );
      advanceTo(50);
      expect(out.error).toMatchObject({ code: 'unsupported' });
      expect(source.committed()).toBe(0);
    }));

  it('needs a consumer of its own in each branch of fanOut, and works with one', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { group: 'g' });
      const [wrong, right] = [fakeOutbox(), fakeOutbox()];
      const out = drive(
        source.texts.pipe(
          fanOut(
            (d) => d.pipe(withOutbox(wrong, writes())),
            (d) => d.pipe(withOutbox(wrong, writes())),
          ),
        ),
      );
      advanceTo(5);
      expect(out.error).toMatchObject({ code: 'unsupported' });
      const again = log('a', { group: 'g' });
      drive(
        again.texts.pipe(
          fanOut(
            (d) => d.pipe(withOutbox(right, writes(), { consumer: 'one' })),
            (d) => d.pipe(withOutbox(right, writes(), { consumer: 'two' })),
          ),
        ),
      );
      advanceTo(50);
      expect(right.recorded.size).toBe(2);
      expect(again.settled()).toEqual(['a']);
    }));

  it('takes each part of split for itself', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { group: 'g' });
      const store = fakeOutbox();
      drive(
        source.texts.pipe(
          split(() => ['x', 'y']),
          withOutbox(store, writes()),
        ),
      );
      advanceTo(5);
      expect([...store.recorded]).toEqual(['g orders/0/0/0', 'g orders/0/0/1']);
      expect(source.settled()).toEqual(['a']);
    }));

  it('sends what fails for good to the dead letters at once', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const letters = fakePublisher();
      drive(
        source.texts.pipe(
          retryToDlq({ deadLetters: letters }),
          outbox(fakeOutbox(), failsFor('a', permanent(new Error('invalid')))),
        ),
      );
      advanceTo(5);
      expect(letters.published).toHaveLength(1);
    }));

  it.each([
    [
      undefined,
      writes(),
      {},
      'withOutbox: store must be an outbox store, such as postgresOutboxStore(db), not undefined.',
    ],
    [fakeOutbox(), undefined, {}, 'withOutbox: handler must be a function, not undefined.'],
    [fakeOutbox(), writes(), { group: 0 }, 'withOutbox: group must be a whole number, at least 1, not 0.'],
    [
      fakeOutbox(),
      writes(),
      { consumer: '' },
      'withOutbox: consumer must be text that is not empty, not an empty string.',
    ],
    [
      fakeOutbox(),
      writes(),
      { timeoutMs: 0 },
      'withOutbox: timeoutMs must be a number, above 0 and at most 2147483647, not 0.',
    ],
    [fakeOutbox(), writes(), { maxEmits: 0 }, 'withOutbox: maxEmits must be a whole number, at least 1, not 0.'],
    [
      fakeOutbox(),
      writes(),
      { size: 1 },
      'withOutbox: there is no option size; there are consumer, key, setUp, group, concurrency, timeoutMs, maxEmits.',
    ],
  ])('refuses what is not allowed, at the call', (store, handler, options, message) => {
    expect(refusal(() => withOutbox(untyped(store), untyped(handler), untyped(options)))).toBe(message);
  });
});
