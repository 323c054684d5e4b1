import { describe, expect, it } from '@jest/globals';
import {
  delay,
  filter,
  finalize,
  map,
  merge,
  mergeMap,
  type MonoTypeOperatorFunction,
  NEVER,
  type Observable,
  of,
  share,
  switchMap,
  take,
  throwError,
  timer,
} from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import type { BatchDelivery } from '../../lib/core/batch-delivery.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { DeliveryNode, isDeliveryNode, type SettlementHook } from '../../lib/core/delivery-node.js';
import { permanent, unavailable } from '../../lib/core/failures.js';
import type { Message } from '../../lib/core/message.js';
import { operate } from '../../lib/core/operate.js';
import type { PublishOutcome } from '../../lib/core/publisher.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { batch } from '../../lib/operators/batch.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { fanOut } from '../../lib/operators/fan-out.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { handle } from '../../lib/operators/handle.js';
import { mapValue } from '../../lib/operators/map-value.js';
import { ordered } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { marbles, type Drive } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import { after, fakePublisher, refuses, until, type FakePublisher } from '../support/publishers.js';
import { textOf, type ScriptedLog, type ScriptedPosition } from '../support/scripted-log.js';
import { fakeStore } from '../support/stores.js';

keepsTheContract('batch of one', {
  make: () => (source) =>
    source.pipe(
      batch({ maxSize: 1, maxWaitMs: 5 }),
      mapValue(([value]) => value as string),
    ),
  nackGoesUp: true,
});

// As long as never: what moves before it moved by quiet, or by its size.
const NEVER_MS = 250_000;
const NO = new Error('no');

type TextBatch = BatchDelivery<string, ScriptedPosition>;

const texts = ({ value }: { readonly value: readonly string[] }): string => value.join('');
const lettersOf = ({ published }: FakePublisher): string[] => published.map(({ value }) => textOf(value as Uint8Array));
const takes =
  (ms: number) =>
  <T>(value: T): Observable<T> =>
    timer(ms).pipe(map(() => value));
const all = ({ values }: Drive<TextBatch>): string[] => values.map(texts);
const nodeOf = (delivery: unknown): DeliveryNode => delivery as DeliveryNode;

