import { describe, expect, it } from '@jest/globals';
import { map, merge, of, tap, type Observable } from 'rxjs';
import { ackEach } from '../../lib/operators/ack-each.js';
import { isSluiceError } from '../../lib/core/errors.js';
import type { Delivery } from '../../lib/core/delivery.js';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { gather } from './gather.js';
import { marbles } from './marbles.js';
import type { ScriptedPosition } from './scripted-log.js';

type Deliveries = Observable<Delivery<string, ScriptedPosition>>;

export interface Contract {
  /** The operator as it lets every value pass unchanged and at once. Made anew for each subscription's spec. */
  readonly make: () => (source: Deliveries) => Deliveries;
  /** A nack below reaches the source, which runs the message again. Not so for what retries. */
  readonly nackGoesUp: boolean;
  /** False where a foreign operator stands around it and takes what is no delivery. Default: true. */
  readonly ownsItsInput?: boolean;
}

/** What every operator of deliveries keeps, whatever else it does. */
export function keepsTheContract(name: string, { make, nackGoesUp, ownsItsInput = true }: Contract): void {
  describe(`${name}, as every operator`, () => {
    it('completes over a source that has nothing', () =>
      marbles(({ log, expectObservable }) => {
        const source = log('       ---|');
        const expected = '         ---|';
        expectObservable(source.texts.pipe(make(), ackEach())).toBe(expected);
      }));

    it('stays open over a source that never speaks', () =>
      marbles(({ log, expectObservable, flush }) => {
        const source = log('       -----');
        const expected = '         -----';
        expectObservable(source.texts.pipe(make(), ackEach()), '-----!').toBe(expected);
        flush();
        expect(source.settled()).toEqual([]);
        expect(source.isOpen).toBe(false);
      }));

    it('passes the error of its source on, and the source closes', () =>
      marbles(({ log, expectObservable, flush }) => {
        const source = log('       -a-#');
        const expected = '         -a-#';
        const failed = expect.objectContaining({ code: 'source-failed', cause: 'error' });
        expectObservable(source.texts.pipe(make(), ackEach())).toBe(expected, undefined, failed);
        flush();
        expect(source.eventsOf('closed')).toHaveLength(1);
      }));

    it('lets what is acked below settle at the source and complete', () =>
      marbles(({ log, expectObservable }) => {
        const source = log('       -a-b-(cd)-|');
        const expected = '         -a-b-(cd)-|';
        const done = '             -a-b-(cd)--';
        expectObservable(source.texts.pipe(make(), ackEach())).toBe(expected);
        expectObservable(source.done).toBe(done);
        expectObservable(source.commits).toBe('-a-b-d');
      }));

    it('lets go of everything on an early unsubscribe', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('-a-b-c-d-e');
        const out = drive(source.texts.pipe(make()));
        advanceTo(5);
        expect(out.values.map(({ value }) => value)).toEqual(['a', 'b', 'c']);
        out.unsubscribe();
        for (const delivery of out.values) (delivery as unknown as DeliveryNode).abandon();
        advanceTo(20);
        expect(source.eventsOf('closed')).toHaveLength(1);
        expect(source.session.inFlight).toBe(0);
        expect(out.values).toHaveLength(3);
        expect(source.committed()).toBe(0);
      }));

    it('takes an unsubscribe inside next: nothing more of a flood comes', () =>
      marbles(({ log, drive, advanceTo, at }) => {
        const source = log();
        const values: string[] = [];
        const out = drive(source.texts.pipe(make()), ({ value }) => {
          values.push(value);
          if (values.length === 3) out.unsubscribe();
        });
        at(1, () => source.fill(100));
        advanceTo(20_000);
        expect(values).toEqual(['0', '1', '2']);
        expect(source.isOpen).toBe(false);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0, lingering: 0 });
      }));

    it('is ended by an error of a foreign operator below it; what is out comes again', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { drainTimeoutMs: 5 });
        const failure = new Error('of a foreign operator');
        const fails = map((delivery: Delivery<string, ScriptedPosition>) => {
          if (delivery.value === 'b') throw failure;
          return delivery;
        });
        const first = drive(source.texts.pipe(make(), fails, ackEach()));
        advanceTo(20);
        expect(first.error).toBe(failure);
        expect(first.values).toEqual(['a']);
        expect(source.isOpen).toBe(false);
        expect(source.committed()).toBe(1);
        const second = drive(source.texts.pipe(make(), ackEach()));
        advanceTo(40);
        expect(second.values).toEqual(['b', 'c']);
      }));

    it('takes the deliveries of two sources at once, and lets go of both', () =>
      marbles(({ log, drive, advanceTo }) => {
        const [one, two] = [log('ab-c', { topic: 'one' }), log('-d-e', { topic: 'two' })];
        const out = drive(merge(one.texts, two.texts).pipe(make()));
        advanceTo(5);
        expect(out.values.map(({ value }) => value).sort()).toEqual(['a', 'b', 'c', 'd', 'e']);
        for (const delivery of out.values) if (delivery.value !== 'a') delivery.ack();
        advanceTo(6);
        expect([one.settled(), two.settled()]).toEqual([
          ['b', 'c'],
          ['d', 'e'],
        ]);
        expect([one.committed(), two.committed()]).toEqual([0, 2]);
        out.values.find(({ value }) => value === 'a')?.ack();
        out.unsubscribe();
        advanceTo(7);
        expect([one.isOpen, two.isOpen]).toEqual([false, false]);
        expect(one.committed()).toBe(3);
      }));

    it('takes an ack inside next, for a thousand at once', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 7 });
        source.fill(1_000);
        source.end();
        const out = drive(
          source.texts.pipe(
            make(),
            tap((delivery) => delivery.ack()),
            map(({ value }) => value),
          ),
        );
        advanceTo(1);
        expect(out.values).toEqual(Array.from({ length: 1_000 }, (_, index) => String(index)));
        expect(out.completed).toBe(true);
        expect(source.committed()).toBe(1_000);
      }));

    it('keeps the order of arrival', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)-d(ef)');
        const out = drive(source.texts.pipe(make()));
        advanceTo(10);
        expect(out.values.map(({ value }) => value).join('')).toBe('abcdef');
        for (const delivery of out.values) delivery.ack();
        advanceTo(12);
        expect(source.committed()).toBe(6);
      }));

    it('brings again, after a drop between two steps, what was not settled below the watermark and above', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abc)', { drainTimeoutMs: 5 });
        const first = drive(source.texts.pipe(make()));
        advanceTo(1);
        const [a, b] = first.values;
        b?.ack();
        first.unsubscribe();
        advanceTo(20);
        expect(source.committed()).toBe(0);

        const second = drive(source.texts.pipe(make()));
        advanceTo(21);
        expect(second.values.map(({ value }) => value)).toEqual(['a', 'b', 'c']);
        a?.ack();
        second.values[0]?.ack();
        advanceTo(22);
        second.unsubscribe();
        advanceTo(40);
        expect(source.committed()).toBe(1);

        const third = drive(source.texts.pipe(make()));
        advanceTo(41);
        expect(third.values.map(({ value }) => value)).toEqual(['b', 'c']);
      }));

    it('never has more out than the source may give', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(abcdef)', { maxInFlight: 2 });
        const out = drive(source.texts.pipe(make()));
        advanceTo(1);
        expect(out.values.map(({ value }) => value)).toEqual(['a', 'b']);
        expect(source.session.inFlight).toBe(2);
        out.values[0]?.ack();
        advanceTo(2);
        expect(out.values.map(({ value }) => value)).toEqual(['a', 'b', 'c']);
      }));

    it('moves with a gathering operator below it that waits for more than the source may give', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log(undefined, { maxInFlight: 4 });
        source.fill(10);
        source.end();
        const sizes: number[] = [];
        const out = drive(source.texts.pipe(make(), gather(100, 60_000, sizes), ackEach()));
        advanceTo(10);
        expect(out.values).toHaveLength(10);
        expect(out.completed).toBe(true);
        expect(sizes.slice(0, 2)).toEqual([4, 4]);
      }));

    it('commits what settles within a drain, and gives nothing more', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('(ab)-----c');
        const out = drive(source.texts.pipe(make()));
        const revoked: number[] = [];
        advanceTo(2);
        source.revoke(0, () => revoked.push(1));
        advanceTo(4);
        expect(revoked).toEqual([]);
        for (const delivery of out.values) delivery.ack();
        advanceTo(5);
        expect(revoked).toEqual([1]);
        expect(source.committed()).toBe(2);
        expect(source.eventsOf('revoked').map(({ event }) => event.drained)).toEqual([true]);
        advanceTo(12);
        expect(out.values).toHaveLength(2);
      }));

    it('settles nothing of a closed epoch, and says so', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(source.texts.pipe(make()));
        advanceTo(1);
        source.lose();
        out.values[0]?.ack();
        advanceTo(30);
        expect(source.settled()).toEqual([]);
        expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['closed']);
        expect(source.committed()).toBe(0);
        source.assign();
        advanceTo(31);
        expect(out.values.map(({ value }) => value)).toEqual(['a', 'a']);
        out.values[1]?.ack();
        advanceTo(32);
        expect(source.settled()).toEqual(['a']);
      }));

    it('leaves nothing behind, at whatever millisecond it is unsubscribed', () => {
      for (let ms = 0; ms <= 24; ms++) {
        marbles(({ log, drive, advanceTo, scheduler }) => {
          const source = log('-a-b-(cd)-e|', { drainTimeoutMs: 50, unsettledWarnMs: 400 });
          // Every other one is nacked the first time.
          const out = drive(source.texts.pipe(make()), (delivery) => {
            const settle = (): void => {
              if (delivery.attempt === 1 && 'bd'.includes(delivery.value)) delivery.nack('not now');
              else delivery.ack();
            };
            if (delivery.value === 'a') settle();
            else scheduler.schedule(settle, 2);
          });
          advanceTo(ms);
          out.unsubscribe();
          advanceTo(200);
          expect(source.eventsOf('closed')).toHaveLength(1);
          expect(source.session).toMatchObject({ inFlight: 0, held: 0, lingering: 0 });
          expect(scheduler.actions).toHaveLength(0);
        });
      }
    });

    if (ownsItsInput) {
      it('ends with a typed error where a value is no delivery', () => {
        const spread = of({ ack: () => undefined }) as unknown as Deliveries;
        const errors: unknown[] = [];
        spread.pipe(make()).subscribe({ error: (error: unknown) => errors.push(error) });
        expect(errors).toHaveLength(1);
        expect(isSluiceError(errors[0]) && errors[0].code).toBe('not-a-delivery');
      });
    }

    if (!nackGoesUp) return;

    it('hands a nack up: the source runs the message again, as a new attempt', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('ab');
        const out = drive(source.texts.pipe(make()), (delivery) => {
          if (delivery.value === 'a' && delivery.attempt === 1) delivery.nack('not now');
          else delivery.ack();
        });
        advanceTo(5);
        expect(source.committed()).toBe(0);
        advanceTo(12);
        expect(out.values.map(({ value, attempt }) => `${value}${attempt}`)).toEqual(['a1', 'b1', 'a2']);
        expect(source.settled('done')).toEqual(['b', 'a']);
        expect(source.committed()).toBe(2);
      }));

    it('hands the delay of a nack up', () =>
      marbles(({ log, drive, advanceTo }) => {
        const source = log('a');
        const out = drive(source.texts.pipe(make()), (delivery) => {
          if (delivery.attempt === 1) delivery.nack('later', { delayMs: 77 });
          else delivery.ack();
        });
        advanceTo(76);
        expect(out.values).toHaveLength(1);
        advanceTo(77);
        expect(out.values).toHaveLength(2);
      }));
  });
}
