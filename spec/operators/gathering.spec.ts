import { describe, expect, it } from '@jest/globals';
import { bufferCount, map, mergeMap, timer, type Observable } from 'rxjs';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { constant } from '../../lib/core/backoff.js';
import { publish } from '../../lib/core/publish.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { handle } from '../../lib/operators/handle.js';
import { ordered } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { gather } from '../support/gather.js';
import { marbles } from '../support/marbles.js';
import { fakePublisher } from '../support/publishers.js';
import { fakeStore, storeAnswersAfter } from '../support/stores.js';

// As long as never: what moves before it moved by quiet.
const NEVER_MS = 250_000;

const takes =
  (ms: number) =>
  <T>(value: T): Observable<T> =>
    timer(ms).pipe(map(() => value));

describe('an operator that gathers', () => {
  it('gathers as many as it asks for where the source may give them', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 1_000 });
      source.fill(250);
      const sizes: number[] = [];
      const out = drive(source.texts.pipe(gather(100, NEVER_MS, sizes), ackEach()));
      advanceTo(1_000);
      expect(sizes).toEqual([100, 100]);
      expect(out.values).toHaveLength(200);
    }));

  it('moves where it asks for 100 under 64 credits', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 64 });
      source.fill(640);
      const sizes: number[] = [];
      const out = drive(
        source.texts.pipe(gather(100, NEVER_MS, sizes), handle(takes(1), { concurrency: 64 }), ackEach()),
      );
      advanceTo(100);
      expect(out.values).toHaveLength(640);
      expect(sizes).toEqual(Array.from({ length: 10 }, () => 64));
      expect(source.committed()).toBe(640);
    }));

  it("completes with until: 'end', asking for 100 of 250", () =>
    marbles(({ drive, advanceTo }) => {
      const broker = memoryBroker({ topics: { orders: { partitions: 3 } } });
      const messages = Array.from({ length: 250 }, (_, index) => ({ value: String(index) }));
      publish(memoryPublisher(broker, { topic: 'orders' }), messages).subscribe();
      const sizes: number[] = [];
      const out = drive(
        fromMemory(broker, { groupId: 'g', topics: ['orders'], until: 'end' }).pipe(
          gather(100, NEVER_MS, sizes),
          handle(takes(5), { concurrency: 10 }),
          ackEach(),
        ),
      );
      advanceTo(1_000);
      expect(out.completed).toBe(true);
      expect(out.values).toHaveLength(250);
      expect(sizes).toEqual([100, 100, 50]);
      expect(broker.committed('g', 'orders').reduce((sum: number, next) => sum + (next ?? 0), 0)).toBe(250);
    }));

  it('completes at the end also through two of them, one below the other', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 32 });
      source.fill(250);
      source.end();
      const upper: number[] = [];
      const lower: number[] = [];
      const out = drive(source.texts.pipe(gather(20, NEVER_MS, upper), gather(70, NEVER_MS, lower), ackEach()));
      advanceTo(1_000);
      expect(out.completed).toBe(true);
      expect(out.values).toHaveLength(250);
      expect(lower.every((size) => size <= 32)).toBe(true);
    }));

  it('keeps gathering while something still runs below it', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 10 });
      source.fill(40);
      source.end();
      const sizes: number[] = [];
      const out = drive(
        source.texts.pipe(gather(8, NEVER_MS, sizes), handle(takes(10), { concurrency: 8 }), ackEach()),
      );
      advanceTo(1_000);
      expect(out.completed).toBe(true);
      // By waiting alone it would be let go in twos, the credits that eight running ones leave.
      expect(sizes).toEqual([8, 8, 8, 8, 8]);
    }));

  it('flushes what it has where all else is parked, behind a key or in a claim', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 12 });
      source.fill(120, (index) => ({ key: `k${index % 3}`, value: String(index % 60) }));
      source.end();
      const store = fakeStore({ claim: storeAnswersAfter(2), confirm: storeAnswersAfter(1) });
      const sizes: number[] = [];
      const failed = new Set<string>();
      const out = drive(
        source.texts.pipe(
          ordered({ by: 'key' }),
          retryToDlq({ deadLetters: fakePublisher(), backoff: constant(5) }),
          dedupe({ key: (value) => value, store }),
          gather(100, NEVER_MS, sizes),
          handle((value) => {
            if (failed.size < 10 && !failed.has(value)) {
              failed.add(value);
              throw new Error('once');
            }
            return value;
          }),
          ackEach(),
        ),
      );
      advanceTo(10_000);
      expect(out.completed).toBe(true);
      expect(out.values).toHaveLength(60);
      expect(source.settled('skipped')).toHaveLength(60);
      expect(Math.max(...sizes)).toBeLessThanOrEqual(3);
      expect(source.committed()).toBe(120);
    }));

  it('flushes what it has where what came after was settled on the way', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 4 });
      source.fill(100);
      source.end();
      const sizes: number[] = [];
      const out = drive(
        source.texts.pipe(
          filterValue((value) => Number(value) % 10 === 0),
          gather(100, NEVER_MS, sizes),
          ackEach(),
        ),
      );
      advanceTo(10);
      expect(out.completed).toBe(true);
      expect(out.values).toHaveLength(10);
      expect(sizes[0]).toBe(4);
    }));

  it('flushes when the source is stopped', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('abc');
      const sizes: number[] = [];
      const out = drive(source.texts.pipe(gather(100, NEVER_MS, sizes), ackEach()));
      advanceTo(50);
      expect(sizes).toEqual([]);
      source.stop();
      advanceTo(51);
      expect(sizes).toEqual([3]);
      expect(out.completed).toBe(true);
      expect(source.committed()).toBe(3);
    }));

  it('waits for its last resort where a foreign operator holds something, which counts as running', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 4 });
      source.fill(3);
      source.end();
      const sizes: number[] = [];
      drive(
        source.texts.pipe(
          mergeMap((delivery) => (delivery.value === '0' ? timer(500).pipe(map(() => delivery)) : [delivery])),
          gather(100, 200, sizes),
          ackEach(),
        ),
      );
      advanceTo(199);
      expect(sizes).toEqual([]);
      advanceTo(200);
      expect(sizes).toEqual([2]);
      advanceTo(500);
      expect(sizes).toEqual([2, 1]);
    }));

  it('has no such ear in plain bufferCount, which stands still', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 64 });
      source.fill(640);
      const out = drive(source.texts.pipe(bufferCount(100)));
      advanceTo(10_000);
      expect(out.values).toEqual([]);
      expect(source.session.inFlight).toBe(64);
    }));
});
