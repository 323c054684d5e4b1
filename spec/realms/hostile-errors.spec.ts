import { describe, expect, it } from '@jest/globals';
import { map, of, throwError, type OperatorFunction } from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { permanent, unavailable } from '../../lib/core/failures.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { batch } from '../../lib/operators/batch.js';
import { decode } from '../../lib/operators/decode.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { fanOut } from '../../lib/operators/fan-out.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { handle } from '../../lib/operators/handle.js';
import { mapValue } from '../../lib/operators/map-value.js';
import { ordered } from '../../lib/operators/ordered.js';
import { publishTo } from '../../lib/operators/publish-to.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { split } from '../../lib/operators/split.js';
import { withOutbox } from '../../lib/operators/with-outbox.js';
import { hostile } from '../support/hostile.js';
import { marbles } from '../support/marbles.js';
import { fakeOutbox } from '../support/outbox-store.js';
import { fakePublisher } from '../support/publishers.js';
import { textOf } from '../support/scripted-log.js';
import { fakeStore } from '../support/stores.js';

type Of = Delivery<string>;
type Step = OperatorFunction<Of, Of>;
type Make = () => unknown;

/** Fails for the message "poison" alone. */
const failing =
  <R>(make: Make, result: (value: string) => R) =>
  (value: string): R => {
    if (value === 'poison') throw make();
    return result(value);
  };

const first = (values: readonly string[]): string => values[0] as string;

/** Each place in which something may be thrown at us; all but the last stand below a `retryToDlq`. */
const PLACES: Readonly<Record<string, (make: Make) => Step>> = {
  handle: (make) => handle(failing(make, (value) => value)),
  'handle, later': (make) => handle((value) => (value === 'poison' ? throwError(make) : of(value))),
  mapValue: (make) => mapValue(failing(make, (value) => value)),
  filterValue: (make) => filterValue(failing(make, () => true)),
  'the key of dedupe': (make) => dedupe({ key: failing(make, (value) => value), store: fakeStore() }),
  publishTo: (make) =>
    publishTo(
      fakePublisher(),
      failing(make, (value) => ({ value })),
    ),
  'an outcome of publishTo': (make) =>
    publishTo(
      fakePublisher((messages) =>
        of(
          messages.map(({ value }) =>
            value === 'poison' ? ({ status: 'permanent', error: make() } as const) : ({ status: 'ok' } as const),
          ),
        ),
      ),
      (value) => ({ value }),
    ),
  'a part of split': (make) => (source) =>
    source.pipe(
      split(function* (value) {
        if (value === 'poison') throw make();
        yield value;
      }),
    ),
  'below batch': (make) => (source) =>
    source.pipe(
      batch({ maxSize: 1, maxWaitMs: 10 }),
      handle((values) => failing(make, (value) => value)(first(values))),
    ),
  'a branch of fanOut': (make) => fanOut((each) => each.pipe(handle(failing(make, (value) => value)))),
  'a nack of plain code': (make) => (source) =>
    source.pipe(
      handle((value, delivery) => {
        if (value === 'poison') delivery.nack(make());
        return value;
      }),
    ),
  'marked as permanent': (make) =>
    handle(
      failing(
        () => permanent(make()),
        (value) => value,
      ),
    ),
};

describe.each(Object.entries(hostile()))('%s', (_, make) => {
  it.each(Object.entries(PLACES))('is a failure of its message alone, of %s', (_place, place) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const deadLetters = fakePublisher();
      const retry = retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(10) });
      const driven = drive(source.texts.pipe(retry, place(make), ackEach()));
      for (const name of ['a', 'poison', 'b']) source.publish(name);
      advanceTo(5_000);
      expect(driven.error).toBeUndefined();
      expect([source.settled('done'), source.settled('dead-lettered')]).toEqual([['a', 'b'], ['poison']]);
      const [letter] = deadLetters.published;
      expect([deadLetters.published.length, textOf(letter?.value as Uint8Array)]).toEqual([1, 'poison']);
      expect(typeof letter?.headers?.['dead-letter-error-class']).toBe('string');
    }),
  );

  it('is a failure of its message, of decode and of the key of ordered', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const deadLetters = fakePublisher();
      const codec = (bytes: Uint8Array | null): string => failing(make, (value) => value)(textOf(bytes));
      const by = ({ value }: Delivery<Uint8Array | null>): string => {
        if (textOf(value) === 'unordered') throw make();
        return 'key';
      };
      const retry = retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(10) });
      const driven = drive(source.deliveries.pipe(retry, ordered({ by }), decode(codec), ackEach()));
      for (const name of ['a', 'poison', 'b', 'unordered', 'c']) source.publish(name);
      advanceTo(5_000);
      expect(driven.error).toBeUndefined();
      expect(source.settled('done')).toEqual(['a', 'b', 'c']);
      expect([...source.settled('dead-lettered')].sort()).toEqual(['poison', 'unordered']);
    }));

  it('fails its message alone in withOutbox, alone and in a group', () =>
    marbles(({ log, drive, advanceTo }) => {
      for (const group of [1, 3]) {
        const source = log();
        const deadLetters = fakePublisher();
        const store = fakeOutbox();
        const handler = failing(make, (value) => of(value));
        const terminal = withOutbox(store, handler, { consumer: 'billing', key: (value: string) => value, group });
        const retry = retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(10) });
        const driven = drive(source.texts.pipe(retry, terminal));
        for (const name of ['a', 'poison', 'b']) source.publish(name);
        advanceTo(group * 5_000);
        expect(driven.error).toBeUndefined();
        expect([[...source.settled('done')].sort(), source.settled('dead-lettered')]).toEqual([['a', 'b'], ['poison']]);
        expect([store.open, store.broken]).toEqual([0, 0]);
      }
    }));

  it('is told by no telemetry as an error of its own, and is tried again by the source alone', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      let failures = 0;
      const fails = (value: string): string => {
        if (value === 'poison' && ++failures < 3) throw failures === 1 ? unavailable(make()) : make();
        return value;
      };
      const driven = drive(source.texts.pipe(handle(fails), ackEach()));
      for (const name of ['a', 'poison', 'b']) source.publish(name);
      advanceTo(60_000);
      expect(driven.error).toBeUndefined();
      expect([...source.settled('done')].sort()).toEqual(['a', 'b', 'poison']);
    }));

  it('ends the stream, as itself, where a foreign operator throws it', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const thrown = make();
      const foreign = map<Of, Of>(() => {
        throw thrown;
      });
      const driven = drive(
        source.texts.pipe(
          foreign,
          handle((value) => value),
          ackEach(),
        ),
      );
      source.publish('a');
      advanceTo(20_000);
      expect([driven.error === thrown, source.isOpen]).toEqual([true, false]);
    }));

  it('is an outage like any other where a publisher or a store fails with it', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      let calls = 0;
      const publisher = fakePublisher((messages) =>
        calls++ === 0 ? throwError(make) : of(messages.map(() => ({ status: 'ok' as const }))),
      );
      const store = fakeStore({ claim: (call) => (calls++ === 1 ? throwError(make) : call) });
      const steps = dedupe({ key: (value: string) => value, store });
      const driven = drive(
        source.texts.pipe(
          publishTo(publisher, (value) => ({ value })),
          steps,
          ackEach(),
        ),
      );
      for (const name of ['a', 'b']) source.publish(name);
      advanceTo(60_000);
      expect([driven.error, driven.values]).toEqual([undefined, ['a', 'b']]);
    }));
});
