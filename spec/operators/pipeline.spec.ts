import { describe, expect, it } from '@jest/globals';
import { concat, map, of, timer, toArray, type Observable } from 'rxjs';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { constant } from '../../lib/core/backoff.js';
import { unavailable } from '../../lib/core/failures.js';
import { publish } from '../../lib/core/publish.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { decode } from '../../lib/operators/decode.js';
import { dedupe } from '../../lib/operators/dedupe.js';
import { handle } from '../../lib/operators/handle.js';
import { json } from '../../lib/operators/json.js';
import { ordered } from '../../lib/operators/ordered.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { marbles, type Marbles } from '../support/marbles.js';
import { after, fakePublisher, isOut, until, type FakePublisher } from '../support/publishers.js';
import {
  bytesOf,
  textOf,
  type ScriptedLog,
  type ScriptedLogOptions,
  type ScriptedMessage,
} from '../support/scripted-log.js';
import { fakeStore, storeAnswersAfter, storeIsOut, storeUntil, type FakeStore } from '../support/stores.js';

interface Job {
  readonly source: ScriptedLog;
  readonly deadLetters: FakePublisher;
  readonly store: FakeStore;
  /** Names as they were started and as they were done. */
  readonly started: string[];
  readonly finished: string[];
  readonly pipeline: Observable<string>;
}

/** n is not JSON; f fails once; x fails always; the rest is done after 3 ms. R repeats a. Keys: a with f and R, b with x. */
const messages: Readonly<Record<string, ScriptedMessage>> = {
  a: { value: '"a"', key: '1' },
  f: { value: '"f"', key: '1' },
  R: { value: '"a"', key: '1' },
  b: { value: '"b"', key: '2', partition: 1 },
  x: { value: '"x"', key: '2', partition: 1 },
  c: { value: '"c"', key: '3' },
  n: { value: '{', key: '4', partition: 1 },
};

const INPUT = 'a(fb)xcRn';

/** The main job with everything slow, so that any millisecond is in the middle of something. */
function jobOf(
  { log }: Marbles,
  options: ScriptedLogOptions = {},
  parts: Partial<Pick<Job, 'deadLetters' | 'store'>> = {},
): Job {
  const source = log(INPUT, { messages, partitions: 2, drainTimeoutMs: 60, redelivery: constant(3), ...options });
  const deadLetters = parts.deadLetters ?? fakePublisher(after(2));
  const store =
    parts.store ??
    fakeStore({ claim: storeAnswersAfter(1), confirm: storeAnswersAfter(1), release: storeAnswersAfter(1) });
  const started: string[] = [];
  const finished: string[] = [];
  const work = (value: string, attempt: number): Observable<string> => {
    started.push(`${value}${attempt}`);
    return timer(3).pipe(
      map(() => {
        if (value === 'x' || (value === 'f' && attempt === 1)) throw new Error('no');
        finished.push(value);
        return value;
      }),
    );
  };
  const pipeline = source.deliveries.pipe(
    ordered({ by: 'key' }),
    retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(2) }),
    decode(json()),
    dedupe({ key: String, store, leaseMs: 300 }),
    handle((value, delivery) => work(String(value), delivery.attempt), { concurrency: 4 }),
    ackEach(),
  );
  return { source, deadLetters, store, started, finished, pipeline };
}

/** The end of the scenario, in virtual milliseconds, with room. */
const LAST_MS = 45;

