import { describe, expect, it } from '@jest/globals';
import { map, mergeMap, Subject, switchMap, throwError, timer, type Observable, type OperatorFunction } from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { permanent, unavailable } from '../../lib/core/failures.js';
import { hashOf } from '../../lib/core/hash.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { fanOut } from '../../lib/operators/fan-out.js';
import { handle } from '../../lib/operators/handle.js';
import { mapValue } from '../../lib/operators/map-value.js';
import { ordered, type OrderingKey } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { settling } from '../../lib/operators/settling.js';
import { gather } from '../support/gather.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import { after, fakePublisher } from '../support/publishers.js';
import type { ScriptedMessage, ScriptedPosition } from '../support/scripted-log.js';
import { fakeStore } from '../support/stores.js';

keepsTheContract('ordered, without keys', { make: () => ordered({ by: 'key' }), nackGoesUp: true });
keepsTheContract('ordered, a key each', {
  make: () => ordered({ by: (delivery) => delivery.value }),
  nackGoesUp: true,
});

/** a, b, c have the key x; d, e, f the key y; g, h none. */
const messages: Readonly<Record<string, ScriptedMessage>> = Object.fromEntries(
  [...'abcdefgh'].map((name) => [name, { key: 'abc'.includes(name) ? 'x' : 'def'.includes(name) ? 'y' : null }]),
);

type Text = Delivery<string, ScriptedPosition>;

const takes =
  (ms: number) =>
  (value: string): Observable<string> =>
    timer(ms).pipe(map(() => value));

