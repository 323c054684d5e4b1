import { describe, expect, it } from '@jest/globals';
import { map, mergeMap, Observable, tap, timer } from 'rxjs';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { permanent, unavailable, type FailureClass } from '../../lib/core/failures.js';
import { publish } from '../../lib/core/publish.js';
import type { TelemetryEvent } from '../../lib/core/telemetry.js';
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
import { settling } from '../../lib/operators/settling.js';
import { split } from '../../lib/operators/split.js';
import { text } from '../../lib/operators/text.js';
import { marbles } from '../support/marbles.js';
import { confirms, fakePublisher, inTurn, isOut, refuses } from '../support/publishers.js';
import { bytesOf, textOf, type ScriptedPosition } from '../support/scripted-log.js';
import { fakeStore, storeAnswersAfter } from '../support/stores.js';

type Text = Delivery<string, ScriptedPosition>;
type Pipeline = (source: Observable<Text>) => Observable<Delivery<unknown>>;

const NO = new Error('no');

/** `a` takes its time, all others are there at once. */
const slowA = (value: string): string | Observable<string> => (value === 'a' ? timer(2).pipe(map(() => value)) : value);

const failing: Pipeline = handle((): string => {
  throw NO;
});

const retries = (options: { classify?: () => FailureClass | undefined; backoff?: () => number }): Pipeline => {
  const retrying = retryToDlq({ deadLetters: fakePublisher(), ...options });
  return (source) => source.pipe(retrying, failing as never);
};

/** Each calls `end` once a message, in a function of the user's. */
const callbacks: Readonly<Record<string, (end: () => void) => Pipeline>> = {
  mapValue: (end) => mapValue((value: string) => (end(), value)),
  filterValue: (end) => filterValue((value: string) => (end(), value !== '')),
  ordered: (end) => ordered<string, ScriptedPosition>({ by: () => (end(), 'key') }),
  decode: (end) => (source) =>
    source.pipe(
      mapValue(bytesOf),
      decode(() => (end(), 1)),
    ),
  'decode, asynchronous': (end) => (source) =>
    source.pipe(
      mapValue(bytesOf),
      decode(() => (end(), timer(900))),
    ),
  dedupe: (end) => dedupe<string, ScriptedPosition>({ key: (value) => (end(), value), store: fakeStore() }),
  split: (end) => split((value: string) => (end(), [value])),
  publishTo: (end) => publishTo(fakePublisher(), (value: string) => (end(), { value })),
  'publishTo, of no message': (end) => publishTo(fakePublisher(), () => (end(), [])),
  handle: (end) => handle((value: string) => (end(), value)),
  'handle, asynchronous': (end) => handle(() => (end(), timer(900)), { timeoutMs: 500, concurrency: 9 }),
  settling: (end) => mergeMap((delivery: Text) => settling(delivery, () => (end(), timer(900)))),
  'a branch of fanOut': (end) =>
    fanOut(
      mapValue((value: string) => (end(), value)),
      mapValue(String),
    ),
  'classify, transient': (end) => retries({ classify: () => (end(), undefined) }),
  'classify, permanent': (end) => retries({ classify: () => (end(), 'permanent') }),
  'classify, unavailable': (end) => retries({ classify: () => (end(), 'unavailable') }),
  backoff: (end) => retries({ backoff: () => (end(), 900) }),
};

/** Each is told at least once by the pipeline below. */
const TOLD: readonly TelemetryEvent['type'][] = [
  'received',
  'settled',
  'retried',
  'parked',
  'unavailable',
  'recovered',
  'dead-lettered',
  'undeliverable',
  'quiet',
  'stale-settlement',
  'timed-out',
  'bisected',
];

describe('an ack inside an emission', () => {
  it('lets nothing out before the value of it: handle, whose results come at once or later', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)', { maxInFlight: 1 });
      const out = drive(source.texts.pipe(handle(slowA), ackEach()));
      advanceTo(5);
      expect(out.values).toEqual(['a', 'b', 'c', 'd']);
    }));

  it('lets nothing out before the value of it: decode, whose values come at once or later', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)', { maxInFlight: 1 });
      const out = drive(
        source.deliveries.pipe(
          decode((bytes) => slowA(textOf(bytes))),
          ackEach(),
        ),
      );
      advanceTo(5);
      expect(out.values).toEqual(['a', 'b', 'c', 'd']);
    }));

  it.each<[string, (source: Observable<Text>) => Observable<Text>]>([
    ['handle', handle(slowA)],
    ['settling', mergeMap((delivery: Text) => settling(delivery, slowA))],
    ['retryToDlq', (source) => source.pipe(retryToDlq({ deadLetters: fakePublisher(), backoff: constant(5) }))],
  ])('never emits the next one inside it where it is a foreign one: %s', (_, pipeline) =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)', { maxInFlight: 1 });
      let depth = 0;
      let deepest = 0;
      const out = drive(
        source.texts.pipe(
          pipeline,
          tap((delivery) => {
            deepest = Math.max(deepest, ++depth);
            if (delivery.value === 'a' && delivery.attempt === 1) delivery.nack(NO);
            else delivery.ack();
          }),
          tap(() => depth--),
        ),
      );
      advanceTo(40);
      expect(source.settled()).toHaveLength(4);
      expect([out.values.length, deepest]).toEqual([5, 1]);
    }),
  );

  it('lets nothing out before the value of it where a foreign operator emits it late', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('(abcd)', { maxInFlight: 1 });
      const slow = mergeMap((delivery: Text) =>
        delivery.value === 'a' ? timer(2).pipe(map(() => delivery)) : [delivery],
      );
      const out = drive(source.texts.pipe(slow, ackEach()));
      advanceTo(5);
      expect(out.values).toEqual(['a', 'b', 'c', 'd']);
    }));
});