describe('the main job', () => {
  it('does each message once, skips the repeat and dead-letters what fails for good', () =>
    marbles((helpers) => {
      const { source, deadLetters, store, started, finished, pipeline } = jobOf(helpers);
      const out = helpers.drive(pipeline);
      helpers.advanceTo(LAST_MS);
      expect([...finished].sort()).toEqual(['a', 'b', 'c', 'f']);
      expect([...out.values].sort()).toEqual(['a', 'b', 'c', 'f']);
      expect([...started].sort()).toEqual(['a1', 'b1', 'c1', 'f1', 'f2', 'x1', 'x2']);
      expect([...source.settled('done')].sort()).toEqual(['a', 'b', 'c', 'f']);
      expect(source.settled('skipped')).toEqual(['R']);
      expect([...source.settled('dead-lettered')].sort()).toEqual(['n', 'x']);
      expect(deadLetters.published.map(({ value }) => textOf(value as Uint8Array)).sort()).toEqual(['"x"', '{']);
      expect([...store.confirmed].sort()).toEqual(['a', 'b', 'c', 'f']);
      expect([source.committed(0), source.committed(1)]).toEqual([4, 3]);
      // In order within its key.
      expect(started.filter((name) => 'af'.includes(name[0] as string))).toEqual(['a1', 'f1', 'f2']);
    }));

  it('leaves nothing behind, at whatever millisecond it is unsubscribed, and then loses nothing', () => {
    for (let ms = 0; ms <= LAST_MS; ms++) {
      marbles((helpers) => {
        const { source, deadLetters, store, finished, pipeline } = jobOf(helpers);
        const { drive, advanceTo, scheduler } = helpers;
        const first = drive(pipeline);
        advanceTo(ms);
        first.unsubscribe();
        const { length } = finished;
        advanceTo(200);
        expect(finished).toHaveLength(length);
        expect(source.eventsOf('closed')).toHaveLength(1);
        expect(source.session).toMatchObject({ inFlight: 0, held: 0, lingering: 0, listeners: [] });
        expect([...store.held]).toEqual([]);
        expect(deadLetters.open).toBe(0);
        expect(scheduler.actions).toHaveLength(0);

        drive(pipeline);
        advanceTo(1_000);
        expect([source.committed(0), source.committed(1)]).toEqual([4, 3]);
        // All is done at least once, and what was confirmed is not done again.
        expect([...new Set(finished)].sort()).toEqual(['a', 'b', 'c', 'f']);
        expect([...store.confirmed].sort()).toEqual(['a', 'b', 'c', 'f']);
        expect(finished.length).toBeLessThanOrEqual(4 + 4);
        const dead = deadLetters.published.map(({ value }) => textOf(value as Uint8Array));
        expect([...new Set(dead)].sort()).toEqual(['"x"', '{']);
      });
    }
  });

  it('finishes what is out and repeats nothing, at whatever millisecond it is stopped', () => {
    for (let ms = 0; ms <= LAST_MS; ms++) {
      marbles((helpers) => {
        const { source, deadLetters, store, started, pipeline } = jobOf(helpers);
        const { drive, advanceTo } = helpers;
        const first = drive(pipeline);
        advanceTo(ms);
        source.stop();
        advanceTo(200);
        expect(first.completed).toBe(true);
        expect(source.isOpen).toBe(false);
        expect([...store.held]).toEqual([]);
        expect(deadLetters.open).toBe(0);
        expect(source.settled().length).toBe(source.eventsOf('received').length);

        drive(pipeline);
        advanceTo(1_000);
        expect([...started].sort()).toEqual(['a1', 'b1', 'c1', 'f1', 'f2', 'x1', 'x2']);
        expect(deadLetters.published).toHaveLength(2);
        expect([source.committed(0), source.committed(1)]).toEqual([4, 3]);
      });
    }
  });

  it('hands a partition back in good order, at whatever millisecond, and its new owner does nothing twice', () => {
    for (let ms = 7; ms <= LAST_MS; ms++) {
      marbles((helpers) => {
        const { source, deadLetters, store, finished, pipeline } = jobOf(helpers);
        const { drive, advanceTo } = helpers;
        const out = drive(pipeline);
        advanceTo(ms);
        let revoked = 0;
        source.revoke(0, () => revoked++);
        source.revoke(1, () => revoked++);
        advanceTo(ms + 59);
        expect(revoked).toBe(2);
        expect(source.eventsOf('revoked').map(({ event }) => event.drained)).toEqual([true, true]);
        expect(source.session.inFlight).toBe(0);
        expect([...store.held]).toEqual([]);
        source.assign(0);
        source.assign(1);
        advanceTo(1_000);
        expect([source.committed(0), source.committed(1)]).toEqual([4, 3]);
        expect([...finished].sort()).toEqual(['a', 'b', 'c', 'f']);
        expect([...out.values].sort()).toEqual(['a', 'b', 'c', 'f']);
        // A dead letter above the watermark comes again: nothing remembers it.
        const dead = deadLetters.published.map(({ value }) => textOf(value as Uint8Array));
        expect([...new Set(dead)].sort()).toEqual(['"x"', '{']);
        expect(dead.filter((value) => value === '"x"')).toHaveLength(1);
      });
    }
  });

  it('commits nothing of a lost partition and comes to the same end, at whatever millisecond it is lost', () => {
    for (let ms = 7; ms <= LAST_MS; ms++) {
      marbles((helpers) => {
        const { source, store, finished, pipeline } = jobOf(helpers);
        const { drive, advanceTo } = helpers;
        drive(pipeline);
        advanceTo(ms);
        const committed = source.committed(0);
        source.lose(0);
        advanceTo(ms + 20);
        expect(source.committed(0)).toBe(committed);
        source.assign(0);
        advanceTo(1_000);
        expect([source.committed(0), source.committed(1)]).toEqual([4, 3]);
        expect([...new Set(finished)].sort()).toEqual(['a', 'b', 'c', 'f']);
        expect([...store.confirmed].sort()).toEqual(['a', 'b', 'c', 'f']);
        expect([...store.held]).toEqual([]);
        expect(source.session.inFlight).toBe(0);
      });
    }
  });

  it('sends nothing to the dead letters while its store is out, or its handler says so, and then goes on', () =>
    marbles((helpers) => {
      const { log, drive, advanceTo, now } = helpers;
      const source = log(undefined, { maxInFlight: 10 });
      source.fill(60, (index) => ({ value: `"${index}"`, key: `k${index % 5}` }));
      const deadLetters = fakePublisher();
      const store = fakeStore({ claim: storeUntil(5_000, storeIsOut), confirm: storeUntil(20_000, storeIsOut) });
      const done: number[] = [];
      const out = drive(
        source.deliveries.pipe(
          ordered({ by: 'key' }),
          retryToDlq({ deadLetters, maxRetries: 0 }),
          decode(json()),
          dedupe({ key: String, store }),
          handle(
            (value) =>
              timer(1).pipe(
                map(() => {
                  if (now() < 40_000 && now() > 10_000) throw unavailable(new Error('the back end is out'));
                  done.push(Number(value));
                }),
              ),
            { concurrency: 4 },
          ),
          ackEach(),
        ),
      );
      advanceTo(39_000);
      expect(deadLetters.calls).toEqual([]);
      expect(source.session.inFlight).toBe(10);
      expect(source.eventsOf('received').length).toBeLessThan(30);
      advanceTo(120_000);
      expect(deadLetters.calls).toEqual([]);
      expect(out.values).toHaveLength(60);
      expect(source.committed()).toBe(60);
      for (let key = 0; key < 5; key++) {
        const its = done.filter((value) => value % 5 === key);
        expect(its).toEqual([...its].sort((a, b) => a - b));
      }
    }));

  it('holds within credit while its dead letters cannot be published, and loses none', () =>
    marbles((helpers) => {
      const { log, drive, advanceTo } = helpers;
      const source = log(undefined, { maxInFlight: 8 });
      source.fill(40, (index) => ({ value: index % 2 === 0 ? '{' : `"${index}"`, key: `k${index % 4}` }));
      const deadLetters = fakePublisher(until(10_000, isOut));
      const out = drive(
        source.deliveries.pipe(ordered({ by: 'key' }), retryToDlq({ deadLetters }), decode(json()), ackEach()),
      );
      advanceTo(9_999);
      expect(deadLetters.published).toEqual([]);
      expect(source.session.inFlight).toBe(8);
      advanceTo(60_000);
      expect(deadLetters.published).toHaveLength(20);
      expect(out.values).toHaveLength(20);
      expect(source.committed()).toBe(40);
    }));

  it('takes bad bytes, tombstones, nothing, megabytes and binary keys: nothing lost, no stream ended', () =>
    marbles(({ drive, advanceTo }) => {
      const broker = memoryBroker({ topics: { orders: { partitions: 4 }, dlq: { partitions: 4 } } });
      const large = new Uint8Array(1_048_576).fill(255);
      const keys = [null, Uint8Array.of(), Uint8Array.of(0, 255, 128), bytesOf('text')];
      const values = [
        null,
        new Uint8Array(),
        large,
        Uint8Array.of(255),
        bytesOf('{'),
        bytesOf('{"id":"ok"}'),
        bytesOf('null'),
      ];
      const all = keys.flatMap((key) =>
        values.map((value) => ({ key, value, headers: { raw: Uint8Array.of(255, 0) } })),
      );
      drive(concat(of(null), publish(memoryPublisher(broker, { topic: 'orders' }), all)).pipe(toArray()));
      const out = drive(
        fromMemory(broker, { groupId: 'g', topics: ['orders'], until: 'end', maxInFlight: 3 }).pipe(
          ordered({ by: 'key' }),
          retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), maxRetries: 1, backoff: constant(1) }),
          decode(json()),
          handle((value) => timer(1).pipe(map(() => value)), { concurrency: 2 }),
          ackEach(),
        ),
      );
      advanceTo(10_000);
      expect(out.error).toBeUndefined();
      expect(out.completed).toBe(true);
      // A tombstone, an object and a null for each key.
      expect(out.values.filter((value) => value === null)).toHaveLength(8);
      expect(out.values.filter((value) => value !== null)).toEqual(Array.from({ length: 4 }, () => ({ id: 'ok' })));
      const dead = broker.messages('dlq');
      expect(dead).toHaveLength(16);
      for (const key of keys) {
        const its = dead.filter((letter) => JSON.stringify(letter.key) === JSON.stringify(key));
        expect(its.map(({ value }) => value?.length).sort()).toEqual([0, 1, 1, 1_048_576]);
        expect(its.every(({ headers }) => (headers['raw'] as Uint8Array)[0] === 255)).toBe(true);
      }
      expect(broker.committed('g', 'orders').reduce((sum: number, next) => sum + (next ?? 0), 0)).toBe(28);
    }));
});