describe('ordered', () => {
  it('lets one unsettled delivery of a key pass, and others go on', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -(abd)----|', { messages });
      const started = '          -(ad)b-----';
      const expected = '         -----(ad)b|';
      const starts = new Subject<string>();
      const work = (value: string) => (starts.next(value), takes(4)(value));
      expectObservable(starts).toBe(started);
      expectObservable(source.texts.pipe(ordered({ by: 'key' }), handle(work, { concurrency: 8 }), ackEach())).toBe(
        expected,
      );
    }));

  it('lets nobody choose keys that wait for another: those whose lowest hash bits are the same go on by themselves', () =>
    marbles(({ log, drive, advanceTo }) => {
      const victim = 'tenant-A/account-1';
      const evil: string[] = [];
      // The lanes of before: 32 for each of 1,000 credits.
      const lane = hashOf(victim) & 0x7fff;
      for (let at = 0; evil.length < 20; at++) {
        if ((hashOf(`tenant-EVIL/${at}`) & 0x7fff) === lane) evil.push(`tenant-EVIL/${at}`);
      }
      const source = log('', { maxInFlight: 1_000 });
      const out = drive(source.texts.pipe(ordered({ by: 'key' })));
      for (const key of [...evil, victim]) source.publish(key, { key });
      advanceTo(1);
      expect(out.values.map(({ value }) => value)).toEqual([...evil, victim]);
    }));

  it('does not order what has no key', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(gahb)', { messages });
      const out = drive(source.texts.pipe(ordered({ by: 'key' })));
      advanceTo(5);
      expect(out.values.map(({ value }) => value).join('')).toBe('gah');
      for (const delivery of [...out.values]) delivery.ack();
      expect(out.values.map(({ value }) => value).join('')).toBe('gahb');
      out.values[3]?.ack();
    }));

  it("lets one delivery of a partition pass with by: 'partition'", () =>
    marbles(({ log, drive, advanceTo }) => {
      const inTwo = { a: { partition: 0 }, b: { partition: 0 }, c: { partition: 1 }, d: { partition: 1 } };
      const source = log('(abcd)', { messages: inTwo, partitions: 2 });
      const out = drive(
        source.texts.pipe(ordered({ by: 'partition' }), handle(takes(4), { concurrency: 8 }), ackEach()),
      );
      advanceTo(5);
      expect(out.values.join('')).toBe('ac');
      advanceTo(10);
      expect(out.values.join('')).toBe('acbd');
    }));

  it('orders by a function of the delivery: text, bytes and numbers are keys, null and undefined are none', () =>
    marbles(({ log, drive, advanceTo }) => {
      const keys: OrderingKey[] = [
        'x',
        'x',
        Uint8Array.of(0, 255),
        Uint8Array.of(0, 255),
        7,
        7,
        null,
        null,
        undefined,
        undefined,
      ];
      const source = log();
      source.fill(keys.length);
      const out = drive(source.texts.pipe(ordered({ by: ({ value }) => keys[Number(value)] })));
      advanceTo(1);
      expect(out.values.map(({ value }) => value)).toEqual(['0', '2', '4', '6', '7', '8', '9']);
      for (const delivery of out.values.splice(0)) delivery.ack();
      expect(out.values.map(({ value }) => value)).toEqual(['1', '3', '5']);
      for (const delivery of out.values) delivery.ack();
    }));

  it('tells binary keys apart that are not text, and keeps each in order', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      source.fill(40, (index) => ({ key: Uint8Array.of(255, index % 4, 0, 128) }));
      const out = drive(source.texts.pipe(ordered({ by: 'key' }), handle(takes(2), { concurrency: 8 }), ackEach()));
      advanceTo(3);
      expect(out.values).toEqual(['0', '1', '2', '3']);
      advanceTo(30);
      for (const remainder of [0, 1, 2, 3]) {
        const its = out.values.map(Number).filter((value) => value % 4 === remainder);
        expect(its).toEqual(Array.from({ length: 10 }, (_, index) => index * 4 + remainder));
      }
    }));

  it('does not tie keys of two partitions together', () =>
    marbles(({ log, drive, advanceTo }) => {
      const both = { a: { key: 'x', partition: 0 }, b: { key: 'x', partition: 1 } };
      const source = log('(ab)', { messages: both, partitions: 2 });
      const out = drive(source.texts.pipe(ordered({ by: 'key' })));
      advanceTo(1);
      expect(out.values.map(({ value }) => value)).toEqual(['a', 'b']);
      for (const delivery of out.values) delivery.ack();
    }));

  it('goes first in, first out within a key, however it settles', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 32 });
      source.fill(600, (index) => ({ key: `k${index % 7}` }));
      source.end();
      const done: number[] = [];
      const work = (value: string) => takes((Number(value) * 13) % 11)(value);
      const out = drive(source.texts.pipe(ordered({ by: 'key' }), handle(work, { concurrency: 16 }), ackEach()));
      advanceTo(5_000);
      done.push(...out.values.map(Number));
      expect(done).toHaveLength(600);
      for (let key = 0; key < 7; key++) {
        const its = done.filter((value) => value % 7 === key);
        expect(its).toEqual([...its].sort((a, b) => a - b));
      }
      expect(out.completed).toBe(true);
    }));

  it('loses no key to a shared lane, with many more keys than lanes', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 2 });
      source.fill(3_000, (index) => ({ key: `key ${index}` }));
      source.end();
      const out = drive(source.texts.pipe(ordered({ by: 'key' }), handle(takes(1), { concurrency: 2 }), ackEach()));
      advanceTo(10_000);
      expect(new Set(out.values).size).toBe(3_000);
      expect(out.completed).toBe(true);
    }));

  it('takes an ack inside next for thousands of one key', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 64 });
      source.fill(20_000, () => ({ key: 'x' }));
      source.end();
      const out = drive(source.texts.pipe(ordered({ by: 'key' }), ackEach()));
      advanceTo(1);
      expect(out.values.map(Number)).toEqual(Array.from({ length: 20_000 }, (_, index) => index));
      expect(out.completed).toBe(true);
    }));

  describe('through failures', () => {
    it('keeps a key in order through the retries of retryToDlq below', () =>
      marbles(({ log, expectObservable }) => {
        const source = log('       (abd)---------|', { messages });
        const started = '          (ad)-a----(ab)-';
        const expected = '         d---------(ab)|';
        const starts = new Subject<string>();
        const work = (value: string, { attempt }: Delivery<string>): string => {
          starts.next(value);
          if (value === 'a' && attempt < 3) throw new Error('no');
          return value;
        };
        const deadLetters = fakePublisher();
        expectObservable(starts).toBe(started);
        expectObservable(
          source.texts.pipe(
            ordered({ by: 'key' }),
            retryToDlq({ deadLetters, backoff: constant(5) }),
            handle(work, { concurrency: 8 }),
            ackEach(),
          ),
        ).toBe(expected);
      }));

    it('keeps a key in order through its dead letter, however long that takes', () =>
      marbles(({ log, expectObservable, flush }) => {
        const source = log('     (abd)--------|', { messages });
        const expected = '       d------b-----|';
        const deadLettered = '   -------a';
        const deadLetters = fakePublisher(after(5));
        const work = (value: string): string => {
          if (value === 'a') throw new Error('no');
          return value;
        };
        expectObservable(
          source.texts.pipe(
            ordered({ by: 'key' }),
            retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(2) }),
            handle(work, { concurrency: 8 }),
            ackEach(),
          ),
        ).toBe(expected);
        expectObservable(source.deadLettered).toBe(deadLettered);
        flush();
        expect(deadLetters.published).toHaveLength(1);
      }));

    it('keeps a key in order through a nack that goes to the source', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcd)', { messages, redelivery: constant(20) });
        const started: string[] = [];
        const work = (value: string, { attempt }: Delivery<string>) => {
          started.push(`${value}${attempt}`);
          if (value === 'a' && attempt < 3) throw new Error('no');
          return takes(1)(value);
        };
        const out = drive(source.texts.pipe(ordered({ by: 'key' }), handle(work, { concurrency: 8 }), ackEach()));
        advanceTo(19);
        expect(started).toEqual(['a1', 'd1']);
        advanceTo(60);
        expect(started).toEqual(['a1', 'd1', 'a2', 'a3', 'b1', 'c1']);
        expect(out.values.join('')).toBe('dabc');
        expect(source.committed()).toBe(4);
      }));

    it('keeps a key in order where the nack came from above the handler: an operator in between', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { messages, redelivery: constant(5) });
        const seen: string[] = [];
        drive(source.texts.pipe(ordered({ by: 'key' })), (delivery) => {
          seen.push(`${delivery.value}${delivery.attempt}`);
          if (delivery.attempt === 1) delivery.nack('first time');
          else delivery.ack();
        });
        advanceTo(100);
        expect(seen).toEqual(['a1', 'a2', 'b1', 'b2', 'c1', 'c2']);
      }));

    it('keeps a key in order where work is cancelled and released', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)--d', { messages, redelivery: constant(10) });
        const started: string[] = [];
        const work = (delivery: Delivery<string>) =>
          settling(delivery, (value) => (started.push(value), takes(6)(value)));
        // d comes in while a runs, and cancels it.
        const out = drive(source.texts.pipe(ordered({ by: 'key' }), switchMap(work), ackEach()));
        advanceTo(100);
        expect(started).toEqual(['a', 'd', 'a', 'b']);
        expect(out.values.join('')).toBe('dab');
      }));

    it('gives the key to the next where what was nacked is settled above it and does not come back', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { messages });
        const deadLetters = fakePublisher(after(5));
        const out = drive(source.texts.pipe(retryToDlq({ deadLetters, maxRetries: 0 }), ordered({ by: 'key' })));
        advanceTo(1);
        out.values[0]?.nack('given up');
        advanceTo(5);
        expect(out.values.map(({ value }) => value)).toEqual(['a']);
        advanceTo(6);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(out.values.map(({ value }) => value)).toEqual(['a', 'b']);
        out.values[1]?.ack();
      }));

    it.each<[string, boolean]>([
      ['the source', false],
      ['retryToDlq above', true],
    ])('below fanOut keeps a key in order through the failure of one copy, answered by %s', (_, retried) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abd)', { messages, redelivery: constant(5) });
        const retry = retryToDlq({ deadLetters: fakePublisher(), backoff: constant(5) });
        const to = (where: string): ((texts: Observable<Text>) => Observable<Text>) =>
          mapValue((value: string) => `${value}${where}`);
        const started: string[] = [];
        let failed = false;
        const work = (value: string): string | Observable<string> => {
          started.push(value);
          if (value !== 'a1' || failed) return takes(1)(value);
          failed = true;
          throw new Error('once');
        };
        drive(
          (retried ? source.texts.pipe(retry) : source.texts).pipe(
            fanOut<Text, Text, Text>(to('1'), to('2')),
            ordered({ by: 'key' }),
            handle(work, { concurrency: 8 }),
            ackEach(),
          ),
        );
        advanceTo(100);
        // The second copy of a ends before both come again; b waits until a is settled.
        expect(started.filter((value) => !value.startsWith('d'))).toEqual(['a1', 'a2', 'a1', 'a2', 'b1', 'b2']);
        expect([...source.settled('done')].sort()).toEqual(['a', 'b', 'd']);
      }),
    );

    it('below fanOut lets an older message have a lane that waits for a younger one, which waits for it in another lane', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { redelivery: constant(10) });
        // The copies of b have the lanes of the copies of a, in the other order.
        const lanes: Readonly<Record<string, string>> = { a1: 'x', a2: 'y', b1: 'y', b2: 'x' };
        const to = (where: string): ((texts: Observable<Text>) => Observable<Text>) =>
          mapValue((value: string) => `${value}${where}`);
        const failures = new Set(['a1', 'b1']);
        const work = (value: string): string => {
          if (failures.delete(value)) throw new Error('once');
          return value;
        };
        const out = drive(
          source.texts.pipe(
            fanOut<Text, Text, Text>(to('1'), to('2')),
            ordered({ by: ({ value }) => lanes[value] }),
            handle(work),
            ackEach(),
          ),
        );
        advanceTo(200);
        expect(source.settled('done')).toEqual(['a', 'b']);
        expect(out.values.slice(-2).sort()).toEqual(['b1', 'b2']);
      }));

    it('below retryToDlq below fanOut: a copy that becomes a dead letter leaves the lane to the other one', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { messages });
        const to = (where: string): ((texts: Observable<Text>) => Observable<Text>) =>
          mapValue((value: string) => `${value}${where}`);
        const started: string[] = [];
        const work = (value: string): Observable<string> => {
          started.push(value);
          return value.startsWith('a')
            ? timer(1).pipe(mergeMap(() => throwError(() => new Error('always'))))
            : takes(1)(value);
        };
        drive(
          source.texts.pipe(
            fanOut<Text, Text, Text>(to('1'), to('2')),
            retryToDlq({ deadLetters: fakePublisher(), maxRetries: 1, backoff: constant(5) }),
            ordered({ by: 'key' }),
            handle(work, { concurrency: 8 }),
            ackEach(),
          ),
        );
        advanceTo(200);
        // b waits for both copies of a.
        expect(started.slice(4)).toEqual(['b1', 'b2']);
        expect(started.slice(0, 4).sort()).toEqual(['a1', 'a1', 'a2', 'a2']);
        expect(source.settled('dead-lettered')).toEqual(['a']);
        expect(source.settled('done')).toEqual(['b']);
      }));

    it('below retryToDlq in an outage: what waits behind a key is no probe', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)--(d)', { messages });
        const started: string[] = [];
        let out = true;
        const work = (value: string): string => {
          started.push(value);
          if (out) throw unavailable('out');
          return value;
        };
        drive(
          source.texts.pipe(
            retryToDlq({ deadLetters: fakePublisher() }),
            ordered({ by: 'key' }),
            handle(work, { concurrency: 4 }),
            ackEach(),
          ),
        );
        advanceTo(2_000);
        expect(source.settled()).toEqual([]);
        // b and c, sent as probes, would never end: others are sent, and no wait grows by them.
        expect(new Set(started)).toEqual(new Set(['a', 'd']));
        expect(started.length).toBeGreaterThan(3);
        out = false;
        advanceTo(15_000);
        expect([...source.settled('done')].sort()).toEqual(['a', 'b', 'c', 'd']);
        expect(started.filter((value) => value !== 'd').slice(-3)).toEqual(['a', 'b', 'c']);
      }));

    it('below dedupe: a message waits for the claim of its repeat, not that for its key', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)-(c)', { messages, redelivery: constant(50) });
        const store = fakeStore();
        let failed = false;
        const started: string[] = [];
        const work = (value: string): string => {
          started.push(value);
          if (failed) return value;
          failed = true;
          throw new Error('once');
        };
        drive(
          source.texts.pipe(
            dedupe({ key: (value) => (value === 'b' ? 'a' : value), store }),
            ordered({ by: 'key' }),
            handle(work),
            ackEach(),
          ),
        );
        advanceTo(1_000);
        // a fails; its repeat b claims the key meanwhile, and runs in its place.
        expect(started).toEqual(['a', 'b', 'c']);
        expect([...source.settled('done')].sort()).toEqual(['b', 'c']);
        expect(source.settled('skipped')).toEqual(['a']);
      }));

    it('nacks what has no valid key, and what a key function threw', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { redelivery: constant(1_000) });
        const failure = permanent(new Error('no key'));
        const by = ({ value }: Delivery<string>): OrderingKey => {
          if (value === 'a') throw failure;
          if (value === 'b') return untyped({});
          return value;
        };
        const out = drive(source.texts.pipe(ordered({ by }), ackEach()));
        advanceTo(10);
        expect(out.values).toEqual(['c']);
        expect(out.error).toBeUndefined();
        expect(source.eventsOf('retried').map(({ event }) => [event.failure, event.reason])).toEqual([
          ['permanent', failure],
          ['permanent', expect.objectContaining({ code: 'invalid-key' })],
        ]);
      }));
  });

  describe('within its bounds', () => {
    it('holds what waits within credit', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 5 });
        source.fill(50, () => ({ key: 'x' }));
        const out = drive(source.texts.pipe(ordered({ by: 'key' })));
        advanceTo(10);
        expect(out.values).toHaveLength(1);
        expect(source.session.inFlight).toBe(5);
        expect(source.eventsOf('received')).toHaveLength(5);
      }));

    it('lets a hot key of one partition block no more than three quarters of its share', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 16, partitions: 2 });
        source.fill(200, (index) =>
          index < 100 ? { key: 'hot', partition: 0 } : { key: `cold ${index}`, partition: 1 },
        );
        const out = drive(source.texts.pipe(ordered({ by: 'key' }), handle(takes(10), { concurrency: 16 }), ackEach()));
        advanceTo(1);
        // ¾ × 16 / 2 = 6 blocked, one running: the other partition has the other 9.
        const received = source.eventsOf('received').map(({ event }) => event.message.partition);
        expect(received.filter((partition) => partition === 0)).toHaveLength(7);
        advanceTo(150);
        expect(out.values.filter((value) => Number(value) >= 100)).toHaveLength(100);
      }));

    it('is quiet for a gathering operator below while all else waits behind its keys', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 8 });
        source.fill(20, (index) => ({ key: `k${index % 2}` }));
        source.end();
        const sizes: number[] = [];
        const out = drive(source.texts.pipe(ordered({ by: 'key' }), gather(100, 60_000, sizes), ackEach()));
        advanceTo(10);
        expect(out.values).toHaveLength(20);
        expect(out.completed).toBe(true);
        // Never more than one of each key.
        expect(Math.max(...sizes)).toBe(2);
      }));
  });

  describe('when the delivery stops being ours', () => {
    it('lets what waits go on a revoke, and hands back once the started one is settled', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { messages });
        const started: string[] = [];
        const out = drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            handle((value) => (started.push(value), takes(5)(value))),
            ackEach(),
          ),
        );
        advanceTo(2);
        source.revoke();
        advanceTo(20);
        expect(started).toEqual(['a']);
        expect(out.values).toEqual(['a']);
        expect(source.committed()).toBe(1);
        expect(source.eventsOf('revoked').map(({ at, event }) => [at, event.drained])).toEqual([[5, true]]);
        source.assign();
        advanceTo(40);
        expect(out.values.join('')).toBe('abc');
      }));

    it('does not make a new owner wait for what a lost epoch still runs', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { messages });
        const out = drive(source.texts.pipe(ordered({ by: 'key' })));
        advanceTo(1);
        source.lose();
        source.assign();
        advanceTo(2);
        expect(out.values.map(({ value }) => value)).toEqual(['a', 'a']);
        out.values[0]?.ack();
        advanceTo(3);
        expect(out.values).toHaveLength(2);
        out.values[1]?.ack();
        expect(out.values.map(({ value }) => value)).toEqual(['a', 'a', 'b']);
        out.values[2]?.ack();
      }));

    it('starts nothing by an abandon on unsubscribe', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { messages });
        const started: string[] = [];
        const work = (value: string) => (started.push(value), takes(5)(value));
        const out = drive(
          source.texts.pipe(
            ordered({ by: 'key' }),
            mergeMap((d) => settling(d, work)),
            ackEach(),
          ),
        );
        advanceTo(2);
        out.unsubscribe();
        advanceTo(20);
        expect(started).toEqual(['a']);
        expect(source.isOpen).toBe(false);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0 });
      }));
  });

  it('says once that it stands below retryToDlq, where order would break', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { messages });
      const deadLetters = fakePublisher();
      drive(source.texts.pipe(retryToDlq({ deadLetters }), ordered({ by: 'key' }), ackEach()));
      advanceTo(5);
      expect(source.eventsOf('misuse').map(({ event }) => event.code)).toEqual(['ordered-below-retry']);
    }));

  it.each<[string, OperatorFunction<Text, Text>]>([
    ['retryToDlq', retryToDlq({ deadLetters: fakePublisher() })],
    ['fanOut', fanOut<Text, Text>((each) => each)],
  ])('says that two of them below %s may wait for each other for good', (name, above) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { messages });
      const byValue = ordered<string, ScriptedPosition>({ by: ({ value }) => value });
      drive(source.texts.pipe(above, ordered({ by: 'key' }), byValue, ackEach()));
      advanceTo(5);
      const codes = source.eventsOf('misuse').map(({ event }) => event.code);
      expect(codes.filter((code) => code === 'ordered-below-ordered')).toHaveLength(1);
      expect(codes.filter((code) => code === 'ordered-below-retry')).toHaveLength(name === 'retryToDlq' ? 2 : 0);
    }),
  );

  it('says nothing of two where retryToDlq stands between them, or neither it nor fanOut above', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { messages });
      const byValue = ordered<string, ScriptedPosition>({ by: ({ value }) => value });
      const deadLetters = fakePublisher();
      drive(
        source.texts.pipe(
          ordered({ by: 'key' }),
          byValue,
          retryToDlq({ deadLetters }),
          ordered({ by: 'key' }),
          ackEach(),
        ),
      );
      advanceTo(5);
      expect(source.eventsOf('misuse').map(({ event }) => event.code)).toEqual(['ordered-below-retry']);
    }));

  it('says nothing where it stands above retryToDlq', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abc)', { messages });
      drive(source.texts.pipe(ordered({ by: 'key' }), retryToDlq({ deadLetters: fakePublisher() }), ackEach()));
      advanceTo(5);
      expect(source.settled('done')).toHaveLength(3);
      expect(source.eventsOf('misuse')).toEqual([]);
    }));

  it('refuses options that are not allowed, and says which, what was given and what is allowed', () => {
    expect(refusal(() => ordered({ by: untyped('topic') }))).toBe(
      "ordered: by must be 'key', 'partition' or a function, not 'topic'.",
    );
    expect(refusal(() => ordered(untyped({})))).toContain('ordered: by must be');
    expect(refusal(() => ordered(untyped({ by: 'key', key: 'x' })))).toBe(
      'ordered: there is no option key; there are by.',
    );
  });
});
