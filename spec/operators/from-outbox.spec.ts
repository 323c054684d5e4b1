import { describe, expect, it } from '@jest/globals';
import { defer, delay, mergeMap, NEVER, of, Subject, tap, throwError, type Observable } from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import { SluiceError } from '../../lib/core/errors.js';
import { permanent } from '../../lib/core/failures.js';
import type { OutboxMessage } from '../../lib/core/outbox-message.js';
import type { OutboxClaim } from '../../lib/core/outbox-store.js';
import type { TelemetryEvent } from '../../lib/core/telemetry.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { fromOutbox } from '../../lib/operators/from-outbox.js';
import { handle } from '../../lib/operators/handle.js';
import type { FromOutboxOptions } from '../../lib/operators/outbox-relay-options.js';
import { publishTo } from '../../lib/operators/publish-to.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { marbles } from '../support/marbles.js';
import { refusal, untyped } from '../support/options.js';
import { fakeRows, ROWS_OUTAGE, type FakeRows } from '../support/outbox-rows.js';
import { confirms, fakePublisher, inTurn, mishaps, refuses } from '../support/publishers.js';

const nameOf = (message: OutboxMessage): string => new TextDecoder().decode(message.value as Uint8Array);

/** A relay whose work takes some time, and what it began, in order. */
function relay(rows: FakeRows, workMs: number, options: FromOutboxOptions = {}) {
  const begun: string[] = [];
  const events: TelemetryEvent[] = [];
  const work = (message: OutboxMessage): Observable<string> => {
    begun.push(nameOf(message));
    return of(nameOf(message)).pipe(delay(workMs));
  };
  const source = fromOutbox(rows, { telemetry: (event) => void events.push(event), ...options });
  const done = source.pipe(handle(work, { concurrency: 100 }), ackEach());
  const eventsOf = (type: TelemetryEvent['type']) => events.filter((event) => event.type === type);
  return { begun, events, eventsOf, source, done };
}

describe('fromOutbox over a store that refuses', () => {
  const noTable = new SluiceError('schema-mismatch', 'store: run the migration 0002.');
  const refusing = (rows: FakeRows, refuses: () => boolean, error: Error): FakeRows =>
    Object.assign(Object.create(rows) as FakeRows, {
      claim: (claim: OutboxClaim) => defer(() => (refuses() ? throwError(() => error) : rows.claim(claim))),
    });

  it('waits for a migration that is under way, and goes on', () =>
    marbles(({ drive, advanceTo, now }) => {
      const rows = fakeRows();
      rows.put('a1');
      const { done, eventsOf } = relay(
        refusing(rows, () => now() < 20_000, noTable),
        1,
      );
      const out = drive(done);
      advanceTo(30_000);
      expect([out.error, out.values]).toEqual([undefined, ['a1']]);
      expect([eventsOf('unavailable').length, eventsOf('recovered').length]).toEqual([1, 1]);
    }));

  it.each([
    ['schema-mismatch', noTable],
    ['store-failed', new Error('of a driver')],
  ])('ends once it has never done anything else for refusalTimeoutMs: %s', (code, error) =>
    marbles(({ drive, advanceTo }) => {
      const { done } = relay(
        refusing(fakeRows(), () => true, error),
        1,
        { refusalTimeoutMs: 30_000 },
      );
      const out = drive(done);
      advanceTo(29_000);
      expect(out.error).toBe(undefined);
      advanceTo(40_000);
      expect(out.error).toMatchObject({ code, message: expect.stringContaining('refusalTimeoutMs') as unknown });
    }),
  );

  it('is not ended by an outage of any length where the store has worked', () =>
    marbles(({ drive, advanceTo, now }) => {
      const rows = fakeRows();
      const { done } = relay(
        refusing(rows, () => now() > 1_000 && now() < 100_000, new SluiceError('connection-failed', 'store: out.')),
        1,
        { refusalTimeoutMs: 30_000 },
      );
      const out = drive(done);
      advanceTo(90_000);
      rows.put('a1');
      advanceTo(110_000);
      expect([out.error, out.values]).toEqual([undefined, ['a1']]);
    }));
});

