import { describe, expect, it } from '@jest/globals';
import { delay, map, NEVER, of, tap, timer, type Observable } from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import { permanent } from '../../lib/core/failures.js';
import type { IdempotencyStore } from '../../lib/core/idempotency-store.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { handle } from '../../lib/operators/handle.js';
import { split } from '../../lib/operators/split.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { gather } from '../support/gather.js';
import { marbles } from '../support/marbles.js';
import { keepsTheContract } from '../support/operator-contract.js';
import { refusal, untyped } from '../support/options.js';
import { fakePublisher } from '../support/publishers.js';
import type { ScriptedLog } from '../support/scripted-log.js';
import {
  fakeStore,
  storeAnswersAfter,
  storeIsMute,
  storeIsOut,
  storeNeverAnswers,
  storeThrows,
  storeUntil,
  STORE_OUTAGE,
  type FakeStore,
} from '../support/stores.js';

keepsTheContract('dedupe', {
  make: () => dedupe({ key: (value) => value, store: fakeStore() }),
  nackGoesUp: true,
});

/** Messages of one name have one key, whatever their place: aa is a message and its repeat. */
const byName = (store: FakeStore, leaseMs?: number) =>
  dedupe({ key: (value: string) => value, store, ...(leaseMs === undefined ? {} : { leaseMs }) });

const takes =
  (ms: number) =>
  (value: string): Observable<string> =>
    timer(ms).pipe(map(() => value));

const NO = new Error('no');

