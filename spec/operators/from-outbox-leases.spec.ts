import { describe, expect, it } from '@jest/globals';
import { defer, delay, from, NEVER, Observable, tap, throwError, timer } from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import { unavailable } from '../../lib/core/failures.js';
import type { OutboxMessage } from '../../lib/core/outbox-message.js';
import type { OutboxStore } from '../../lib/core/outbox-store.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { fromOutbox } from '../../lib/operators/from-outbox.js';
import { handle } from '../../lib/operators/handle.js';
import { memoryOutboxStore, type MemoryOutboxStore } from '../../lib/stores/memory/memory-outbox-store.js';
import { marbles } from '../support/marbles.js';
import { fakeRows, ROWS_OUTAGE } from '../support/outbox-rows.js';

const nameOf = (message: OutboxMessage): string => new TextDecoder().decode(message.value as Uint8Array);

function stored(messages: readonly OutboxMessage[]): MemoryOutboxStore {
  const store = memoryOutboxStore();
  store.transaction('spec').subscribe((transaction) => {
    from(transaction.commit({ messages, forget: [] })).subscribe();
  });
  return store;
}

describe('fromOutbox and its attempts', () => {
  it('does not count that a message waited behind others that failed', () =>
    marbles(({ drive, advanceTo }) => {
      const names = [0, 1, 2, 3, 4, 5, 6].map((n) => `a${n}`);
      const store = stored(names.map((value) => ({ topic: 'out', key: 'a', value })));
      const attempts: Record<string, number[]> = {};
      const failsOnce = (message: OutboxMessage, { attempt }: Delivery<OutboxMessage>): void => {
        const its = (attempts[nameOf(message)] ??= []);
        its.push(attempt);
        if (its.length === 1) throw new Error('no');
      };
      drive(fromOutbox(store, { maxAttempts: 3 }).pipe(handle(failsOnce), ackEach()));
      advanceTo(60_000);
      expect(attempts).toEqual(Object.fromEntries(names.map((name) => [name, [1, 2]])));
      expect(store.messages()).toEqual([]);
    }));

  it('counts no outage: it buries nothing, and waits longer each time', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1');
      const attempts: number[] = [];
      const work = (_: OutboxMessage, { attempt }: Delivery<OutboxMessage>): void => {
        attempts.push(attempt);
        throw unavailable(new Error('out'));
      };
      drive(fromOutbox(rows, { maxAttempts: 3 }).pipe(handle(work), ackEach()));
      advanceTo(600_000);
      expect(rows.in('dead')).toEqual([]);
      expect(new Set(attempts)).toEqual(new Set([1]));
      expect(attempts.length).toBeGreaterThan(10);
      expect(attempts.length).toBeLessThan(200);
    }));
});

describe('fromOutbox and its leases', () => {
  it('gives back what a claim gives that was under way at its end, before it reports closed', () =>
    marbles(({ drive, advanceTo, at }) => {
      const rows = fakeRows();
      rows.put('a1', 'b1');
      // Done at once, told later.
      const store: OutboxStore = { ...rows, claim: (claim) => from(rows.claim(claim)).pipe(delay(50)) };
      let leasedAtClose: string[] | null = null;
      const source = fromOutbox(store, {
        telemetry: ({ type }) => {
          if (type === 'closed') leasedAtClose = rows.leased();
        },
      });
      const out = drive(
        source.pipe(
          handle(() => null),
          ackEach(),
        ),
      );
      at(20, () => {
        expect(rows.leased()).toEqual(['a1', 'b1']);
        out.unsubscribe();
      });
      advanceTo(1_000);
      expect(leasedAtClose).toEqual([]);
    }));

  it('begins nothing that waited for credit until its lease was over', () =>
    marbles(({ drive, advanceTo, at }) => {
      const rows = fakeRows();
      rows.put('a1', 'b1', 'c1', 'd1');
      const begun: string[] = [];
      const fails = (message: OutboxMessage): Observable<never> => {
        begun.push(nameOf(message));
        return timer(5_000).pipe(
          tap(() => {
            throw new Error('no');
          }),
        ) as Observable<never>;
      };
      drive(fromOutbox(rows, { leaseMs: 3_000, maxInFlight: 2 }).pipe(handle(fails, { concurrency: 100 }), ackEach()));
      at(500, () => (rows.out = true));
      at(4_500, () => ['c1', 'd1'].forEach(rows.steal));
      advanceTo(20_000);
      expect(new Set(begun)).toEqual(new Set(['a1', 'b1']));
    }));

  it('publishes a message no second time where it claims it anew itself, and goes on behind it', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1', 'a2', 'a3');
      const store: OutboxStore = { ...rows, renew: () => throwError(() => ROWS_OUTAGE) };
      const begun: string[] = [];
      const work = (message: OutboxMessage): Observable<unknown> => {
        begun.push(nameOf(message));
        return timer(begun.length === 1 ? 4_000 : 10);
      };
      drive(fromOutbox(store, { leaseMs: 3_000 }).pipe(handle(work), ackEach()));
      advanceTo(4_500);
      expect(begun).toEqual(['a1', 'a2', 'a3']);
      expect(rows.in('published')).toEqual(['a1', 'a2', 'a3']);
    }));

  it('claims nothing while what is published cannot be marked: it would be published again', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1');
      let marksAreOut = true;
      const store: OutboxStore = {
        ...rows,
        renew: () => throwError(() => ROWS_OUTAGE),
        published: (leases) => (marksAreOut ? throwError(() => ROWS_OUTAGE) : rows.published(leases)),
      };
      const begun: string[] = [];
      drive(
        fromOutbox(store, { leaseMs: 1_000 }).pipe(
          handle((message: OutboxMessage) => void begun.push(nameOf(message))),
          ackEach(),
        ),
      );
      advanceTo(10_000);
      expect(begun).toEqual(['a1']);
      marksAreOut = false;
      rows.put('b1');
      advanceTo(20_000);
      expect(begun).toEqual(['a1', 'b1']);
      expect(rows.in('published')).toEqual(['a1', 'b1']);
    }));

  it('renews by one call at a time, however long the store takes', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1');
      let [renewing, most] = [0, 0];
      const neverEnds = new Observable<never>(() => {
        most = Math.max(most, ++renewing);
        return () => renewing--;
      });
      const work = (): Observable<never> => NEVER;
      drive(fromOutbox({ ...rows, renew: () => neverEnds }, { leaseMs: 3_000 }).pipe(handle(work), ackEach()));
      advanceTo(30_000);
      expect(most).toBe(1);
    }));
});

describe('fromOutbox and its memory', () => {
  it('holds no more than maxBufferedBytes behind keys that are stuck (I3)', () =>
    marbles(({ drive, advanceTo }) => {
      const [size, bound, keys] = [100_000, 1_000_000, 10];
      const value = new Uint8Array(size);
      const messages = Array.from({ length: 100 * keys }, (_, n) => ({
        topic: 'out',
        key: `k${Math.floor(n / 100)}`,
        value,
      }));
      const store = stored(messages);
      let [claimed, begun] = [0, 0];
      const counting: OutboxStore = {
        ...store,
        claim: (claim) => defer(() => store.claim(claim)).pipe(tap((rows) => void (claimed += rows.length))),
      };
      const sticks = (): Observable<never> => {
        begun++;
        return NEVER;
      };
      drive(fromOutbox(counting, { maxBufferedBytes: bound }).pipe(handle(sticks, { concurrency: 100 }), ackEach()));
      advanceTo(20_000);
      expect(begun).toBeGreaterThan(1);
      expect((claimed - begun) * size).toBeLessThanOrEqual(bound);
    }));
});