describe('an unsubscribe', () => {
  it.each(Object.keys(callbacks))('inside the function of %s leaves nothing behind', (name) =>
    marbles(({ log, drive, advanceTo, scheduler }) => {
      const source = log(undefined, { drainTimeoutMs: 300, unsettledWarnMs: 2_000 });
      // An outage lets one attempt through.
      const last = name === 'classify, unavailable' ? 1 : 2;
      let calls = 0;
      const pipeline = callbacks[name] as (end: () => void) => Pipeline;
      const out = drive(source.texts.pipe(pipeline(() => void (++calls === last && out.unsubscribe()))));
      source.fill(4);
      advanceTo(1);
      // What came out is in foreign hands.
      for (const delivery of out.values) (delivery as unknown as DeliveryNode).abandon();
      advanceTo(2);
      expect(calls).toBe(last);
      expect(source.isOpen).toBe(false);
      expect(source.session).toMatchObject({ inFlight: 0, held: 0, lingering: 0 });
      expect(scheduler.actions.filter(({ closed }) => !closed)).toHaveLength(0);
    }),
  );

  it('inside a handler subscribes nothing that the handler returns', () =>
    marbles(({ log, drive }) => {
      const source = log();
      let subscribed = 0;
      const never = new Observable<string>(() => void subscribed++);
      const ends = (value: string): Observable<string> => {
        if (value === '1') out.unsubscribe();
        return never;
      };
      const out = drive(source.texts.pipe(handle(ends, { concurrency: 3, timeoutMs: 1_000 })));
      source.fill(3);
      expect(subscribed).toBe(1);
      expect(source.isOpen).toBe(false);
    }));

  it.each(TOLD)('inside telemetry that is told of %s leaves nothing behind', (type) =>
    marbles(({ drive, advanceTo, scheduler }) => {
      const broker = memoryBroker({ topics: { orders: {} } });
      const messages = [...'abcdefghijab'].map((value) => ({ value }));
      const answer = type === 'undeliverable' ? refuses : inTurn(isOut, refuses, confirms);
      const told: string[] = [];
      const telemetry = (event: TelemetryEvent): void => {
        told.push(event.type);
        if (event.type === type) out.unsubscribe();
      };
      let calls = 0;
      const works = (_: unknown, delivery: Delivery<unknown>): unknown => {
        calls++;
        if (calls === 2) {
          delivery.ack();
          delivery.ack();
        }
        if (calls === 3) throw permanent('no');
        if (calls === 4) throw unavailable('no');
        if (calls === 5) return timer(1_000);
        if (calls < 8) return timer(2).pipe(tap(() => fail()));
        return timer(1);
      };
      const source = fromMemory(broker, { groupId: 'g', topics: ['orders'], maxInFlight: 5, telemetry });
      const out = drive(
        source.pipe(
          ordered({ by: 'key' }),
          retryToDlq({ deadLetters: fakePublisher(answer), maxRetries: 1 }),
          decode(text()),
          dedupe({ key: String, store: fakeStore({ claim: storeAnswersAfter(1) }) }),
          batch({ maxSize: 2, maxWaitMs: 10_000, bisectOnFailure: type === 'bisected' }),
          handle(works, { timeoutMs: 20, concurrency: 2 }),
          ackEach(),
        ),
      );
      publish(memoryPublisher(broker, { topic: 'orders' }), messages).subscribe();
      advanceTo(9_000);
      expect(told).toContain(type);
      expect(told.filter((each) => each === 'closed')).toHaveLength(1);
      expect(scheduler.actions.filter(({ closed }) => !closed)).toHaveLength(0);
    }),
  );

  it('leaves no timer where the probe of an outage is acked after it', () =>
    marbles(({ log, drive, advanceTo, scheduler }) => {
      const source = log('a');
      const out = drive(source.texts.pipe(retryToDlq({ deadLetters: fakePublisher() })), (delivery) => {
        if (out.values.length === 1) delivery.nack(unavailable('no'));
      });
      advanceTo(150);
      out.unsubscribe();
      out.values[1]?.ack();
      expect(source.isOpen).toBe(false);
      expect(scheduler.actions.filter(({ closed }) => !closed)).toHaveLength(0);
    }));
});

function fail(): never {
  throw NO;
}