describe('batch', () => {
  it('gathers maxSize, and the rest for maxWaitMs from its first', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a-b-c-d-e------|');
      const expected = '         -----x-------y--|';
      const out = source.texts.pipe(batch({ maxSize: 3, maxWaitMs: 6 }), ackEach());
      expectObservable(out).toBe(expected, { x: ['a', 'b', 'c'], y: ['d', 'e'] });
      expectObservable(source.commits).toBe('     -----c-------e---');
    }));

  it('has the identity of its first, and its members', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab', { messages: { a: { key: 'k', headers: { h: '1' } } } });
      const out = drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: 5 })));
      advanceTo(2);
      const [together] = out.values;
      expect(together).toMatchObject({
        id: 'orders/0/0',
        key: 'k',
        headers: { h: '1' },
        position: { offset: 0 },
        attempt: 1,
        timestamp: 0,
        value: ['a', 'b'],
      });
      expect(isDeliveryNode(together)).toBe(true);
      expect(together?.members.map(({ id, value }) => [id, value])).toEqual([
        ['orders/0/0', 'a'],
        ['orders/0/1', 'b'],
      ]);
      together?.ack();
    }));

  it('keeps the order of arrival, in a batch and from batch to batch, however many partitions there are', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abcdefg', { partitions: 2, messages: { b: { partition: 1 }, e: { partition: 1 } } });
      const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: 50 })));
      advanceTo(60);
      expect(all(out)).toEqual(['abc', 'def', 'g']);
      for (const each of out.values) each.ack();
      advanceTo(61);
      expect([source.committed(0), source.committed(1)]).toEqual([5, 2]);
    }));

  it('gathers a new one from an ack inside next, without emitting inside that emission', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 4 });
      source.fill(1_000);
      source.end();
      let depth = 0;
      let deepest = 0;
      const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: NEVER_MS })), (each) => {
        deepest = Math.max(deepest, ++depth);
        each.ack();
        depth--;
      });
      advanceTo(10);
      expect(deepest).toBe(1);
      expect(out.values.flatMap(({ value }) => value)).toEqual(Array.from({ length: 1_000 }, (_, index) => `${index}`));
      expect(out.completed).toBe(true);
    }));

  it('emits by its wait as it does otherwise: an ack below starts no emission inside itself', () =>
    marbles(({ log, drive, advanceTo }) => {
      const key = { key: 'k' };
      const source = log('(xabc)', { maxInFlight: 3, messages: { a: key, b: key } });
      const held: Delivery<string>[] = [];
      const out = drive(
        source.texts.pipe(
          filter((delivery) => delivery.value !== 'x' || held.push(delivery) === 0),
          ordered({ by: 'key' }),
          batch({ maxSize: 2, maxWaitMs: 5 }),
          ackEach(), // the ack of a frees its key and a credit, so b and c come: a batch
        ),
      );
      advanceTo(4);
      expect(out.values).toEqual([]);
      advanceTo(5);
      expect(out.values).toEqual([['a'], ['b', 'c']]);
      held[0]?.ack();
    }));

  it('passes the error of its source on and lets go of what it gathered', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab-#', { drainTimeoutMs: 5 });
      const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: NEVER_MS })));
      advanceTo(20);
      expect(out.error).toMatchObject({ code: 'source-failed' });
      expect(out.values).toEqual([]);
      expect(source.isOpen).toBe(false);
      expect(source.committed()).toBe(0);
    }));

  it('gives what it has and completes where its upstream completes', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abcd');
      const out = drive(source.texts.pipe(take(3), batch({ maxSize: 2, maxWaitMs: NEVER_MS }), ackEach()));
      advanceTo(5);
      expect(out.values).toEqual([['a', 'b'], ['c']]);
      expect(out.completed).toBe(true);
      expect(source.committed()).toBe(3);
    }));

  it('lets go of what it gathered on an unsubscribe, and the source closes at once', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: NEVER_MS })));
      advanceTo(3);
      out.unsubscribe();
      advanceTo(4);
      expect(source.isOpen).toBe(false);
      expect(out.values).toEqual([]);
      const again = drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: NEVER_MS }), ackEach()));
      advanceTo(5);
      expect(again.values).toEqual([['a', 'b']]);
    }));

  it('leaves nothing behind, at whatever millisecond it is unsubscribed', () => {
    for (let ms = 0; ms <= 24; ms++) {
      marbles(({ log, drive, advanceTo, scheduler }) => {
        const source = log('-a-b-(cd)-e|', { drainTimeoutMs: 50, unsettledWarnMs: 400 });
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            retryToDlq({ deadLetters: fakePublisher(after(2)), maxRetries: 1, backoff: constant(2) }),
            handle((values, each) =>
              timer(2).pipe(
                map(() => {
                  each.nackOnly(each.members.slice(1), NO);
                  return values;
                }),
              ),
            ),
            ackEach(),
          ),
        );
        advanceTo(ms);
        out.unsubscribe();
        advanceTo(200);
        expect(source.eventsOf('closed')).toHaveLength(1);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0, parts: 0, lingering: 0 });
        expect(scheduler.actions).toHaveLength(0);
      });
    }
  });

  it('gathers each of two sources by itself, as each has credits of its own', () =>
    marbles(({ log, drive, advanceTo }) => {
      const [one, two] = [log('a-b--------|', { topic: 'one' }), log('-c-d-e-----|', { topic: 'two', maxInFlight: 3 })];
      const out = drive(merge(one.texts, two.texts).pipe(batch({ maxSize: 4, maxWaitMs: 20 }), ackEach()));
      advanceTo(5);
      expect(out.values).toEqual([['c', 'd', 'e']]); // quiet: no credit of `two` is left
      advanceTo(30);
      expect(out.values.slice(1)).toEqual([['a', 'b']]);
      expect(out.completed).toBe(true);
    }));

  it('takes a source that is subscribed again for another: what it had of the first goes when that gives no more', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc', { drainTimeoutMs: 5 });
      const again = timer(10).pipe(switchMap(() => source.texts));
      const out = drive(
        merge(source.texts.pipe(take(1)), again).pipe(batch({ maxSize: 2, maxWaitMs: NEVER_MS }), ackEach()),
      );
      advanceTo(20);
      expect(out.values).toEqual([['a'], ['b', 'c']]);
      expect(source.committed()).toBe(3);
    }));

  describe('on quiet', () => {
    it('goes where the source has fewer credits than maxSize, weighing its members below', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 64 });
        source.fill(640);
        source.end();
        const sizes: number[] = [];
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 100, maxWaitMs: NEVER_MS }),
            handle((values) => {
              sizes.push(values.length);
              return timer(5);
            }),
            ackEach(),
          ),
        );
        advanceTo(200);
        expect(sizes).toEqual(Array.from({ length: 10 }, () => 64));
        expect(out.completed).toBe(true);
        expect(source.committed()).toBe(640);
      }));

    it('does not go while a batch below still runs', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 10 });
        source.fill(40);
        source.end();
        const sizes: number[] = [];
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 8, maxWaitMs: NEVER_MS }),
            handle((values) => {
              sizes.push(values.length);
              return timer(10);
            }),
            ackEach(),
          ),
        );
        advanceTo(1_000);
        expect(sizes).toEqual([8, 8, 8, 8, 8]);
        expect(out.completed).toBe(true);
      }));

    it('goes where a batch below is parked: it weighs as many as it has members', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 6 });
        source.fill(6);
        const seen: string[] = [];
        drive(
          source.texts.pipe(
            batch({ maxSize: 4, maxWaitMs: NEVER_MS }),
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(50) }),
            handle((values, { attempt }) => {
              seen.push(values.join(''));
              if (attempt === 1 && values.includes('0')) throw NO;
            }),
            ackEach(),
          ),
        );
        advanceTo(1);
        // 4 parked in one batch and 2 gathered: all 6 credits are held.
        expect(seen).toEqual(['0123', '45']);
        expect(source.session).toMatchObject({ inFlight: 4, held: 4 });
        expect([...source.session.partitions][0]).toMatchObject({ held: 4, blocked: 4 });
        advanceTo(50);
        expect(seen).toEqual(['0123', '45', '0123']);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0 });
      }));

    it('goes where ordered above holds all the others back', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 10 });
        source.fill(20, (index) => ({ key: index % 2 === 0 ? 'even' : 'odd' }));
        source.end();
        const out = drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            batch({ maxSize: 8, maxWaitMs: NEVER_MS }),
            handle(takes(3)),
            ackEach(),
          ),
        );
        advanceTo(100);
        expect(out.values).toEqual(Array.from({ length: 10 }, (_, index) => [`${2 * index}`, `${2 * index + 1}`]));
        expect(out.completed).toBe(true);
      }));

    it('goes through two of them, one below the other', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 9 });
        source.fill(30);
        source.end();
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: NEVER_MS }),
            batch({ maxSize: 10, maxWaitMs: NEVER_MS }),
            handle(takes(1)),
            ackEach(),
          ),
        );
        advanceTo(100);
        expect(out.completed).toBe(true);
        expect(out.values.flat(2)).toEqual(Array.from({ length: 30 }, (_, index) => `${index}`));
        expect(out.values[0]).toEqual([['0', '1'], ['2', '3'], ['4', '5'], ['6', '7'], ['8']]);
        expect(source.committed()).toBe(30);
      }));

    it('weighs a batch of batches by the messages in it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            batch({ maxSize: 2, maxWaitMs: 3 }),
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(50) }),
            handle(() => throwError(() => NO)),
          ),
        );
        advanceTo(1);
        expect(source.session).toMatchObject({ inFlight: 4, held: 4 });
      }));

    it('goes when the source is stopped', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc');
        const out = drive(source.texts.pipe(batch({ maxSize: 9, maxWaitMs: NEVER_MS }), ackEach()));
        advanceTo(5);
        expect(out.values).toEqual([]);
        source.stop();
        advanceTo(6);
        expect(out.values).toEqual([['a', 'b', 'c']]);
        expect(out.completed).toBe(true);
      }));

    it('waits for the last resort where a foreign operator holds something', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { maxInFlight: 3 });
        const held: unknown[] = [];
        const keepsOne = filter((delivery: Delivery<string>) => delivery.value !== 'a' || held.push(delivery) === 0);
        const out = drive(source.texts.pipe(keepsOne, batch({ maxSize: 9, maxWaitMs: 40 }), ackEach()));
        advanceTo(39);
        expect(out.values).toEqual([]);
        advanceTo(40);
        expect(out.values).toEqual([['b', 'c']]);
        nodeOf(held[0]).ack();
      }));
  });

  describe('where others wait for what it has, and the source may give more', () => {
    const heldBack = (source: ScriptedLog): string[] =>
      source.eventsOf('held-back').map(({ at, event }) => `${at} ${event.message.id} ${event.forMs}`);

    it('goes as soon as nothing runs: a hot key is not one message a maxWaitMs', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log();
        source.fill(100, (index) => ({ key: index < 40 ? 'hot' : `k${index % 6}` }));
        const sizes: number[] = [];
        drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            batch({ maxSize: 50, maxWaitMs: NEVER_MS }),
            handle((values) => (sizes.push(values.length), takes(5)(values))),
            ackEach(),
          ),
        );
        advanceTo(1_000);
        // The last of a key has nobody behind it, and waits for more with the others of its kind.
        expect(source.settled('done').length).toBeGreaterThanOrEqual(99);
        expect(Math.max(...sizes)).toBe(7);
        expect(heldBack(source)).toEqual([]);
      }));

    it('goes for what comes behind a key later, also where an operator between brings it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const messages = { a: { key: 'x' }, b: { key: 'x' } };
        const source = log('a----b', { messages });
        const out = drive(
          source.texts.pipe(
            handle(takes(3), { concurrency: 8 }),
            ordered({ by: 'key' }),
            batch({ maxSize: 50, maxWaitMs: 1_000 }),
            ackEach(),
          ),
        );
        advanceTo(7);
        expect(out.values).toEqual([]);
        advanceTo(8);
        expect(out.values).toEqual([['a']]);
        advanceTo(1_008);
        expect(out.values).toEqual([['a'], ['b']]);
      }));

    it('goes where the copy of another branch is gone, and this one is all that the next of its key waits for', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { messages: { a: { key: 'x' }, b: { key: 'x' } } });
        drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            fanOut<Delivery<string, ScriptedPosition>, unknown, unknown>(
              (each) => each.pipe(batch({ maxSize: 50, maxWaitMs: 1_000 }), ackEach()),
              (each) => each.pipe(handle(takes(4)), ackEach()),
            ),
          ),
        );
        advanceTo(3);
        expect(source.settled()).toEqual([]);
        advanceTo(5);
        expect(source.settled()).toEqual(['a']);
      }));

    it('goes for the probe of an outage, for which all wait', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const sizes: number[] = [];
        let out = true;
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters: fakePublisher() }),
            batch({ maxSize: 4, maxWaitMs: NEVER_MS }),
            handle((values) => {
              sizes.push(values.length);
              if (out) throw unavailable('out');
            }),
            ackEach(),
          ),
        );
        advanceTo(400);
        expect(sizes).toEqual([4, 1, 1]);
        out = false;
        advanceTo(1_000);
        // The probe went alone; the others wait for a fourth, as ever.
        expect(sizes).toEqual([4, 1, 1, 1]);
        expect(source.settled('done')).toHaveLength(1);
      }));

    it('does not go for those that wait for another: they would make each batch a small one', () =>
      marbles(({ log, drive, advanceTo }) => {
        const keyed = Object.fromEntries(
          [...'abcdef'].map((name) => [name, { key: 'ab'.includes(name) ? 'x' : name }]),
        );
        const source = log('(ab)-c-d-e-f', { messages: keyed });
        const sizes: number[] = [];
        let failed = false;
        drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(200) }),
            filterValue((value) => {
              if (value !== 'a' || failed) return true;
              failed = true;
              throw NO;
            }),
            batch({ maxSize: 4, maxWaitMs: NEVER_MS }),
            handle((values) => void sizes.push(values.length)),
            ackEach(),
          ),
        );
        advanceTo(150);
        expect(sizes).toEqual([4]);
        advanceTo(300);
        // a is back, and b waits for it.
        expect(sizes).toEqual([4, 1]);
      }));

    it('waits for maxWaitMs while something else runs, and says who waited', () =>
      marbles(({ log, drive, advanceTo }) => {
        const messages = { a: { key: 'x' }, b: { key: 'x' }, c: { key: 'y' } };
        const source = log('(cab)', { messages });
        drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            mergeMap((delivery) => (delivery.value === 'c' ? timer(500).pipe(map(() => delivery)) : [delivery])),
            batch({ maxSize: 50, maxWaitMs: 100 }),
            ackEach(),
          ),
        );
        advanceTo(400);
        expect(source.settled()).toEqual(['a', 'b']);
        expect(heldBack(source)).toEqual(['100 orders/0/1 100']);
      }));
  });

  describe('settled', () => {
    it.each([
      ['ack', 'done', (each: TextBatch) => each.ack()],
      ['settle', 'skipped', (each: TextBatch) => each.settle('skipped')],
      ['withValue', 'done', (each: TextBatch) => each.withValue(1).ack()],
    ] as const)('by one %s settles all of its members as %s, corked', (_, outcome, settle) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)(def)', { maxInFlight: 3 });
        const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: NEVER_MS })));
        advanceTo(5);
        const [first] = out.values as [TextBatch];
        const given = [...source.session.partitions][0]?.pending;
        settle(first);
        expect(source.settled(outcome)).toEqual(['a', 'b', 'c']);
        expect(given).toBe(3);
        // All three credits were free before the pump gave on.
        expect(all(out)).toEqual(['abc', 'def']);
        first.ack();
        expect(source.settled()).toHaveLength(3);
        expect(source.eventsOf('stale-settlement')).toHaveLength(1);
      }),
    );

    it('by a nack brings each of its members again, after its delay, as a new attempt', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc');
        const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: 2 })), (each) => {
          if (each.attempt === 1) each.nack(NO, { delayMs: 33 });
          else each.ack();
        });
        advanceTo(34);
        expect(all(out)).toEqual(['abc']);
        advanceTo(35);
        expect(out.values.map((each) => `${texts(each)}${each.attempt}`)).toEqual(['abc1', 'abc2']);
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([NO, NO, NO]);
        expect(source.committed()).toBe(3);
      }));

    it('lets a member settle by itself, and then the others', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('abc');
        const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: 9 })));
        advanceTo(3);
        const [first] = out.values as [TextBatch];
        first.members[0]?.ack();
        first.members[1]?.settle('skipped');
        expect(source.committed()).toBe(0);
        first.ack();
        advanceTo(4);
        expect([source.settled('done'), source.settled('skipped')]).toEqual([['a', 'c'], ['b']]);
        expect(source.eventsOf('stale-settlement')).toEqual([]);
        expect(source.committed()).toBe(3);
      }));

    it('by an abandon lets go of all, and counts no attempt', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const out = drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: 9 })));
        advanceTo(2);
        nodeOf(out.values[0]).abandon();
        advanceTo(30);
        expect(out.values.map((each) => `${texts(each)}${each.attempt}`)).toEqual(['ab1', 'ab1']);
        out.values[1]?.ack();
      }));
  });

  describe('nackOnly', () => {
    it('nacks those that are named, with reason and delay, and acks the others; the watermark waits', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const out = drive(source.texts.pipe(batch({ maxSize: 4, maxWaitMs: 2 })), (each) => {
          if (each.attempt > 1) each.ack();
          else each.nackOnly([each.members[1] as never, each.members[2] as never], NO, { delayMs: 20 });
        });
        advanceTo(1);
        expect(source.settled('done')).toEqual(['a', 'd']);
        expect(source.committed()).toBe(1);
        expect(source.eventsOf('retried').map(({ event }) => [event.message.id, event.reason, event.delayMs])).toEqual([
          ['orders/0/1', NO, 20],
          ['orders/0/2', NO, 20],
        ]);
        advanceTo(22);
        expect(all(out)).toEqual(['abcd', 'bc']);
        expect(source.committed()).toBe(4);
      }));

    it('takes members also by another value of theirs, and from a value that was mapped', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)');
        drive(
          source.texts.pipe(
            mapValue((value) => value.toUpperCase()),
            batch({ maxSize: 3, maxWaitMs: 2 }),
          ),
          (each) => {
            const below = nodeOf(each.withValue('mapped'));
            if (each.attempt === 1) below.nackOnly([nodeOf(each.members[2]).withValue(1)], NO);
            else each.ack();
          },
        );
        advanceTo(1);
        expect(source.settled('done')).toEqual(['a', 'b']);
      }));

    it('of none acks all', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: 2 })), (each) => each.nackOnly([], NO));
        advanceTo(1);
        expect(source.settled('done')).toEqual(['a', 'b']);
        expect(source.eventsOf('retried')).toEqual([]);
        expect(source.committed()).toBe(2);
      }));

    it.each([
      ['a stranger', (_: TextBatch, other: TextBatch) => [other]],
      ['a value', (each: TextBatch) => [each.value[0]]],
      ['a member and a stranger', (each: TextBatch, other: TextBatch) => [each.members[0], other.members[0]]],
      ['undefined', () => [undefined]],
    ])('of %s nacks all, since a repeat beats a loss, and says so', (_, name) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const out = drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: 2 })));
        advanceTo(1);
        const [first, second] = out.values as [TextBatch, TextBatch];
        first.nackOnly(untyped(name(first, second)), NO);
        second.ack();
        expect(source.settled('done')).toEqual(['c', 'd']);
        expect(source.eventsOf('retried')).toHaveLength(2);
        expect(source.eventsOf('misuse').map(({ event }) => event.code)).toEqual(['no-member']);
      }),
    );

    it('of none is an ack to whatever stands between: a claim is confirmed', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const store = fakeStore();
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 2 }),
            dedupe({ key: (values) => values.join(''), store }),
            handle((_, each) => nodeOf(each).nackOnly([], NO)),
          ),
        );
        advanceTo(1);
        expect([...store.confirmed]).toEqual(['ab']);
      }));

    it('of an attempt that is settled already settles nothing: the batch waits for its retry', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 2 }),
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(5) }),
          ),
        );
        advanceTo(1);
        const [first] = out.values as [TextBatch];
        first.nack(NO);
        first.nackOnly([first.members[0] as never], NO);
        expect(source.settled()).toEqual([]);
        advanceTo(10);
        expect(all(out)).toEqual(['ab', 'ab']);
        out.values[1]?.ack();
      }));

    it('settles nothing more where the batch is settled already', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const out = drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: 2 })));
        advanceTo(1);
        const [first] = out.values as [TextBatch];
        first.nack(NO, { delayMs: 50 });
        first.nackOnly([first.members[0] as never], NO);
        expect(source.settled()).toEqual([]);
        expect(source.eventsOf('stale-settlement')).toHaveLength(1);
      }));
  });

  describe('with retryToDlq above', () => {
    it('tries each member again by itself, and gives each up by itself', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)');
        const deadLetters = fakePublisher();
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, maxRetries: 2, backoff: constant(5) }),
            batch({ maxSize: 3, maxWaitMs: 1 }),
            handle((values, each) => {
              const bad = each.members.filter(({ value }) => value === 'b');
              if (bad.length > 0) each.nackOnly(bad, NO);
              return values;
            }),
            ackEach(),
          ),
        );
        advanceTo(30);
        expect(source.settled('done')).toEqual(['a', 'c']);
        expect(source.settled('dead-lettered')).toEqual(['b']);
        expect(lettersOf(deadLetters)).toEqual(['b']);
        expect(deadLetters.published[0]?.headers).toMatchObject({ 'dead-letter-attempts': '3' });
        expect(out.values).toEqual([]); // the handler settled each of them itself
        expect(source.committed()).toBe(3);
      }));
  });

  describe('with retryToDlq below', () => {
    it('tries the whole batch again, and its dead letters are its members, raw', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { messages: { b: { key: 'k', headers: { h: 'x' } } } });
        const deadLetters = fakePublisher(after(4));
        const attempts: string[] = [];
        drive(
          source.texts.pipe(
            mapValue((value) => value.toUpperCase()),
            batch({ maxSize: 3, maxWaitMs: 1, bisectOnFailure: false }),
            retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(5) }),
            handle((values, { attempt }) => {
              attempts.push(`${values.join('')}${attempt}`);
              throw NO;
            }),
            ackEach(),
          ),
        );
        advanceTo(8);
        expect(attempts).toEqual(['ABC1', 'ABC2']);
        expect(source.settled()).toEqual([]); // I6: not before the publish is confirmed
        advanceTo(9);
        expect(source.settled('dead-lettered')).toEqual(['a', 'b', 'c']);
        expect(lettersOf(deadLetters)).toEqual(['a', 'b', 'c']);
        expect(deadLetters.published[1]).toMatchObject({
          key: 'k',
          headers: { h: 'x', 'dead-letter-source-position': '1', 'dead-letter-attempts': '2' },
        });
        expect(source.eventsOf('dead-lettered').map(({ event }) => event.message.id)).toEqual([
          'orders/0/0',
          'orders/0/1',
          'orders/0/2',
        ]);
        expect(source.committed()).toBe(3);
      }));

    it('tries again only those that nackOnly named', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const deadLetters = fakePublisher();
        const attempts: string[] = [];
        drive(
          source.texts.pipe(
            batch({ maxSize: 4, maxWaitMs: 1 }),
            retryToDlq({ deadLetters, maxRetries: 2, backoff: constant(5) }),
            handle((values, each) => {
              attempts.push(`${values.join('')}${each.attempt}`);
              expect(each.members.map(({ value }) => value)).toEqual(values);
              each.nackOnly(
                each.members.filter(({ value }) => value === 'c' || (value === 'b' && each.attempt === 1)),
                NO,
              );
            }),
            ackEach(),
          ),
        );
        advanceTo(1);
        expect(source.settled('done')).toEqual(['a', 'd']);
        advanceTo(20);
        expect(attempts).toEqual(['abcd1', 'bc2', 'c3']);
        expect(source.settled('done')).toEqual(['a', 'd', 'b']);
        expect(source.settled('dead-lettered')).toEqual(['c']);
        expect(lettersOf(deadLetters)).toEqual(['c']);
        expect(source.committed()).toBe(4);
      }));

    it('tries the whole again where the array was replaced by another in between', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const attempts: unknown[] = [];
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 1 }),
            mapValue((values) => ({ rows: values.length })),
            retryToDlq({ deadLetters: fakePublisher(), maxRetries: 2, backoff: constant(5) }),
            handle((value, each) => {
              attempts.push(value);
              const { members } = nodeOf(each);
              if (each.attempt === 1) nodeOf(each).nackOnly([members[1]], NO);
            }),
            ackEach(),
          ),
        );
        advanceTo(20);
        expect(attempts).toEqual([{ rows: 2 }, { rows: 2 }]);
        expect(source.settled('done')).toEqual(['a', 'b']);
      }));

    it('tries nothing again where each member is settled already', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        let runs = 0;
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 1 }),
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(5) }),
            handle((_, each) => {
              runs++;
              for (const member of each.members) member.ack();
              throw NO;
            }),
            ackEach(),
          ),
        );
        advanceTo(50);
        expect(runs).toBe(1);
        expect(source.settled('done')).toEqual(['a', 'b']);
      }));

    it('holds whole batches through an outage, and counts no attempt', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log(undefined, { maxInFlight: 6 });
        source.fill(12);
        source.end();
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 3, maxWaitMs: NEVER_MS }),
            retryToDlq({ deadLetters: fakePublisher(), maxRetries: 0 }),
            handle((values) => {
              if (now() < 5_000) throw unavailable(new Error('out'));
              return values;
            }),
            ackEach(),
          ),
        );
        advanceTo(4_999);
        expect(source.session).toMatchObject({ inFlight: 6, held: 6 });
        advanceTo(30_000);
        expect(out.completed).toBe(true);
        expect(out.values.flat()).toHaveLength(12);
        expect(source.settled('done')).toHaveLength(12);
      }));

    it('gives up the members of a batch of batches, and settles both', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const deadLetters = fakePublisher();
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 1 }),
            batch({ maxSize: 2, maxWaitMs: 1 }),
            retryToDlq({ deadLetters, maxRetries: 0 }),
            handle(() => throwError(() => permanent(new Error('bad')))),
            ackEach(),
          ),
        );
        advanceTo(5);
        expect(lettersOf(deadLetters).sort()).toEqual(['a', 'b', 'c', 'd']);
        expect([...source.settled('dead-lettered')].sort()).toEqual(['a', 'b', 'c', 'd']);
        expect(source.committed()).toBe(4);
      }));

    it('publishes nothing for a batch of batches each of whose messages is settled already', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const deadLetters = fakePublisher();
        const store = fakeStore();
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 1 }),
            batch({ maxSize: 2, maxWaitMs: 1 }),
            dedupe({ key: (values) => values.join('+'), store }),
            retryToDlq({ deadLetters, maxRetries: 0 }),
            handle((_, each) => {
              for (const inner of nodeOf(each).members) for (const member of nodeOf(inner).members) member.ack();
              throw NO;
            }),
            ackEach(),
          ),
        );
        advanceTo(5);
        expect(deadLetters.calls).toEqual([]);
        expect(source.settled('done')).toEqual(['a', 'b', 'c', 'd']);
        expect([...store.confirmed]).toEqual(['a,b+c,d']);
      }));

    it('tells what stands between once all members are given up: a claim is given back', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const store = fakeStore();
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 1 }),
            dedupe({ key: (values) => values.join(), store }),
            retryToDlq({ deadLetters: fakePublisher(), maxRetries: 0 }),
            handle(() => throwError(() => NO)),
            ackEach(),
          ),
        );
        advanceTo(5);
        expect(source.settled('dead-lettered')).toEqual(['a', 'b']);
        expect([...store.held]).toEqual([]);
      }));

    it('lets a refused letter wait by itself: the other members settle', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const deadLetters = fakePublisher((messages, call) => {
          const isB = ({ value }: (typeof messages)[number]): boolean => textOf(value as Uint8Array) === 'b';
          const refused = { status: 'permanent', error: NO } as const;
          return of(messages.map((message) => (isB(message) && call < 6 ? refused : { status: 'ok' as const })));
        });
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 1 }),
            retryToDlq({ deadLetters, maxRetries: 0, onUndeliverable: 'hold' }),
            handle(() => throwError(() => NO)),
            ackEach(),
          ),
        );
        advanceTo(10);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        advanceTo(5_000);
        expect(source.settled('dead-lettered')).toEqual(['a', 'b']);
      }));

    it('lets go of letters that wait when a partition is revoked; the rest is let go with the batch', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { partitions: 2, messages: { b: { partition: 1 } }, drainTimeoutMs: 50 });
        const deadLetters = fakePublisher(until(1_000, refuses));
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 1 }),
            retryToDlq({ deadLetters, maxRetries: 0 }),
            handle(() => throwError(() => NO)),
            ackEach(),
          ),
        );
        const revoked: number[] = [];
        advanceTo(5);
        source.revoke(1, () => revoked.push(1));
        advanceTo(6);
        expect(revoked).toEqual([1]);
        advanceTo(3_000);
        expect(lettersOf(deadLetters)).toEqual(['a']);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(source.committed(1)).toBe(0);
        expect(out.error).toBeUndefined();
      }));
  });

  describe('that fails as a whole and would be dead letters', () => {
    type Values = readonly string[];
    const bad = new Set(['d', 'n']);
    /** Works as a bulk insert does: all or nothing. */
    const insert = (runs: string[]) => (values: Values, delivery: { readonly attempt: number }) => {
      runs.push(`${values.join('')}${delivery.attempt}`);
      if (values.some((value) => bad.has(value))) throw NO;
      return values;
    };
    const places = ['above', 'below'] as const;
    const failing = (
      source: ScriptedLog,
      place: (typeof places)[number],
      work: (values: Values, delivery: BatchDelivery<string, ScriptedPosition>) => unknown,
      { maxRetries = 1, maxSize = 16, bisectOnFailure = true, letters = fakePublisher() } = {},
    ) => {
      const options = { deadLetters: letters, maxRetries, backoff: constant(5) };
      const gather = batch({ maxSize, maxWaitMs: 2, bisectOnFailure });
      return place === 'above'
        ? source.texts.pipe(ordered({ by: 'key' }), retryToDlq(options), gather, handle(work as never), ackEach())
        : source.texts.pipe(ordered({ by: 'key' }), gather, retryToDlq(options), handle(work as never), ackEach());
    };
    const sixteen = '(abcdefghijklmnop)';
    const good = [...'abcefghijklmop'];
    const sizes = (source: ScriptedLog): number[] => source.eventsOf('bisected').map(({ event }) => event.size);

    it.each(places)('is run by halves, so that only those are that fail alone: retryToDlq %s', (place) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(sixteen);
        const letters = fakePublisher();
        const runs: string[] = [];
        const out = drive(failing(source, place, insert(runs), { letters }));
        advanceTo(1_000);
        expect(out.values.flatMap((values) => values as Values).sort()).toEqual(good);
        expect(lettersOf(letters).sort()).toEqual(['d', 'n']);
        expect([...source.settled('dead-lettered')].sort()).toEqual(['d', 'n']);
        expect(source.committed()).toBe(16);
        // Twice as a whole; then of each half the one with a culprit is halved again.
        expect(runs.slice(0, 3).map((run) => run.replace(/\d/, ''))).toEqual([
          'abcdefghijklmnop',
          'abcdefghijklmnop',
          'abcdefgh',
        ]);
        expect(runs).toHaveLength(2 + 14);
        expect(sizes(source)).toEqual([16, 8, 4, 2, 8, 4, 2]);
      }),
    );

    it.each(places)('is run by halves at once with maxRetries 0, and where it is permanent: retryToDlq %s', (place) =>
      marbles(({ log, drive, advanceTo }) => {
        for (const [maxRetries, error] of [[0, NO] as const, [3, permanent(new Error('for good'))] as const]) {
          const source = log('(abcd)');
          const letters = fakePublisher();
          const runs: string[] = [];
          const work = (values: Values): Values => {
            runs.push(values.join(''));
            if (values.includes('d')) throw error;
            return values;
          };
          drive(failing(source, place, work, { maxRetries, letters, maxSize: 4 }));
          advanceTo(1_000 * (maxRetries + 1));
          expect(runs).toEqual(['abcd', 'ab', 'cd', 'c', 'd']);
          expect(lettersOf(letters)).toEqual(['d']);
          expect(source.settled('done')).toEqual(['a', 'b', 'c']);
        }
      }),
    );

    it.each(places)('counts each run of it: the dead letter says how many there were, and when it began: %s', (place) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const letters = fakePublisher();
        drive(failing(source, place, insert([]), { letters, maxSize: 4 }));
        advanceTo(100);
        const { headers } = letters.published[0] ?? {};
        const first = Date.parse(String(headers?.['dead-letter-first-failure-at']));
        const last = Date.parse(String(headers?.['dead-letter-last-failure-at']));
        // Above, the count is the member's own: runs of halves belong to the attempt that they find the culprit of.
        expect(headers?.['dead-letter-attempts']).toBe(place === 'above' ? '2' : '4');
        expect(last - first).toBe(5);
      }),
    );

    it.each(places)('is not run by halves in an outage: retryToDlq %s', (place) =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log('(abcd)');
        const letters = fakePublisher();
        const work = (values: Values): Values => {
          if (now() < 1_000) throw unavailable(new Error('out'));
          return values;
        };
        drive(failing(source, place, work, { letters, maxRetries: 0, maxSize: 4 }));
        advanceTo(20_000);
        expect(sizes(source)).toEqual([]);
        expect(letters.calls).toEqual([]);
        expect(source.settled('done')).toHaveLength(4);
      }),
    );

    it.each(places)(
      'waits for the end of an outage that comes between its halves, and loses none: retryToDlq %s',
      (place) =>
        marbles(({ log, drive, advanceTo, now }) => {
          const source = log('(abcdefgh)');
          const letters = fakePublisher();
          let runs = 0;
          const work = (values: Values): Values => {
            if (++runs > 1 && now() < 1_000) throw unavailable(new Error('out'));
            if (values.includes('d')) throw NO;
            return values;
          };
          drive(failing(source, place, work, { letters, maxRetries: 0, maxSize: 8 }));
          advanceTo(30_000);
          expect(lettersOf(letters)).toEqual(['d']);
          expect([...source.settled('done')].sort()).toEqual([...'abcefgh']);
          expect(source.session).toMatchObject({ inFlight: 0, held: 0 });
        }),
    );

    it.each(places)('looks for none where nackOnly named them: retryToDlq %s', (place) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcdef)');
        const letters = fakePublisher();
        const runs: string[] = [];
        const work = (values: Values, delivery: BatchDelivery<string, ScriptedPosition>): Values => {
          runs.push(values.join(''));
          const named = delivery.members.filter(({ value }) => 'bd'.includes(value));
          if (named.length > 0) delivery.nackOnly(named, NO);
          return values;
        };
        drive(failing(source, place, work, { letters, maxSize: 6 }));
        advanceTo(100);
        expect(runs).toEqual(['abcdef', 'bd']);
        expect(sizes(source)).toEqual([]);
        expect(lettersOf(letters)).toEqual(['b', 'd']);
        expect([...source.settled('done')].sort()).toEqual([...'acef']);
      }),
    );

    it('goes on below with the other halves while the letter of one is refused, and held', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)', { messages: { a: {} } });
        const work = (values: Values): Values => {
          if (values.includes('a')) throw NO;
          return values;
        };
        drive(failing(source, 'below', work, { letters: fakePublisher(refuses), maxRetries: 0, maxSize: 4 }));
        advanceTo(100);
        expect([...source.settled('done')].sort()).toEqual(['b', 'c', 'd']);
        expect(source.session.inFlight).toBe(1);
      }));

    it.each(places)('keeps the order of each key, those of its members as well: retryToDlq %s', (place) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined);
        source.fill(200, (index) => ({ key: `k${index % 9}` }));
        source.end();
        const letters = fakePublisher(after(3));
        const work = (values: Values): Observable<Values> => {
          if (values.some((value) => Number(value) % 10 === 3)) return timer(1).pipe(map(() => raise()));
          return timer(1).pipe(map(() => values));
        };
        const out = drive(failing(source, place, work, { letters, maxRetries: 1, maxSize: 6 }));
        advanceTo(60_000);
        expect(out.completed).toBe(true);
        const done = out.values.flatMap((values) => values as Values).map(Number);
        expect(done).toHaveLength(180);
        for (let key = 0; key < 9; key++) {
          const its = done.filter((value) => value % 9 === key);
          expect(its).toEqual([...its].sort((a, b) => a - b));
        }
        expect(
          lettersOf(letters)
            .map(Number)
            .sort((a, b) => a - b),
        ).toEqual(Array.from({ length: 20 }, (_, n) => n * 10 + 3));
      }),
    );

    it.each(places)('makes dead letters of all with bisectOnFailure: false: retryToDlq %s', (place) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const letters = fakePublisher();
        drive(failing(source, place, insert([]), { letters, maxSize: 4, bisectOnFailure: false }));
        advanceTo(100);
        expect(lettersOf(letters)).toEqual(['a', 'b', 'c', 'd']);
        expect(sizes(source)).toEqual([]);
      }),
    );

    it.each(places)(
      'lets go of halves that wait, at whatever millisecond it is unsubscribed or revoked: %s',
      (place) => {
        for (let ms = 1; ms < 40; ms++) {
          marbles(({ log, drive, advanceTo, scheduler }) => {
            const source = log('(abcdefgh)', {
              drainTimeoutMs: 100,
              messages: { c: { partition: 1 }, d: { partition: 1 } },
              partitions: 2,
            });
            const work = (values: Values): Observable<Values> =>
              timer(2).pipe(map(() => (values.includes('d') ? raise() : values)));
            const out = drive(failing(source, place, work, { maxSize: 8 }));
            advanceTo(ms);
            if (ms % 2 === 0) source.revoke(1);
            advanceTo(ms + 200);
            if (ms % 2 === 0) {
              expect(source.eventsOf('revoked')).toHaveLength(1);
              source.assign(1);
              advanceTo(ms + 1_000);
              expect([source.committed(0), source.committed(1)]).toEqual([6, 2]);
              expect(source.settled('dead-lettered').filter((name) => name !== 'd')).toEqual([]);
            }
            expect(source.session.held).toBe(0);
            out.unsubscribe();
            advanceTo(ms + 2_000);
            expect(source.isOpen).toBe(false);
            expect(scheduler.actions.filter(({ closed }) => !closed)).toHaveLength(0);
          });
        }
        for (let ms = 1; ms < 40; ms++) {
          marbles(({ log, drive, advanceTo, scheduler }) => {
            const source = log('(abcdefgh)', { drainTimeoutMs: 100 });
            const work = (values: Values): Observable<Values> =>
              timer(2).pipe(map(() => (values.includes('d') ? raise() : values)));
            const out = drive(failing(source, place, work, { maxSize: 8 }));
            advanceTo(ms);
            out.unsubscribe();
            advanceTo(ms + 1);
            expect(source.isOpen).toBe(false);
            expect(source.session).toMatchObject({ inFlight: 0, held: 0 });
            expect(scheduler.actions.filter(({ closed }) => !closed)).toHaveLength(0);
          });
        }
      },
    );

    it('runs the function between anew for each half, and gives back what stands between: a claim', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)');
        const letters = fakePublisher();
        const store = fakeStore();
        drive(
          source.texts.pipe(
            batch({ maxSize: 4, maxWaitMs: 2 }),
            mapValue((values) => values.join('+')),
            dedupe({ key: (value) => value, store }),
            retryToDlq({ deadLetters: letters, maxRetries: 0 }),
            handle((value) => {
              if (value.includes('b')) throw NO;
              return value;
            }),
            ackEach(),
          ),
        );
        advanceTo(100);
        expect(lettersOf(letters)).toEqual(['b']);
        expect([...store.confirmed].sort()).toEqual(['a', 'c+d']);
        expect([...store.held]).toEqual([]);
      }));
  });

  describe('over partitions that come and go', () => {
    const two = { partitions: 2, drainTimeoutMs: 50, messages: { b: { partition: 1 }, d: { partition: 1 } } } as const;

    it('drops the gathered members of a revoked partition, not started, and keeps the others (I4)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', two);
        const revoked: number[] = [];
        const out = drive(source.texts.pipe(batch({ maxSize: 9, maxWaitMs: 30 }), ackEach()));
        advanceTo(5);
        source.revoke(1, () => revoked.push(1));
        expect(revoked).toEqual([1]);
        expect(source.session).toMatchObject({ inFlight: 2, held: 2 });
        advanceTo(30);
        expect(out.values).toEqual([['a', 'c']]);
        expect([source.committed(0), source.committed(1)]).toEqual([2, 0]);
        expect(source.eventsOf('stale-settlement')).toEqual([]);
      }));

    it('takes a dropped member off what is held while the drain still runs', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)', two);
        const running: Delivery<string>[] = [];
        const keepsB = filter((delivery: Delivery<string>) => delivery.value !== 'b' || running.push(delivery) === 0);
        drive(source.texts.pipe(keepsB, batch({ maxSize: 9, maxWaitMs: 90 }), ackEach()));
        advanceTo(5);
        source.revoke(1);
        expect(source.session).toMatchObject({ inFlight: 3, held: 2 });
        running[0]?.ack();
        advanceTo(6);
        expect(source.committed(1)).toBe(1);
      }));

    it('gathers none that arrives after its drain began', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', two);
        const revoked: number[] = [];
        const out = drive(source.texts.pipe(delay(10), batch({ maxSize: 9, maxWaitMs: 10 }), ackEach()));
        advanceTo(5);
        source.revoke(1, () => revoked.push(1));
        advanceTo(9);
        expect(revoked).toEqual([]);
        advanceTo(10);
        expect(revoked).toEqual([1]);
        advanceTo(20);
        expect(out.values).toEqual([['a']]);
      }));

    it('goes on with the same source where a partition comes back, also on quiet', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ac)', two);
        const out = drive(source.texts.pipe(batch({ maxSize: 9, maxWaitMs: NEVER_MS }), ackEach()));
        advanceTo(5);
        source.lose(0);
        source.assign(0);
        advanceTo(6);
        source.end();
        advanceTo(7);
        expect(out.values).toEqual([['a', 'c']]);
        expect(out.completed).toBe(true);
      }));

    it('does not start a batch that reaches its handler after the drain of a member began', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', two);
        const started: string[] = [];
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            delay(10),
            handle((values) => started.push(values.join(''))),
            ackEach(),
          ),
        );
        advanceTo(5);
        source.revoke(1);
        advanceTo(12);
        expect(started).toEqual([]);
        advanceTo(200);
        expect(started).toEqual(['a']);
      }));

    it('looks after its partitions no longer than its batches are out, also where the source goes on without it', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)(cd)', two);
        const shared = source.texts.pipe(share());
        drive(shared.pipe(filter(() => false)));
        const out = drive(shared.pipe(batch({ maxSize: 2, maxWaitMs: 3 })));
        advanceTo(10);
        const watchers = (): number[] =>
          [...source.session.partitions].map(({ closeListeners }) => closeListeners?.size ?? 0);
        expect(watchers()).toEqual([1, 1]);
        const [first, second] = out.values as [TextBatch, TextBatch];
        first.ack();
        out.unsubscribe();
        expect(watchers()).toEqual([1, 1]);
        second.ack();
        expect(watchers()).toEqual([0, 0]);
      }));

    it('ends its wait where all that was gathered is dropped', () =>
      marbles(({ log, drive, advanceTo, scheduler }) => {
        const source = log('(ab)', two);
        drive(source.texts.pipe(batch({ maxSize: 9, maxWaitMs: 200_000 }), ackEach()));
        advanceTo(5);
        source.lose(0);
        source.lose(1);
        advanceTo(120_000);
        expect(scheduler.actions).toHaveLength(0);
      }));

    it('lets a started batch settle the members that are still ours (I5)', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', two);
        const out = drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: 30 }), handle(takes(20)), ackEach()));
        advanceTo(5);
        source.lose(1);
        advanceTo(25);
        expect(out.values).toEqual([['a', 'b', 'c']]);
        expect(source.settled()).toEqual(['a', 'c']);
        expect([source.committed(0), source.committed(1)]).toEqual([2, 0]);
        expect(
          source.eventsOf('stale-settlement').map(({ event }) => [event.partition.partition, event.because]),
        ).toEqual([[1, 'closed']]);
      }));

    it('settles all within the drain of one of its partitions', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', two);
        const revoked: number[] = [];
        drive(source.texts.pipe(batch({ maxSize: 3, maxWaitMs: 30 }), handle(takes(20)), ackEach()));
        advanceTo(5);
        source.revoke(1, () => revoked.push(1));
        advanceTo(19);
        expect(revoked).toEqual([]);
        advanceTo(21);
        expect(revoked).toEqual([1]);
        expect([source.committed(0), source.committed(1)]).toEqual([2, 1]);
      }));

    it('does not start a batch that waits and has a member of a revoked partition: the others come again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)', two);
        const started: string[] = [];
        const revoked: number[] = [];
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            handle((values) => {
              started.push(values.join(''));
              return timer(values.includes('a') ? 20 : 1);
            }),
            ackEach(),
          ),
        );
        advanceTo(5);
        source.revoke(1, () => revoked.push(1));
        advanceTo(60);
        expect(started).toEqual(['ab', 'c']);
        expect(revoked).toEqual([1]);
        // b was started and settled within the drain; d was not.
        expect([source.committed(0), source.committed(1)]).toEqual([2, 1]);
        expect(source.eventsOf('retried')).toEqual([]);
      }));

    it('does not run a parked batch again that has a member of a revoked partition', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', two);
        const started: string[] = [];
        const revoked: number[] = [];
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            retryToDlq({ deadLetters: fakePublisher(), backoff: constant(40) }),
            handle((values) => {
              started.push(values.join(''));
              if (started.length === 1) throw NO;
            }),
            ackEach(),
          ),
        );
        advanceTo(5);
        source.revoke(1, () => revoked.push(1));
        advanceTo(6);
        expect(revoked).toEqual([1]);
        advanceTo(100);
        expect(started).toEqual(['ab', 'a']);
        expect(source.settled()).toEqual(['a']);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0 });
      }));

    it('aborts its signal once none of its members is ours, not before', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', two);
        const out = drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: 3 })));
        advanceTo(1);
        const { signal } = out.values[0] as TextBatch;
        source.lose(1);
        expect(signal.aborted).toBe(false);
        source.lose(0);
        expect(signal.aborted).toBe(true);
      }));

    it('ends the work of a batch none of whose members is ours any more', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)--c', two);
        let cancelled = 0;
        const out = drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            handle(() => NEVER.pipe(finalize(() => cancelled++))),
          ),
        );
        advanceTo(1);
        source.lose(0);
        expect(cancelled).toBe(0);
        source.lose(1);
        expect(cancelled).toBe(1);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0 });
        expect(out.values).toEqual([]);
      }));

    it('keeps the account of what is held through all of that', () => {
      for (let ms = 0; ms <= 30; ms++) {
        marbles(({ log, drive, advanceTo, at }) => {
          const source = log('(abcd)-(abcd)-(abcd)|', { ...two, maxInFlight: 8 });
          let runs = 0;
          const out = drive(
            source.texts.pipe(
              batch({ maxSize: 3, maxWaitMs: 4 }),
              retryToDlq({ deadLetters: fakePublisher(after(2)), maxRetries: 1, backoff: constant(3) }),
              handle(
                (values, each) =>
                  timer(2).pipe(
                    map(() => {
                      if (++runs % 3 === 1) each.nackOnly(each.members.slice(1), NO);
                      return values;
                    }),
                  ),
                { concurrency: 2 },
              ),
              ackEach(),
            ),
          );
          at(ms, () => {
            if (!source.isOpen) return;
            if (ms % 2 === 0) source.revoke(1, () => source.assign(1));
            else {
              source.lose(1);
              source.assign(1);
            }
          });
          advanceTo(2_000);
          expect(out.completed).toBe(true);
          expect([source.committed(0), source.committed(1)]).toEqual([6, 6]);
          expect(source.session).toMatchObject({ inFlight: 0, held: 0, parts: 0 });
        });
      }
    });
  });

  describe('below what makes several deliveries of one', () => {
    // What fanOut is to a settlement: other branches may still work on what one is done with.
    const fork = <D>(): MonoTypeOperatorFunction<D> =>
      operate((destination) => {
        const hook: SettlementHook = {
          forks: true,
          onAck: (child, outcome) => child.up?.settle(outcome),
          onNack: (child, reason, delayMs) => child.up?.fail(reason, delayMs),
          onAbandon: (child) => child.up?.abandon(),
        };
        return {
          next: (delivery) => {
            const { value, attempt, epoch } = delivery;
            destination.next(new DeliveryNode(value, attempt, delivery, hook, 0, epoch, null));
          },
        };
      });

    it('nacks all members for nackOnly', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        drive(source.texts.pipe(batch({ maxSize: 2, maxWaitMs: 3 }), fork()), (each) => {
          if (each.attempt === 1) each.nackOnly([each.members[0] as never], NO);
          else each.ack();
        });
        advanceTo(1);
        expect(source.settled()).toEqual([]);
        expect(source.eventsOf('retried')).toHaveLength(2);
      }));

    it('settles none where a letter of one is let go: that one was not published', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { partitions: 2, messages: { b: { partition: 1 } } });
        const deadLetters = fakePublisher((messages) =>
          of(
            messages.map(({ value }): PublishOutcome =>
              textOf(value as Uint8Array) === 'b' ? { status: 'permanent', error: NO } : { status: 'ok' },
            ),
          ),
        );
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            fork(),
            retryToDlq({ deadLetters, maxRetries: 0 }),
            handle(() => throwError(() => NO)),
            ackEach(),
          ),
        );
        advanceTo(5);
        source.revoke(1);
        advanceTo(6);
        expect(source.settled()).toEqual([]);
        expect([source.committed(0), source.committed(1)]).toEqual([0, 0]);
      }));

    it('publishes a dead letter of each member, and settles all of them with the last', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const refusesB = (messages: readonly Message[]): Observable<PublishOutcome[]> =>
          of(
            messages.map(({ value }): PublishOutcome =>
              textOf(value as Uint8Array) === 'b' ? { status: 'permanent', error: NO } : { status: 'ok' },
            ),
          );
        const deadLetters = fakePublisher(until(1_000, refusesB));
        drive(
          source.texts.pipe(
            batch({ maxSize: 2, maxWaitMs: 3 }),
            fork(),
            retryToDlq({ deadLetters, maxRetries: 0, onUndeliverable: 'hold' }),
            handle(() => throwError(() => NO)),
            ackEach(),
          ),
        );
        advanceTo(100);
        expect(lettersOf(deadLetters)).toEqual(['a']);
        expect(source.settled()).toEqual([]);
        advanceTo(10_000);
        expect(lettersOf(deadLetters)).toEqual(['a', 'b']);
        expect(source.settled('dead-lettered')).toEqual(['a', 'b']);
      }));
  });

  it('is not ordered by ordered below it, which says so once', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)', { maxInFlight: 4 });
      const out = drive(
        source.texts.pipe(
          batch({ maxSize: 2, maxWaitMs: 3 }),
          ordered({ by: 'partition' }),
          handle(takes(1), { concurrency: 2 }),
          ackEach(),
        ),
      );
      advanceTo(2);
      expect(out.values).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ]);
      expect(source.eventsOf('misuse').map(({ event }) => event.code)).toEqual(['ordered-below-batch']);
    }));

  it('settles what it is given of a filter below, as skipped', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      drive(
        source.texts.pipe(
          batch({ maxSize: 2, maxWaitMs: 3 }),
          filterValue((values) => values.includes('a')),
          ackEach(),
        ),
      );
      advanceTo(2);
      expect([source.settled('done'), source.settled('skipped')]).toEqual([
        ['a', 'b'],
        ['c', 'd'],
      ]);
    }));

  it.each([
    [{}, 'batch: maxSize must be a whole number, at least 1, not undefined.'],
    [{ maxSize: 2 }, 'batch: maxWaitMs must be a number, above 0 and at most 2147483647, not undefined.'],
    [{ maxSize: 0, maxWaitMs: 1 }, 'batch: maxSize must be a whole number, at least 1, not 0.'],
    [{ maxSize: 1.5, maxWaitMs: 1 }, 'batch: maxSize must be a whole number, at least 1, not 1.5.'],
    [{ maxSize: 1, maxWaitMs: 0 }, 'batch: maxWaitMs must be a number, above 0 and at most 2147483647, not 0.'],
    [
      { maxSize: 1, maxWaitMs: 1, size: 1 },
      'batch: there is no option size; there are maxSize, maxWaitMs, bisectOnFailure.',
    ],
  ])('refuses %j at the call', (options, message) => {
    expect(refusal(() => batch(untyped(options)))).toBe(message);
  });
});

function raise(): never {
  throw NO;
}