describe('dedupe', () => {
  it('lets each key through once and settles a repeat of a processed one as skipped', () =>
    marbles(({ log, expectObservable, flush }) => {
      const source = log('       -a-b-a-b-c-|');
      const expected = '         -a-b-----c-|';
      const skipped = '          -----a-b----';
      const store = fakeStore();
      expectObservable(source.texts.pipe(byName(store), ackEach())).toBe(expected);
      expectObservable(source.skipped).toBe(skipped);
      expectObservable(source.commits).toBe('-a-b-a-b-c');
      flush();
      expect([...store.confirmed]).toEqual(['a', 'b', 'c']);
      expect([...store.held]).toEqual([]);
    }));

  it('confirms before the ack goes up', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a------|');
      const expected = '         -a------|';
      const done = '             ----a----';
      const store = fakeStore({ confirm: storeAnswersAfter(3) });
      expectObservable(source.texts.pipe(byName(store), ackEach())).toBe(expected);
      expectObservable(source.done).toBe(done);
    }));

  it('emits when the claim is answered, in order of arrival', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a(bc)---------|');
      const expected = '         ----a--(bc)----|';
      const store = fakeStore({ claim: storeAnswersAfter(3) });
      expectObservable(source.texts.pipe(byName(store), ackEach())).toBe(expected);
    }));

  it('groups what comes while a claim is under way into one round trip', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a(bcd)');
      const store = fakeStore({ claim: storeAnswersAfter(10) });
      drive(source.texts.pipe(byName(store), ackEach()));
      advanceTo(30);
      expect(store.callsOf('claim').map(({ at, keys }) => [at, keys.join('')])).toEqual([
        [0, 'a'],
        [10, 'bcd'],
      ]);
    }));

  it('claims no more than a thousand keys in one call', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 5_000 });
      source.fill(2_500);
      const store = fakeStore({ claim: storeAnswersAfter(1) });
      const out = drive(source.texts.pipe(byName(store), ackEach()));
      advanceTo(20);
      expect(Math.max(...store.callsOf('claim').map(({ keys }) => keys.length))).toBe(1_000);
      expect(out.values).toHaveLength(2_500);
    }));

  it('claims a quarter of what may be in flight at once, so that claims and confirms are always under way', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 1_000 });
      source.fill(5_000);
      const store = fakeStore({ claim: storeAnswersAfter(10), confirm: storeAnswersAfter(10) });
      const out = drive(source.texts.pipe(byName(store), ackEach()));
      advanceTo(230);
      // 20 claims of 250, and as many confirms beside them.
      expect(Math.max(...store.callsOf('claim').map(({ keys }) => keys.length))).toBe(250);
      expect(out.values).toHaveLength(5_000);
    }));

  it('has the next claim under way while the messages of the one before go on, in order of arrival', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 1_000 });
      source.fill(1_000);
      const store = fakeStore({ claim: storeAnswersAfter(10), confirm: storeAnswersAfter(10) });
      const [arrived, claimedBy]: [string[], number[]] = [[], []];
      const out = drive(
        source.texts.pipe(
          tap(({ value }) => arrived.push(value)),
          byName(store),
          tap(() => claimedBy.push(store.callsOf('claim').length)),
          ackEach(),
        ),
      );
      advanceTo(100);
      expect(out.values).toHaveLength(1_000);
      expect(out.values).toEqual(arrived);
      const [first, second] = store.callsOf('claim');
      expect([first?.at, second?.at]).toEqual([0, 10]);
      expect(new Set(claimedBy.slice(0, first?.keys.length))).toEqual(new Set([2]));
    }));

  it('parks a repeat whose first is still being worked on, and skips it then', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(aa)');
      const store = fakeStore();
      const started: string[] = [];
      const work = (value: string) => (started.push(value), takes(100)(value));
      const out = drive(source.texts.pipe(byName(store), handle(work, { concurrency: 4 }), ackEach()));
      advanceTo(99);
      expect(started).toEqual(['a']);
      expect(source.eventsOf('parked').length).toBeGreaterThan(0);
      expect(source.eventsOf('parked').every(({ event }) => event.because === 'claimed')).toBe(true);
      advanceTo(1_000);
      expect(started).toEqual(['a']);
      expect(out.values).toEqual(['a']);
      expect(source.settled('skipped')).toEqual(['a']);
      expect(source.eventsOf('retried')).toEqual([]);
    }));

  it('lets a parked repeat pass where the first fails for good, and counts no attempt for its waiting', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(aa)');
      const store = fakeStore();
      const attempts: number[] = [];
      let first = true;
      const work = (value: string, { attempt }: { attempt: number }) => {
        attempts.push(attempt);
        const fails = first;
        first = false;
        return timer(50).pipe(
          map(() => {
            if (fails) throw permanent(new Error('only the first'));
            return value;
          }),
        );
      };
      const deadLetters = fakePublisher();
      const out = drive(
        source.texts.pipe(retryToDlq({ deadLetters }), byName(store), handle(work, { concurrency: 4 }), ackEach()),
      );
      advanceTo(1_000);
      expect(attempts).toEqual([1, 1]);
      expect(out.values).toEqual(['a']);
      expect(source.settled()).toEqual(['a', 'a']);
      expect(source.settled('dead-lettered')).toEqual(['a']);
      expect(deadLetters.published).toHaveLength(1);
    }));

  it('takes a claim that lapsed at its old owner', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      const store = fakeStore();
      // Another worker, which died with its claim.
      drive(store.claim(['a'], 500) as Observable<unknown>);
      const out = drive(source.texts.pipe(byName(store), ackEach()));
      advanceTo(499);
      expect(out.values).toEqual([]);
      expect(source.eventsOf('parked').length).toBeGreaterThan(1);
      advanceTo(2_000);
      expect(out.values).toEqual(['a']);
      expect(source.settled('done')).toEqual(['a']);
    }));

  it('releases on a nack, before the nack goes up, so that the retry passes', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a', { redelivery: constant(10) });
      const store = fakeStore({ release: storeAnswersAfter(4) });
      const out = drive(source.texts.pipe(byName(store)), (delivery) => {
        if (delivery.attempt === 1) delivery.nack(NO);
        else delivery.ack();
      });
      advanceTo(3);
      expect(source.eventsOf('retried')).toEqual([]);
      advanceTo(4);
      expect(source.eventsOf('retried').map(({ at, event }) => [at, event.reason])).toEqual([[4, NO]]);
      advanceTo(20);
      expect(out.values.map(({ attempt }) => attempt)).toEqual([1, 2]);
      expect([...store.confirmed]).toEqual(['a']);
    }));

  it.each(['skipped', 'dead-lettered'] as const)(
    'releases what is settled as %s: a redrive is not swallowed',
    (outcome) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a-a');
        const store = fakeStore();
        let times = 0;
        drive(source.texts.pipe(byName(store)), (delivery) => delivery.settle(++times === 1 ? outcome : 'done'));
        advanceTo(5);
        expect(times).toBe(2);
        expect(source.settled(outcome)).toEqual(['a']);
        expect(source.settled('done')).toEqual(['a']);
      }),
  );

  describe('below another dedupe', () => {
    const misuses = (source: ScriptedLog): string[] => source.eventsOf('misuse').map(({ event }) => event.code);

    it('lets a message pass that has this very claim already, and all of its parts, and says so once', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(aba)');
        const store = fakeStore();
        const out = drive(
          source.texts.pipe(
            byName(store),
            split((value: string) => [value, value]),
            byName(store),
            handle(takes(5), { concurrency: 8 }),
            ackEach(),
          ),
        );
        advanceTo(100);
        expect([...out.values].sort()).toEqual(['a', 'a', 'b', 'b']);
        expect([source.settled('done'), source.settled('skipped')]).toEqual([['a', 'b'], ['a']]);
        expect([...store.confirmed]).toEqual(['a', 'b']);
        expect(misuses(source)).toEqual(['dedupe-same-key']);
      }));

    it('lets go of a message that waits for another that waits for it, after leaseMs, says so, and both are done', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)', { redelivery: () => 30 });
        const store = fakeStore();
        const swapped = (value: string): string => (value === 'a' ? 'b' : 'a');
        const out = drive(
          source.texts.pipe(
            dedupe({ key: (value) => value, store, leaseMs: 1_000 }),
            // So that both have the first key when they ask for the second.
            delay(5),
            dedupe({ key: swapped, store, leaseMs: 1_000 }),
            ackEach(),
          ),
        );
        advanceTo(900);
        expect(out.values).toEqual([]);
        expect(misuses(source)).toEqual([]);
        advanceTo(10_000);
        // The one that is done has processed the other's key, by what the keys say.
        expect(source.settled()).toHaveLength(2);
        expect(misuses(source)[0]).toBe('dedupe-below-dedupe');
        expect([...store.held]).toEqual([]);
      }));

    it('waits for another message that has its key, as long as it takes, where it has none of this store itself', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const store = fakeStore();
        drive(
          source.texts.pipe(
            byName(fakeStore()),
            dedupe({ key: () => 'one', store, leaseMs: 100 }),
            handle(takes(1_000), { concurrency: 8 }),
            ackEach(),
          ),
        );
        advanceTo(3_000);
        expect([source.settled('done'), source.settled('skipped')]).toEqual([['a'], ['b']]);
        expect(misuses(source)).toEqual([]);
      }));
  });

  describe('with a store that fails', () => {
    it.each([
      ['is out', storeIsOut],
      ['throws', storeThrows],
    ])('holds within credit while it %s at a claim: no dead letter, no attempt, one warning', (_, fault) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 5 });
        source.fill(30);
        const deadLetters = fakePublisher();
        const store = fakeStore({ claim: storeUntil(20_000, fault) });
        const attempts = new Set<number>();
        const out = drive(
          source.texts.pipe(
            retryToDlq({ deadLetters, maxRetries: 0 }),
            byName(store),
            handle((value, { attempt }) => (attempts.add(attempt), value)),
            ackEach(),
          ),
        );
        advanceTo(19_999);
        expect(out.values).toEqual([]);
        expect(source.session.inFlight).toBe(5);
        expect(source.eventsOf('received')).toHaveLength(5);
        expect(store.callsOf('claim').length).toBeLessThan(20);
        expect(source.eventsOf('unavailable').map(({ event }) => [event.what, event.error])).toEqual([
          ['the idempotency store', STORE_OUTAGE],
        ]);
        advanceTo(60_000);
        expect(out.values).toHaveLength(30);
        expect([...attempts]).toEqual([1]);
        expect(deadLetters.calls).toEqual([]);
        expect(source.eventsOf('recovered')).toHaveLength(1);
        expect(out.error).toBeUndefined();
      }),
    );

    it.each([
      ['is out', storeIsOut],
      ['throws', storeThrows],
    ])('holds the ack while it %s at a confirm, and tries that again until it is done', (_, fault) =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(aba)', { maxInFlight: 4 });
        const store = fakeStore({ confirm: storeUntil(5_000, fault) });
        let runs = 0;
        const out = drive(
          source.texts.pipe(
            byName(store),
            handle((value) => (runs++, value), { concurrency: 4 }),
            ackEach(),
          ),
        );
        advanceTo(4_999);
        expect(source.settled()).toEqual([]);
        expect(source.committed()).toBe(0);
        advanceTo(20_000);
        expect(runs).toBe(2);
        expect(out.values).toEqual(['a', 'b']);
        expect(source.settled('done')).toEqual(['a', 'b']);
        expect(source.settled('skipped')).toEqual(['a']);
      }),
    );

    it('holds the nack while it is out at a release', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeStore({ release: storeUntil(1_000, storeIsOut) });
        const out = drive(source.texts.pipe(byName(store)), (delivery) => {
          if (delivery.attempt === 1) delivery.nack(NO);
          else delivery.ack();
        });
        advanceTo(999);
        expect(source.eventsOf('retried')).toEqual([]);
        advanceTo(10_000);
        expect(out.values.map(({ attempt }) => attempt)).toEqual([1, 2]);
        expect(source.settled('done')).toEqual(['a']);
      }));

    it('nacks what the store gives no answer for', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { redelivery: constant(1_000) });
        const store = fakeStore();
        const empty = { ...store, claim: () => [[]] };
        const out = drive(source.texts.pipe(dedupe({ key: (value) => value, store: empty }), ackEach()));
        advanceTo(10);
        expect(out.values).toEqual([]);
        expect(source.eventsOf('retried').map(({ event }) => event.reason)).toEqual([
          expect.objectContaining({ code: 'store-failed' }),
        ]);
      }));

    it('holds within credit where the store never answers, and is closed within the drain', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 3, unsettledWarnMs: 100, drainTimeoutMs: 50 });
        source.fill(10);
        const store = fakeStore({ claim: storeNeverAnswers });
        const out = drive(source.texts.pipe(byName(store), ackEach()));
        advanceTo(500);
        expect(source.eventsOf('received')).toHaveLength(3);
        expect(store.callsOf('claim').length).toBe(1);
        expect(source.eventsOf('unsettled-too-long')).toHaveLength(1);
        out.unsubscribe();
        advanceTo(700);
        expect(store.pending).toBe(0);
        expect(source.isOpen).toBe(false);
      }));

    it('lets what came while it was out pass first once it is back', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a--b');
        const store = fakeStore({ claim: storeUntil(2, storeIsOut) });
        const out = drive(source.texts.pipe(byName(store), ackEach()));
        advanceTo(200);
        expect(out.values).toEqual(['a', 'b']);
      }));
  });

  describe('with its leases', () => {
    it('renews at a third of the lease while a message is unsettled, and no longer', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeStore();
        const out = drive(source.texts.pipe(byName(store, 300), handle(takes(1_000)), ackEach()));
        advanceTo(5_000);
        expect(out.values).toEqual(['a']);
        expect(store.callsOf('renew').map(({ at }) => at)).toEqual([100, 200, 300, 400, 500, 600, 700, 800, 900]);
        expect(source.eventsOf('claim-lost')).toEqual([]);
      }));

    it('keeps another from claiming for as long as the work takes', () =>
      marbles(({ log, drive, advanceTo, now }) => {
        const source = log('a');
        const store = fakeStore();
        drive(source.texts.pipe(byName(store, 300), handle(takes(2_000)), ackEach()));
        const answers: unknown[] = [];
        while (now() < 1_900) {
          advanceTo(now() + 50);
          drive(store.claim(['a'], 10) as Observable<readonly { status: string }[]>, ([claim]) =>
            answers.push(claim?.status),
          );
        }
        expect(new Set(answers)).toEqual(new Set(['held']));
        advanceTo(2_100);
        expect(source.settled('done')).toEqual(['a']);
      }));

    it('goes on through renewals that fail for less than a lease', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeStore({ renew: storeUntil(250, storeThrows) });
        const out = drive(source.texts.pipe(byName(store, 300), handle(takes(500)), ackEach()));
        advanceTo(1_000);
        expect(out.values).toEqual(['a']);
        expect(source.eventsOf('claim-lost')).toEqual([]);
        expect([...store.confirmed]).toEqual(['a']);
      }));

    it('says nothing of a renewal that comes between a confirm and its answer', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeStore({ confirm: storeAnswersAfter(50) });
        drive(source.texts.pipe(byName(store, 300), handle(takes(80)), ackEach()));
        advanceTo(1_000);
        expect(store.callsOf('renew')).toHaveLength(1);
        expect(source.settled('done')).toEqual(['a']);
        expect(source.eventsOf('claim-lost')).toEqual([]);
      }));

    it('says that a claim was lost where another has it by then, and settles still', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const store = fakeStore({ renew: storeIsOut });
        const out = drive(source.texts.pipe(byName(store, 300), handle(takes(600)), ackEach()));
        advanceTo(400);
        drive(store.claim(['a'], 10_000) as Observable<unknown>);
        advanceTo(1_000);
        expect(out.values).toEqual(['a']);
        expect(source.eventsOf('claim-lost').map(({ event }) => event.message.id)).toEqual(['orders/0/0']);
        expect(source.settled('done')).toEqual(['a']);
        // The other's claim is not touched by a token of ours.
        expect([...store.confirmed]).toEqual([]);
        expect([...store.held]).toEqual(['a']);
      }));
  });

  describe('over a crash', () => {
    it('runs the handler again where the drop came before the confirm', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 5 });
        const store = fakeStore({ confirm: storeUntil(100, storeNeverAnswers) });
        let runs = 0;
        const pipeline = source.texts.pipe(
          byName(store, 200),
          handle((value) => (runs++, value)),
          ackEach(),
        );
        const first = drive(pipeline);
        advanceTo(3);
        first.unsubscribe();
        advanceTo(100);
        expect(source.isOpen).toBe(false);
        expect(source.committed()).toBe(0);
        const second = drive(pipeline);
        advanceTo(5_000);
        expect(runs).toBe(2);
        expect(second.values).toEqual(['a']);
        expect(source.settled('done')).toEqual(['a']);
      }));

    it('skips it where the drop came between the confirm and the commit', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 5, commit: () => NEVER });
        const store = fakeStore();
        let runs = 0;
        const pipeline = source.texts.pipe(
          byName(store),
          handle((value) => (runs++, value)),
          ackEach(),
        );
        const first = drive(pipeline);
        advanceTo(3);
        first.unsubscribe();
        advanceTo(100);
        expect(source.committed()).toBe(0);
        const second = drive(pipeline);
        advanceTo(200);
        expect(runs).toBe(1);
        expect(second.values).toEqual([]);
        expect(source.settled()).toEqual(['a', 'a']);
        expect(source.settled('skipped')).toEqual(['a']);
      }));

    it('gives back what it claimed, started or parked or under way, on unsubscribe', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abab)-c', { drainTimeoutMs: 100 });
        const store = fakeStore({ claim: storeAnswersAfter(4) });
        const out = drive(
          source.texts.pipe(
            byName(store),
            handle(() => NEVER, { concurrency: 2 }),
            ackEach(),
          ),
        );
        advanceTo(9);
        expect([...store.held].sort()).toEqual(['a', 'b', 'c']);
        out.unsubscribe();
        advanceTo(50);
        expect([...store.held]).toEqual([]);
        expect(source.isOpen).toBe(false);
      }));

    it('gives back a claim that is answered only after the unsubscribe, before it reports closed', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 100 });
        const store = fakeStore({ claim: storeAnswersAfter(20) });
        const out = drive(source.texts.pipe(byName(store), ackEach()));
        advanceTo(5);
        out.unsubscribe();
        advanceTo(50);
        expect([...store.held]).toEqual([]);
        expect(source.eventsOf('closed').map(({ at }) => at)).toEqual([20]);
        expect(store.callsOf('release').map(({ at }) => at)).toEqual([20]);
      }));

    it('gives back on a revoke what was not started, and keeps what is until it settles', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const store = fakeStore();
        const out = drive(source.texts.pipe(byName(store), handle(takes(10)), ackEach()));
        advanceTo(5);
        expect([...store.held]).toEqual(['a', 'b']);
        source.revoke();
        advanceTo(6);
        expect([...store.held]).toEqual(['a']);
        advanceTo(20);
        expect([...store.held]).toEqual([]);
        expect([...store.confirmed]).toEqual(['a']);
        expect(out.values).toEqual(['a']);
        expect(source.committed()).toBe(1);
      }));

    it('gives back what a lost epoch had claimed', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)');
        const store = fakeStore();
        drive(source.texts.pipe(byName(store)));
        advanceTo(5);
        source.lose();
        advanceTo(10);
        expect([...store.held]).toEqual([]);
      }));

    it('closes within the drain where giving back never answers', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a', { drainTimeoutMs: 50 });
        const store = fakeStore({ release: storeIsMute });
        const out = drive(
          source.texts.pipe(
            byName(store),
            handle(() => NEVER),
            ackEach(),
          ),
        );
        advanceTo(5);
        out.unsubscribe();
        advanceTo(300);
        expect(source.isOpen).toBe(false);
        expect([...store.held]).toEqual([]);
      }));
  });

  it('holds what waits for an answer within credit, and is quiet for a gathering operator below', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('aabc', { maxInFlight: 3 });
      const store = fakeStore();
      const sizes: number[] = [];
      const out = drive(source.texts.pipe(byName(store), gather(100, 60_000, sizes), ackEach()));
      advanceTo(3);
      // a and b gathered, the repeat of a parked: no credit is left.
      expect(sizes).toEqual([2]);
      advanceTo(200);
      expect(out.values.slice(0, 2)).toEqual(['a', 'b']);
      expect(source.settled('skipped')).toEqual(['a']);
    }));

  it('nacks what has no key, and what a key function threw, and goes on', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)', { redelivery: constant(1_000) });
      const store = fakeStore();
      const key = (value: string): string => {
        if (value === 'a') throw NO;
        return value === 'b' ? '' : value === 'c' ? untyped(5) : value;
      };
      const out = drive(source.texts.pipe(dedupe({ key, store }), ackEach()));
      advanceTo(10);
      expect(out.values).toEqual(['d']);
      expect(out.error).toBeUndefined();
      expect(source.eventsOf('retried').map(({ event }) => [event.failure, event.reason])).toEqual([
        ['transient', NO],
        ['permanent', expect.objectContaining({ code: 'invalid-key' })],
        ['permanent', expect.objectContaining({ code: 'invalid-key' })],
      ]);
    }));

  it('gives the delivery to the key function', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(ab)', { messages: { a: { key: 'k' }, b: { key: 'k' } } });
      const store = fakeStore();
      const out = drive(source.texts.pipe(dedupe({ key: (_, delivery) => String(delivery.key), store }), ackEach()));
      advanceTo(200);
      expect(out.values).toEqual(['a']);
      expect(source.settled('skipped')).toEqual(['b']);
    }));

  it.each<[string, Partial<Record<keyof IdempotencyStore, unknown>>, readonly string[]]>([
    ['claim, by nothing', { claim: undefined }, []],
    ['claim, by a list of nothing', { claim: [null, null] }, []],
    ['renew, by nothing', { renew: undefined }, ['a', 'b']],
    ['confirm, by nothing', { confirm: undefined }, ['a', 'b']],
    ['confirm, by null', { confirm: null }, ['a', 'b']],
  ])('survives a store that answers %s', (_, answers, settled) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab', { redelivery: constant(100_000) });
      const nonsense = Object.entries(answers).map(([call, answer]) => [call, () => of(answer)]);
      const store = { ...fakeStore(), ...Object.fromEntries(nonsense) } as IdempotencyStore;
      const byName = dedupe({ key: (value: string) => value, store, leaseMs: 100 });
      const out = drive(source.texts.pipe(byName, handle(takes(50), { concurrency: 2 }), ackEach()));
      advanceTo(200);
      expect(out.error).toBe(undefined);
      expect(source.settled()).toEqual(settled);
      // What has no answer is a failed claim, and nothing is stuck.
      expect(source.eventsOf('retried')).toHaveLength(2 - settled.length);
      expect(source.session.corks).toBe(0);
    }),
  );

  it('refuses options that are not allowed, and says which, what was given and what is allowed', () => {
    const store = fakeStore();
    const key = (value: string): string => value;
    expect(refusal(() => dedupe({ key: untyped('id'), store }))).toBe('dedupe: key must be a function, not a string.');
    expect(refusal(() => dedupe({ key, store: untyped({ claim: () => [] }) }))).toBe(
      'dedupe: store must be an idempotency store, such as memoryIdempotencyStore(), not an object.',
    );
    expect(refusal(() => dedupe({ key, store, leaseMs: 99 }))).toBe(
      `dedupe: leaseMs must be a number, at least 100 and at most ${2 ** 31 - 1}, not 99.`,
    );
    expect(refusal(() => dedupe(untyped({ key, store, ttlMs: 5 })))).toContain('there is no option ttlMs');
  });
});
