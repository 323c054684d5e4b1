import { describe, expect, it } from '@jest/globals';
import { map, take, timer, type Observable } from 'rxjs';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { constant } from '../../lib/core/backoff.js';
import { unavailable } from '../../lib/core/failures.js';
import { publish } from '../../lib/core/publish.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { batch } from '../../lib/operators/batch.js';
import { decode } from '../../lib/operators/decode.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { handle } from '../../lib/operators/handle.js';
import { ordered } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { split } from '../../lib/operators/split.js';
import { text } from '../../lib/operators/text.js';
import { marbles } from '../support/marbles.js';
import { after, fakePublisher, neverAnswers, refuses } from '../support/publishers.js';
import { fakeStore, storeAnswersAfter, storeNeverAnswers } from '../support/stores.js';

const NEVER_MS = 200_000;
const NO = new Error('no');

const takes =
  (ms: number) =>
  (value: string): Observable<string> =>
    timer(ms).pipe(map(() => value));

/** Fails the first `times` attempts at `a`. */
const failsOnA =
  (times: number, error: unknown = NO) =>
  (value: string, { attempt }: { readonly attempt: number }): string => {
    if (value === 'a' && attempt <= times) throw error;
    return value;
  };

describe('below take(n), an operator ends what it was given before it completes', () => {
  it('dedupe: those whose claim is not answered yet', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      const store = fakeStore({ claim: storeAnswersAfter(3) });
      const byName = dedupe({ key: (value: string) => value, store });
      const out = drive(source.texts.pipe(take(3), byName, handle(takes(2)), ackEach()));
      advanceTo(50);
      expect([out.values, out.completed]).toEqual([['a', 'b', 'c'], true]);
      expect(source.committed()).toBe(3);
      expect(source.isOpen).toBe(false);
      expect([...store.held]).toEqual([]);
    }));

  it('dedupe: one that waits for the claim of another', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(aab)');
      const byName = dedupe({ key: (value: string) => value, store: fakeStore() });
      const out = drive(source.texts.pipe(take(2), byName, handle(takes(2)), ackEach()));
      advanceTo(50);
      expect([out.values, out.completed]).toEqual([['a'], true]);
      expect(source.settled('skipped')).toEqual(['a']);
    }));

  it('ordered: those that wait behind a key', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      const out = drive(source.texts.pipe(take(3), ordered({ by: 'partition' }), handle(takes(2)), ackEach()));
      advanceTo(50);
      expect([out.values, out.completed]).toEqual([['a', 'b', 'c'], true]);
      expect(source.committed()).toBe(3);
    }));

  it.each([
    ['in the same moment', failsOnA(9)],
    ['later', (): Observable<string> => timer(2).pipe(map(() => failsOnA(9)('a', { attempt: 1 })))],
  ])('ordered: none that waits behind one that failed %s: that comes again, and first', (_, fn) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      const out = drive(source.texts.pipe(take(3), ordered({ by: 'partition' }), handle(fn), ackEach()));
      advanceTo(5);
      expect([out.values, out.completed]).toEqual([[], true]);
      expect(source.isOpen).toBe(false);
      expect(source.committed()).toBe(0);
    }),
  );

  it('retryToDlq: those that are to be tried again', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      const retries = retryToDlq({ deadLetters: fakePublisher(), backoff: constant(10) });
      const out = drive(source.texts.pipe(take(3), retries, handle(failsOnA(2)), ackEach()));
      advanceTo(19);
      expect([out.values, out.completed]).toEqual([['b', 'c'], false]);
      advanceTo(21);
      expect([out.values, out.completed]).toEqual([['b', 'c', 'a'], true]);
      expect(source.committed()).toBe(3);
    }));

  it('retryToDlq: those that wait for an outage to end', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      const retries = retryToDlq({ deadLetters: fakePublisher() });
      let calls = 0;
      const isOut = (value: string): string => {
        if (++calls < 4) throw unavailable('no');
        return value;
      };
      const out = drive(source.texts.pipe(take(3), retries, handle(isOut), ackEach()));
      advanceTo(2_000);
      expect([out.values.sort(), out.completed]).toEqual([['a', 'b', 'c'], true]);
      expect(source.committed()).toBe(3);
    }));

  it('retryToDlq: dead letters, those of a batch too', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)');
      const publisher = fakePublisher(after(5));
      const retries = retryToDlq({ deadLetters: publisher, maxRetries: 0 });
      const fails = handle((): string => {
        throw NO;
      });
      const out = drive(source.texts.pipe(take(3), batch({ maxSize: 2, maxWaitMs: 10 }), retries, fails, ackEach()));
      advanceTo(4);
      expect(out.completed).toBe(false);
      advanceTo(20);
      expect(out.completed).toBe(true);
      expect(publisher.published).toHaveLength(3);
      expect(source.settled('dead-lettered')).toEqual(['a', 'b', 'c']);
    }));

  it.each([
    ['is refused for good', refuses],
    ['is never answered', neverAnswers],
  ])('retryToDlq: for no longer than the drain where a dead letter %s', (_, answer) =>
    marbles(({ log, drive, advanceTo, scheduler }) => {
      const source = log('(ab)', { drainTimeoutMs: 50 });
      const publisher = fakePublisher(answer);
      const retries = retryToDlq({ deadLetters: publisher, maxRetries: 0 });
      const out = drive(source.texts.pipe(take(1), retries, handle(failsOnA(9)), ackEach()));
      advanceTo(49);
      expect(out.completed).toBe(false);
      advanceTo(51);
      expect([out.values, out.completed]).toEqual([[], true]);
      expect([source.isOpen, publisher.open, publisher.pending]).toEqual([false, 0, 0]);
      expect(scheduler.actions).toHaveLength(0);
    }),
  );

  it('dedupe: for no longer than the drain where its store does not answer', () =>
    marbles(({ log, drive, advanceTo, scheduler }) => {
      const source = log('(ab)', { drainTimeoutMs: 50 });
      const store = fakeStore({ claim: storeNeverAnswers });
      const out = drive(source.texts.pipe(take(1), dedupe({ key: (value) => value, store }), ackEach()));
      advanceTo(51);
      expect([out.values, out.completed]).toEqual([[], true]);
      expect([source.isOpen, store.pending]).toEqual([false, 0]);
      expect(scheduler.actions).toHaveLength(0);
    }));

  it('retryToDlq: not for those of a partition that is lost meanwhile', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)', { drainTimeoutMs: 1_000 });
      const retries = retryToDlq({ deadLetters: fakePublisher(), backoff: constant(100) });
      const out = drive(source.texts.pipe(take(1), retries, handle(failsOnA(9)), ackEach()));
      advanceTo(5);
      source.lose();
      advanceTo(6);
      expect(out.completed).toBe(true);
      expect(source.isOpen).toBe(false);
    }));

  it('all of them together, in order and through a retry, and a batch below them goes on quiet', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcdefgh)');
      const store = fakeStore({ claim: storeAnswersAfter(3) });
      const out = drive(
        source.texts.pipe(
          take(6),
          ordered({ by: 'partition' }),
          retryToDlq({ deadLetters: fakePublisher(), backoff: constant(7) }),
          dedupe({ key: (value) => value, store }),
          split((value) => [value, value]),
          batch({ maxSize: 10, maxWaitMs: NEVER_MS }),
          handle((values, { attempt }) => {
            if (values[0] === 'b' && attempt === 1) throw NO;
            return values[0] as string;
          }),
          ackEach(),
        ),
      );
      advanceTo(1_000);
      expect([out.values, out.completed]).toEqual([['a', 'b', 'c', 'd', 'e', 'f'], true]);
      expect(source.committed()).toBe(6);
      expect(source.isOpen).toBe(false);
    }));

  it('and so makes progress over repeated subscriptions of one group', () =>
    marbles(({ drive, advanceTo, now }) => {
      const broker = memoryBroker({ topics: { orders: { partitions: 2 } } });
      const messages = Array.from({ length: 30 }, (_, index) => ({ value: String(index) }));
      publish(memoryPublisher(broker, { topic: 'orders' }), messages).subscribe();
      const store = fakeStore({ claim: storeAnswersAfter(5), confirm: storeAnswersAfter(5) });
      const seen: string[] = [];
      for (let round = 0; round < 3; round++) {
        const out = drive(
          fromMemory(broker, { groupId: 'g', topics: ['orders'] }).pipe(
            take(10),
            decode(text()),
            dedupe({ key: String, store }),
            handle((value) => takes(3)(String(value)), { concurrency: 4 }),
            ackEach(),
          ),
        );
        advanceTo(now() + 100);
        expect(out.completed).toBe(true);
        seen.push(...out.values);
      }
      expect(new Set(seen).size).toBe(30);
      expect(seen).toHaveLength(30);
    }));
});
