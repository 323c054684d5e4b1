import { describe, expect, it } from '@jest/globals';
import { map, type Observable } from 'rxjs';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { decode } from '../../lib/operators/decode.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { fanOut } from '../../lib/operators/fan-out.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { fromOutbox } from '../../lib/operators/from-outbox.js';
import { handle } from '../../lib/operators/handle.js';
import { mapValue } from '../../lib/operators/map-value.js';
import { ordered } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { split } from '../../lib/operators/split.js';
import { json } from '../../lib/operators/json.js';
import { text } from '../../lib/operators/text.js';
import { memoryIdempotencyStore } from '../../lib/stores/memory/memory-idempotency-store.js';
import { marbles } from '../support/marbles.js';
import { fakeRows } from '../support/outbox-rows.js';
import { fakePublisher } from '../support/publishers.js';
import { textOf } from '../support/scripted-log.js';

type Bytes = Observable<Delivery<Uint8Array | null>>;

const BROKEN = new Error('secret');
const fails = (): never => {
  throw BROKEN;
};
const failsOfB = (value: Uint8Array | null): true => {
  if (textOf(value) === 'b') throw BROKEN;
  return true;
};
const retry = () => retryToDlq({ deadLetters: fakePublisher(), maxRetries: 1, backoff: constant(1) });

/** The misuses that are told of two messages in 150 ms. */
function misusesOf(
  build: (source: Bytes) => Observable<unknown>,
): { readonly code: string; readonly message: string }[] {
  const told: { readonly code: string; readonly message: string }[] = [];
  marbles(({ log, drive, advanceTo }) => {
    const source = log('ab', { redelivery: constant(10) });
    drive(build(source.deliveries));
    advanceTo(150);
    told.push(...source.eventsOf('misuse').map(({ event }) => event));
  });
  return told;
}

const codesOf = (build: (source: Bytes) => Observable<unknown>): string[] => misusesOf(build).map(({ code }) => code);

