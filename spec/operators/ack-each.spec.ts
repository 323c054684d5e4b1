import { describe, expect, it } from '@jest/globals';
import { ignoreElements, map, of, take, tap, type Observable } from 'rxjs';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { isSluiceError } from '../../lib/core/errors.js';
import { publish } from '../../lib/core/publish.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { handle } from '../../lib/operators/handle.js';
import { marbles } from '../support/marbles.js';
import { untyped } from '../support/options.js';

describe('ackEach', () => {
  it('acks, then emits the plain value', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('-a-b');
      const seen: unknown[] = [];
      drive(source.texts.pipe(ackEach()), (value) => seen.push([value, [...source.settled('done')]]));
      advanceTo(5);
      expect(seen).toEqual([
        ['a', ['a']],
        ['b', ['a', 'b']],
      ]);
    }));

  it('emits the value of each in order and completes with its source', () =>
    marbles(({ log, expectObservable }) => {
      const source = log('       -a-(bc)|');
      const expected = '         -a-(bc)|';
      expectObservable(source.texts.pipe(ackEach())).toBe(expected);
      expectObservable(source.done).toBe('-a-(bc)');
    }));

  it('completes over a source that has nothing, and stays open over one that never speaks', () =>
    marbles(({ log, expectObservable }) => {
      expectObservable(log(' ---|').texts.pipe(ackEach())).toBe('---|');
      expectObservable(log(' ----').texts.pipe(ackEach()), '---!').toBe('---');
    }));

  it('passes an error on', () =>
    marbles(({ log, expectObservable }) => {
      const failed = expect.objectContaining({ code: 'source-failed' });
      expectObservable(log('-a-#').texts.pipe(ackEach())).toBe('-a-#', undefined, failed);
    }));

  it('loses no value where the ack makes the source complete', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(a|)', { maxInFlight: 1 });
      const out = drive(source.texts.pipe(ackEach()));
      advanceTo(1);
      expect(out.values).toEqual(['a']);
      expect(out.completed).toBe(true);
    }));

  it('emits the value of an ack that reaches the source before what that ack lets out', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log(undefined, { maxInFlight: 1 });
      source.fill(100);
      const out = drive(source.texts.pipe(ackEach()));
      advanceTo(1);
      expect(out.values).toEqual(Array.from({ length: 100 }, (_, index) => String(index)));
    }));

  it('acks nothing more after an early unsubscribe', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('-a-b-c');
      const out = drive(source.texts.pipe(ackEach(), take(2)));
      advanceTo(10);
      expect(out.values).toEqual(['a', 'b']);
      expect(source.settled()).toEqual(['a', 'b']);
      expect(source.committed()).toBe(2);
      expect(source.isOpen).toBe(false);
    }));

  it('acks nothing that a synchronous flood still had when it is unsubscribed within', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      source.fill(100);
      const first = drive(source.texts.pipe(ackEach(), take(10)));
      advanceTo(1);
      expect(first.values).toHaveLength(10);
      expect(source.committed()).toBe(10);
      const second = drive(source.texts.pipe(ackEach(), take(10)));
      advanceTo(2);
      expect(second.values[0]).toBe('10');
      expect(source.committed()).toBe(20);
    }));

  it('may lose the value but not the message on a crash after the ack: it is settled, and does not come again', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('ab');
      const first = drive(source.texts.pipe(ackEach()), () => first.unsubscribe());
      advanceTo(5);
      expect(first.values).toEqual(['a']);
      expect(source.committed()).toBe(1);
      const second = drive(source.texts.pipe(ackEach()));
      advanceTo(6);
      expect(second.values).toEqual(['b']);
    }));

  it('counts the ack of one that was settled above it as stale', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('a');
      drive(
        source.deliveries.pipe(
          tap((delivery) => delivery.settle('skipped')),
          ackEach(),
        ),
      );
      advanceTo(1);
      expect(source.settled('skipped')).toEqual(['a']);
      expect(source.eventsOf('stale-settlement').map(({ event }) => event.because)).toEqual(['repeat']);
    }));

  it('ends with a typed error where a value is no delivery', () => {
    const errors: unknown[] = [];
    const values: Observable<number> = of(5).pipe(untyped(ackEach()));
    values.subscribe({ error: (error: unknown) => errors.push(error) });
    expect(errors.map((error) => isSluiceError(error) && error.code)).toEqual(['not-a-delivery']);
  });

  it('completes over a synchronous source of a million', () =>
    marbles(({ drive, advanceTo }) => {
      const count = 1_000_000;
      const broker = memoryBroker({ topics: { orders: {} } });
      const messages = Array.from({ length: count }, () => ({ value: null }));
      publish(memoryPublisher(broker, { topic: 'orders' }), messages).subscribe();
      let seen = 0;
      let last = -1;
      const out = drive(
        fromMemory(broker, { groupId: 'g', topics: ['orders'], until: 'end', maxInFlight: 8 }).pipe(
          map((delivery) => delivery.withValue(delivery.position.offset)),
          handle((offset) => offset),
          ackEach(),
          tap((offset) => {
            if (offset === last + 1) seen++;
            last = offset;
          }),
          ignoreElements(),
        ),
      );
      advanceTo(1);
      expect(seen).toBe(count);
      expect(out.completed).toBe(true);
      expect(broker.committed('g', 'orders')).toEqual([count]);
    }));
});