describe('fromOutbox', () => {
  it('emits messages with what a publisher needs, and marks them as published by their ack', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1');
      const seen: Delivery<OutboxMessage>[] = [];
      const out = drive(
        fromOutbox(rows).pipe(
          tap((delivery) => void seen.push(delivery)),
          ackEach(),
        ),
      );
      advanceTo(1);
      expect(rows.in('published')).toEqual(['a1']);
      expect(out.values).toEqual([
        {
          topic: 'out',
          key: new TextEncoder().encode('a'),
          value: new TextEncoder().encode('a1'),
          headers: { 'message-id': '1' },
        },
      ]);
      expect(seen[0]).toMatchObject({
        id: 'outbox/0/1',
        attempt: 1,
        position: { broker: 'outbox', topic: 'out', id: '1' },
        headers: { 'message-id': '1' },
      });
    }));

  it('polls every 100 ms where there is nothing', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      drive(relay(rows, 0).done);
      advanceTo(350);
      expect(rows.calls.filter((call) => call.endsWith('claim'))).toEqual([
        '0 claim',
        '100 claim',
        '200 claim',
        '300 claim',
      ]);
    }));

  it('is woken by a store that can', () =>
    marbles(({ drive, advanceTo, at }) => {
      const rows = fakeRows();
      const { begun, done } = relay(rows, 0, { pollMs: 60_000 });
      drive(done);
      at(5, () => {
        rows.put('a1');
        rows.wakeUps.next(null);
      });
      advanceTo(5);
      expect(begun).toEqual(['a1']);
    }));

  it('looks again where it was woken while it looked', () =>
    marbles(({ drive, advanceTo, at }) => {
      const rows = fakeRows({ claim: 10 });
      const { begun, done } = relay(rows, 0, { pollMs: 60_000 });
      drive(done);
      at(5, () => rows.wakeUps.next(null));
      at(12, () => rows.put('a1'));
      advanceTo(20);
      expect(begun).toEqual(['a1']);
    }));

  it('gives one message of a lane at a time, others beside it, and those without a lane all at once', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1', 'a2', 'b1', 'a3', '-1', '-2', 'b2');
      const { begun, done } = relay(rows, 10);
      const out = drive(done);
      advanceTo(9);
      expect(begun).toEqual(['a1', 'b1', '-1', '-2']);
      advanceTo(19);
      expect(begun.slice(4)).toEqual(['a2', 'b2']);
      advanceTo(100);
      expect(out.values).toHaveLength(7);
      expect(rows.in('pending')).toEqual([]);
    }));

  it('does not wait for the mark of a message with the next of its lane, and marks in order', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows({ published: 50 });
      rows.put('a1', 'a2', 'a3');
      const { begun, done } = relay(rows, 1);
      drive(done);
      advanceTo(10);
      expect(begun).toEqual(['a1', 'a2', 'a3']);
      advanceTo(200);
      expect(rows.calls.filter((call) => call.includes('published'))).toEqual(['1 published a1', '51 published a2,a3']);
    }));

  it('keeps the order of a lane over its failures, while others go on', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1', 'a2', 'b1', 'b2');
      const begun: string[] = [];
      let failures = 3;
      const work = (message: OutboxMessage): void => {
        begun.push(nameOf(message));
        if (nameOf(message) === 'a1' && failures-- > 0) throw new Error('no');
      };
      drive(fromOutbox(rows).pipe(handle(work, { concurrency: 10 }), ackEach()));
      advanceTo(10_000);
      expect(begun.filter((name) => name.startsWith('a'))).toEqual(['a1', 'a1', 'a1', 'a1', 'a2']);
      expect(begun.slice(0, 3)).toEqual(['a1', 'b1', 'b2']);
      expect(rows.in('pending')).toEqual([]);
    }));

  it('counts attempts, those of relays before it too', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1');
      const attempts: number[] = [];
      const work = (_: OutboxMessage, { attempt }: Delivery<OutboxMessage>): void => {
        attempts.push(attempt);
        throw new Error('no');
      };
      const first = drive(fromOutbox(rows).pipe(handle(work), ackEach()));
      advanceTo(150);
      first.unsubscribe();
      advanceTo(200);
      expect(rows.leased()).toEqual([]);
      drive(fromOutbox(rows).pipe(handle(work), ackEach()));
      advanceTo(210);
      expect(attempts).toEqual([1, 2, 3]);
    }));

  it('gives what waits behind a message that fails back, so that it holds no room', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1', 'a2', 'a3');
      drive(
        fromOutbox(rows).pipe(
          handle(() => {
            throw new Error('no');
          }),
          ackEach(),
        ),
      );
      advanceTo(1_000);
      expect(rows.leased()).toEqual(['a1']);
      expect(rows.calls.filter((call) => call.includes('release'))).toHaveLength(1);
    }));

  describe('what fails for good', () => {
    it('is marked as dead, with its error and the causes of that, and blocks nothing, not even its lane', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2');
        const work = (message: OutboxMessage): void => {
          if (nameOf(message) === 'a1') throw permanent(new TypeError('no', { cause: new Error('of password=a1') }));
        };
        const out = drive(fromOutbox(rows).pipe(handle(work), ackEach()));
        advanceTo(50);
        expect(rows.in('dead')).toEqual(['a1']);
        expect(rows.in('published')).toEqual(['a2']);
        expect(rows.errors).toEqual(['TypeError: no\nError: of password=***']);
        expect(out.error).toBeUndefined();
      }));

    it('is so after maxAttempts too', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put('a1');
        let tries = 0;
        const work = (): void => {
          tries++;
          throw new Error('no');
        };
        drive(fromOutbox(rows, { maxAttempts: 3 }).pipe(handle(work), ackEach()));
        advanceTo(60_000);
        expect(tries).toBe(3);
        expect(rows.in('dead')).toEqual(['a1']);
      }));

    it('is marked once the store is back', () =>
      marbles(({ drive, advanceTo, at }) => {
        const rows = fakeRows();
        rows.put('a1');
        const work = (): void => {
          rows.out = true;
          throw permanent(new Error('no'));
        };
        drive(fromOutbox(rows, { telemetry: () => undefined }).pipe(handle(work), ackEach()));
        at(5_000, () => (rows.out = false));
        advanceTo(20_000);
        expect(rows.in('dead')).toEqual(['a1']);
      }));

    it('is a dead letter where retryToDlq stands below, and its row is published', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2');
        const letters = fakePublisher();
        const target = fakePublisher(inTurn(refuses, confirms));
        drive(fromOutbox(rows).pipe(retryToDlq({ deadLetters: letters }), publishTo(target), ackEach()));
        advanceTo(50);
        expect(letters.published.map(({ value }) => new TextDecoder().decode(value as Uint8Array))).toEqual(['a1']);
        expect(letters.published[0]?.headers).toMatchObject({ 'message-id': '1' });
        expect(rows.in('published')).toEqual(['a1', 'a2']);
      }));
  });

  it('publishes what it emits without a function', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1', 'b1', 'a2');
      const target = fakePublisher(inTurn(mishaps, confirms));
      drive(fromOutbox(rows).pipe(publishTo(target), ackEach()));
      advanceTo(10_000);
      expect(
        target.published.map((message) => nameOf(message as OutboxMessage)).filter((name) => name !== 'b1'),
      ).toEqual(['a1', 'a2']);
      expect(target.published).toHaveLength(3);
    }));

  describe('its bounds', () => {
    it('leases no more than twice maxInFlight, and has no more out than that', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put(...Array.from({ length: 100 }, (_, i) => `-${i}`));
        let out = 0;
        drive(
          fromOutbox(rows, { maxInFlight: 10 }).pipe(
            tap(() => out++),
            mergeMap(() => NEVER),
          ),
        );
        advanceTo(5_000);
        expect(out).toBe(10);
        expect(rows.leased()).toHaveLength(20);
        expect(rows.claims.every(({ limit, maxBytes }) => limit <= 20 && maxBytes === 32 * 1024 * 1024)).toBe(true);
      }));

    it('is not starved by lanes that are stuck', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        for (const lane of 'abcdefgh') rows.put(...Array.from({ length: 10 }, (_, i) => `${lane}${i}`));
        rows.put('z0');
        const work = (message: OutboxMessage): void => {
          if (!nameOf(message).startsWith('z')) throw new Error('no');
        };
        drive(fromOutbox(rows, { maxInFlight: 10 }).pipe(handle(work, { concurrency: 10 }), ackEach()));
        advanceTo(3_000);
        expect(rows.in('published')).toEqual(['z0']);
      }));
  });

  describe('its leases', () => {
    it('are renewed at a third of leaseMs for what is out, queued or being marked', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2');
        drive(relay(rows, 100_000, { leaseMs: 3_000 }).done);
        advanceTo(10_500);
        expect(rows.calls.filter((call) => call.includes('renew'))).toHaveLength(10);
        expect(rows.leased()).toEqual(['a1', 'a2']);
      }));

    it('that are lost begin nothing more, and an ack for them is told as failed', () =>
      marbles(({ drive, advanceTo, at }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2');
        const { begun, eventsOf, done } = relay(rows, 5_000, { leaseMs: 3_000 });
        drive(done);
        at(500, () => ['a1', 'a2'].forEach(rows.steal));
        advanceTo(8_000);
        expect(begun).toEqual(['a1']);
        expect(eventsOf('ack-failed')).toMatchObject([{ error: { code: 'store-failed' } }]);
      }));

    it('that could not be renewed in time begin nothing more', () =>
      marbles(({ drive, advanceTo, at }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2');
        const { begun, done } = relay(rows, 5_000, { leaseMs: 3_000 });
        drive(done);
        at(500, () => (rows.out = true));
        advanceTo(6_000);
        expect(begun).toEqual(['a1']);
      }));
  });

  describe('while the store is out', () => {
    it('tries again with backoff, says so once, and goes on by itself', () =>
      marbles(({ drive, advanceTo, at }) => {
        const rows = fakeRows();
        rows.out = true;
        rows.put('a1');
        const { eventsOf, done } = relay(rows, 0);
        drive(done);
        at(60_000, () => (rows.out = false));
        advanceTo(59_999);
        expect(eventsOf('unavailable')).toMatchObject([{ what: 'the outbox store', error: ROWS_OUTAGE }]);
        expect(rows.calls.filter((call) => !call.includes('lag')).length).toBeLessThan(40);
        advanceTo(70_000);
        expect(rows.in('published')).toEqual(['a1']);
        expect(eventsOf('recovered')).toHaveLength(1);
      }));

    it('marks what was published once it is back, and publishes it no second time', () =>
      marbles(({ drive, advanceTo, at }) => {
        const rows = fakeRows();
        rows.put('a1');
        const { begun, done } = relay(rows, 10);
        drive(done);
        at(5, () => (rows.out = true));
        at(4_000, () => (rows.out = false));
        advanceTo(15_000);
        expect(begun).toEqual(['a1']);
        expect(rows.in('published')).toEqual(['a1']);
      }));
  });

  describe('at the end', () => {
    it('asks its store for nothing, and completes, where stop had fired before', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put('a1');
        const { begun, events, done } = relay(rows, 0, { stop: AbortSignal.abort() });
        const out = drive(done);
        advanceTo(500);
        expect(out.completed).toBe(true);
        expect(begun).toEqual([]);
        expect(rows.calls).toEqual([]);
        expect(events).toEqual([{ type: 'closed' }]);
      }));

    it('marks what is done and gives the rest back on stop', () =>
      marbles(({ drive, advanceTo, at }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2', 'b1');
        const stop = new Subject<void>();
        const { begun, done } = relay(rows, 10, { stop });
        const out = drive(done);
        at(5, () => stop.next());
        advanceTo(50);
        expect(out.completed).toBe(true);
        expect(begun).toEqual(['a1', 'b1']);
        expect(rows.in('published')).toEqual(['a1', 'b1']);
        expect(rows.leased()).toEqual([]);
      }));

    it('gives everything back on an unsubscribe', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2', 'b1');
        const { done, eventsOf } = relay(rows, 10);
        const out = drive(done);
        advanceTo(5);
        out.unsubscribe();
        advanceTo(50);
        expect(rows.leased()).toEqual([]);
        expect(rows.in('published')).toEqual([]);
        expect(eventsOf('closed')).toHaveLength(1);
      }));

    it('completes with until: end when nothing is left', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        rows.put('a1', 'a2', '-1');
        const { done } = relay(rows, 10, { until: 'end' });
        const out = drive(done);
        advanceTo(1_000);
        expect(out.completed).toBe(true);
        expect(rows.in('published')).toHaveLength(3);
      }));

    it('closes in time also where the store does not answer', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = { ...fakeRows(), release: () => NEVER, published: () => NEVER };
        rows.put('a1', 'a2', 'b1');
        const { done, eventsOf } = relay(rows, 10, { drainTimeoutMs: 100 });
        const out = drive(done);
        advanceTo(15);
        out.unsubscribe();
        advanceTo(30_000);
        expect(eventsOf('closed')).toHaveLength(1);
      }));
  });

  describe('how far behind it is', () => {
    it('is told, with what is out', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows({ lag: 10 });
        rows.put('a1', 'a2');
        const { eventsOf, done } = relay(rows, 100_000);
        drive(done);
        advanceTo(5_010);
        const told = {
          type: 'lag',
          partition: { topic: 'outbox', partition: 0 },
          lagMessages: 2,
          lagMs: 5_010,
          ageMs: 0,
        };
        expect(eventsOf('lag')).toEqual([{ ...told, bufferedMessages: 0, bufferedBytes: 0, inFlight: 1 }]);
      }));

    it('is told as at least so much where the store stops counting', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = { ...fakeRows(), lag: () => of({ rows: 10_000, more: true, oldestMs: 7 }) };
        const { eventsOf, done } = relay(rows, 10);
        drive(done);
        advanceTo(5_000);
        expect(eventsOf('lag')).toMatchObject([{ lagMessages: 10_000, more: true, lagMs: 7 }]);
      }));

    it('is told with its age while the store is out, or takes longer than lagEveryMs: that is asked once at a time', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows({ lag: 3_500 });
        rows.put('a1');
        const { eventsOf, done } = relay(rows, 100_000, { lagEveryMs: 1_000 });
        drive(done);
        advanceTo(4_900);
        expect(rows.calls.filter((call) => call.includes('lag'))).toEqual(['1000 lag']);
        expect(eventsOf('lag').map((event) => (event as { lagMessages?: number }).lagMessages)).toEqual([
          undefined,
          undefined,
          undefined,
          1,
        ]);
        rows.out = true;
        advanceTo(10_000);
        expect(eventsOf('lag').length).toBeGreaterThanOrEqual(8);
        expect(eventsOf('lag').at(-1)).toMatchObject({ lagMessages: 1, ageMs: expect.any(Number), inFlight: 1 });
        expect((eventsOf('lag').at(-1) as { ageMs: number }).ageMs).toBeGreaterThanOrEqual(5_000);
      }));

    it('is not asked for where nobody is told', () =>
      marbles(({ drive, advanceTo }) => {
        const rows = fakeRows();
        drive(fromOutbox(rows));
        drive(relay(rows, 1, { lagEveryMs: Infinity }).done);
        advanceTo(60_000);
        expect(rows.calls.filter((call) => call.includes('lag'))).toEqual([]);
      }));
  });

  it.each([
    [undefined, {}, 'fromOutbox: store must be an outbox store, such as postgresOutboxStore(db), not undefined.'],
    [fakeRows(), { pollMs: 0 }, 'fromOutbox: pollMs must be a number, at least 1 and at most 2147483647, not 0.'],
    [
      fakeRows(),
      { leaseMs: 999 },
      'fromOutbox: leaseMs must be a number, at least 1000 and at most 2147483647, not 999.',
    ],
  ])('refuses what is not allowed, at the call', (store, options, message) => {
    expect(refusal(() => fromOutbox(untyped(store), untyped(options)))).toBe(message);
  });
});