describe('retryToDlq', () => {
  it.each<[string, (source: Bytes) => Observable<unknown>]>([
    [
      'handle',
      (source) =>
        source.pipe(
          handle(() => 1),
          retry(),
          ackEach(),
        ),
    ],
    ['decode', (source) => source.pipe(decode(text()), retry(), ackEach())],
    [
      'mapValue',
      (source) =>
        source.pipe(
          mapValue(() => 1),
          retry(),
          ackEach(),
        ),
    ],
    ['decode, below ordered', (source) => source.pipe(ordered({ by: 'key' }), decode(text()), retry(), ackEach())],
    [
      'decode and split',
      (source) =>
        source.pipe(
          decode(text()),
          split(() => [1]),
          retry(),
          ackEach(),
        ),
    ],
    [
      'decode, in a branch of fanOut',
      (source) =>
        source.pipe(
          decode(text()),
          fanOut((each) => each.pipe(retry(), ackEach())),
        ),
    ],
  ])('below %s is told as misuse before anything fails, once', (_, build) => {
    expect(codesOf(build)).toEqual(['work-above-retry']);
  });

  it.each<[string, (source: Bytes) => Observable<unknown>]>([
    ['filterValue', (source) => source.pipe(filterValue(failsOfB), retry(), ackEach())],
    [
      'the key of dedupe',
      (source) =>
        source.pipe(
          dedupe({ key: (value) => String(failsOfB(value)), store: memoryIdempotencyStore() }),
          retry(),
          ackEach(),
        ),
    ],
    [
      'the key of ordered',
      (source) => source.pipe(ordered({ by: ({ value }) => (textOf(value) === 'b' ? NaN : 1) }), retry(), ackEach()),
    ],
    [
      'split',
      (source) =>
        source.pipe(
          split((value) => [failsOfB(value)]),
          retry(),
          ackEach(),
        ),
    ],
    [
      'a branch of fanOut that has none',
      (source) =>
        source.pipe(
          fanOut(
            (each) => each.pipe(retry(), ackEach()),
            (each) => each.pipe(handle(failsOfB), ackEach()),
          ),
        ),
    ],
  ])('is told what failed above it or beside it, once: %s', (_, build) => {
    expect(codesOf(build)).toEqual(['failed-above-retry']);
  });

  it('is not missed by a message that a handler sends back for later, with a delay, however often', () => {
    const later = (source: Bytes): Observable<unknown> =>
      source.pipe(
        handle((_, delivery) => delivery.nack(undefined, { delayMs: 5 })),
        ackEach(),
      );
    expect(codesOf(later)).toEqual([]);
    const fails10Times = (source: Bytes): Observable<unknown> =>
      source.pipe(
        handle((_, delivery) => delivery.nack(undefined)),
        ackEach(),
      );
    expect(codesOf(fails10Times)).toEqual(['retried-without-limit']);
  });

  it('below where all fail never sees one: told as what failed ten times, or for good', () => {
    expect(codesOf((source) => source.pipe(filterValue(fails), retry(), ackEach()))).toEqual(['retried-without-limit']);
    const forGood = misusesOf((source) => source.pipe(decode(json()), retry(), ackEach()));
    expect(forGood.map(({ code }) => code)).toEqual(['retried-without-limit']);
    expect(forGood[0]?.message).toContain(
      'orders/0/0 failed for good: The value is 1 bytes that are not JSON from byte 0 on.',
    );
  });

  it('says in which order they must stand, and shows nothing of the error of a user', () => {
    const told = misusesOf((source) =>
      source.pipe(
        handle(() => 1),
        retry(),
        ackEach(),
      ),
    );
    expect(told.map(({ message }) => message)).toEqual([
      'retryToDlq() comes too late in the pipe: something before it makes the value (decode, mapValue, handle or settling), and no ' +
        'other retryToDlq() comes before that. What fails there is tried again without a limit, and never becomes a dead letter. Put ' +
        'retryToDlq() right after the source, before decode(), mapValue() and handle(): only ordered() by the key of the message may ' +
        'come before it.',
    ]);
    const later = misusesOf((source) => source.pipe(filterValue(failsOfB), retry(), ackEach()));
    expect(later.map(({ message }) => message)).toEqual([
      expect.stringMatching(
        /^orders\/0\/1 failed before retryToDlq\(\) in the pipe, or in another branch: Error at retry-place\.spec\.ts:\d+:\d+\. It is tried again without a limit, and never becomes a dead letter\. Put retryToDlq\(\) right after the source, before /,
      ),
    ]);
  });

  it.each<[string, (source: Bytes) => Observable<unknown>]>([
    [
      'above all that fails',
      (source) => source.pipe(ordered({ by: 'key' }), retry(), decode(text()), handle(fails), ackEach()),
    ],
    [
      'a second time, lower down',
      (source) =>
        source.pipe(
          retry(),
          decode(text()),
          handle(() => 1),
          retry(),
          handle(fails),
          ackEach(),
        ),
    ],
    [
      'below a foreign map that keeps the delivery',
      (source) =>
        source.pipe(
          map((delivery) => delivery.withValue(1)),
          retry(),
          handle(fails),
          ackEach(),
        ),
    ],
  ])('says nothing where it stands %s', (_, build) => {
    expect(codesOf(build)).toEqual([]);
  });

  it('says nothing in a relay, whose failures end as dead rows', () =>
    marbles(({ drive, advanceTo }) => {
      const rows = fakeRows();
      rows.put('a1');
      const misuses: string[] = [];
      const source = fromOutbox(rows, {
        telemetry: (event) => void (event.type === 'misuse' && misuses.push(event.code)),
      });
      drive(source.pipe(filterValue(fails), retry(), ackEach()));
      advanceTo(300);
      drive(fromOutbox(rows).pipe(mapValue(fails), retry(), ackEach()));
      advanceTo(600);
      expect(misuses).toEqual([]);
    }));
});
