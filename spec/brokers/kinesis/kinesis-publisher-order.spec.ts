import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { KinesisPosition } from '../../../lib/brokers/kinesis/kinesis-record.js';
import type { KinesisPublisherOptions } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { isMarked } from '../../../lib/brokers/kinesis/kpl-format.js';
import { sharedHashKeys } from '../../../lib/brokers/kinesis/shared-hash-keys.js';
import { choices } from '../../model/random.js';
import { sdkError } from '../../support/kinesis-fake-errors.js';
import { putFake, type PutFake } from '../../support/kinesis-put-fake.js';
import { hold } from '../../support/kinesis-publishing.js';
import { marbles } from '../../support/marbles.js';
import { publishAtRandom, type Traffic } from '../../support/random-traffic.js';

interface Weather {
  readonly seed: number;
  readonly keys: number;
  readonly messages: number;
  /** How often a record is refused, stored without a word of it, or its whole request fails. */
  readonly throttled: number;
  readonly lost: number;
  readonly failed: number;
  readonly latencyMs: number;
  /** How often a call is let go while it may be under way. */
  readonly letGo: number;
}

const weathers = fc.record({
  seed: fc.nat(),
  keys: fc.integer({ min: 1, max: 6 }),
  messages: fc.integer({ min: 1, max: 80 }),
  throttled: fc.double({ min: 0, max: 0.6, noNaN: true }),
  lost: fc.double({ min: 0, max: 0.2, noNaN: true }),
  failed: fc.double({ min: 0, max: 0.2, noNaN: true }),
  latencyMs: fc.integer({ min: 1, max: 50 }),
  letGo: fc.constantFrom(0, 0, 0.3),
});

const optionSets = fc.record({
  maxBatch: fc.integer({ min: 1, max: 20 }),
  maxRequests: fc.integer({ min: 1, max: 5 }),
  lingerMs: fc.constantFrom(0, 0, 20),
  retryTimeoutMs: fc.constantFrom(0, 100, 60_000),
  aggregate: fc.boolean(),
  maxAggregateBytes: fc.constantFrom(60, 100, 1_000),
  hashKey: fc.constantFrom(undefined, sharedHashKeys(2)),
});

/** A Kinesis at its worst: any record may be refused, any request may fail, stored or not, records are stored in any order. */
function worst({ seed, throttled, lost, failed, latencyMs }: Weather): PutFake {
  const { next, below, chance } = choices(seed);
  const fake = putFake();
  fake.judge = () => (chance(throttled) ? 'ProvisionedThroughputExceededException' : chance(lost) ? 'lost' : 'stored');
  fake.shuffle = (records) =>
    [...records]
      .map((index) => ({ index, at: next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ index }) => index);
  fake.latencyMs = () => 1 + below(latencyMs) * 2;
  fake.fail = () =>
    chance(failed)
      ? {
          error: chance(0.3) ? sdkError({ name: 'ThrottlingException' }) : sdkError({ code: 'ECONNRESET' }),
          stored: chance(0.5),
        }
      : null;
  return fake;
}

/** What is stored of a key, each message where it came first: the order that is left once repeats are dropped. */
function firstsOf({ stored }: PutFake, key: string): number[] {
  const messages = stored.flatMap(({ sequenceNumber, data, ...record }) =>
    deaggregate({ SequenceNumber: sequenceNumber, PartitionKey: record.key, Data: data }, null),
  );
  return [...new Set(messages.flatMap((one) => (one.key === key ? [Number(new TextDecoder().decode(one.data))] : [])))];
}

const isAscending = (numbers: readonly (number | bigint)[]): boolean =>
  numbers.every((number, index) => index === 0 || (numbers[index - 1] as number) < number);

/** A number that ascends with the position. */
function placeOf({ sequenceNumber, subSequenceNumber }: KinesisPosition): bigint {
  return BigInt(sequenceNumber) * 1_000n + BigInt(subSequenceNumber ?? 0);
}

function publishAll(weather: Weather, options: Partial<KinesisPublisherOptions>): Traffic & { readonly fake: PutFake } {
  const fake = worst(weather);
  return { fake, ...publishAtRandom(weather, 200_000, () => hold(fake, options)) };
}

function violations({ fake, calls, sent }: ReturnType<typeof publishAll>, keys: number): string[] {
  return Array.from({ length: keys }, (_, nth) => `k${nth}`).flatMap((key) => {
    const firsts = firstsOf(fake, key);
    const positions = calls.flatMap(({ outcomes }, call) =>
      (outcomes ?? []).flatMap((outcome, index) =>
        outcome.status === 'ok' && sent[call]?.[index]?.key === key
          ? [placeOf(outcome.position as KinesisPosition)]
          : [],
      ),
    );
    return [
      ...(isAscending(firsts) ? [] : [`${key} is stored as ${firsts.join(' ')}`]),
      ...(isAscending(positions) ? [] : [`${key} is confirmed at ${positions.join(' ')}`]),
    ];
  });
}

describe('the order of a key', () => {
  it('holds whatever is refused, lost, sent again and let go, and every message has one outcome', () => {
    fc.assert(
      fc.property(weathers, optionSets, (weather, options) => {
        const run = publishAll(weather, options);
        expect(violations(run, weather.keys)).toEqual([]);
        run.calls.forEach(({ outcomes, error, at }, call) => {
          if (run.gone.has(call) && at === null) return;
          expect(at).not.toBeNull();
          if (error === null) expect(outcomes?.filter(Boolean)).toHaveLength(run.sent[call]?.length ?? -1);
        });
        // What is confirmed is stored.
        const stored = new Set(run.fake.stored.map(({ sequenceNumber }) => sequenceNumber));
        for (const { outcomes } of run.calls) {
          for (const outcome of outcomes ?? []) {
            if (outcome.status === 'ok') expect(stored).toContain((outcome.position as KinesisPosition).sequenceNumber);
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('holds also for who publishes again, in order, what has failed of a key', () => {
    fc.assert(
      fc.property(weathers, optionSets, (weather, options) => {
        const fake = worst(weather);
        marbles(({ advanceTo }) => {
          const { publish, close } = hold(fake, options);
          // Each key has a publisher of its own, with up to three calls out. After a failure it waits for all of them.
          for (let nth = 0; nth < weather.keys; nth++) {
            const key = `k${nth}`;
            const { below } = choices(weather.seed + nth);
            let waiting = Array.from({ length: Math.ceil(weather.messages / weather.keys) }, (_, i) => i);
            let failed: number[] = [];
            let out = 0;
            const publishMore = (): void => {
              if (out === 0) {
                waiting = [...failed, ...waiting];
                failed = [];
              }
              while (waiting.length > 0 && out < 3 && failed.length === 0) {
                const numbers = waiting.splice(0, 1 + below(4));
                out++;
                publish(
                  numbers.map((number) => ({ key, value: String(number) })),
                  ({ outcomes }) => {
                    out--;
                    failed.push(...numbers.filter((_, index) => outcomes?.[index]?.status !== 'ok'));
                    failed.sort((a, b) => a - b);
                    publishMore();
                  },
                );
              }
            };
            publishMore();
          }
          advanceTo(250_000);
          close();
        });
        for (let nth = 0; nth < weather.keys; nth++) {
          const all = Array.from({ length: Math.ceil(weather.messages / weather.keys) }, (_, i) => i);
          expect(firstsOf(fake, `k${nth}`)).toEqual(all);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('holds also for who publishes a call again at once when it fails, over calls of many keys', () => {
    fc.assert(
      fc.property(weathers, optionSets, (weather, options) => {
        const fake = worst(weather);
        const { below } = choices(weather.seed + 1);
        const messages = Array.from({ length: weather.messages }, (_, i) => ({
          key: `k${below(weather.keys)}`,
          value: String(i),
        }));
        marbles(({ at, advanceTo }) => {
          const { publish, close } = hold(fake, { ...options, retryTimeoutMs: 10 ** 6 });
          const persist = (some: typeof messages): void =>
            void publish(some, ({ error }) => {
              if (error !== null) persist(some);
            });
          let ms = 0;
          for (let from = 0; from < messages.length; ms += below(20)) {
            const some = messages.slice(from, (from += 1 + below(12)));
            at(ms, () => persist(some));
          }
          // A call of many messages may never come through weather that stays so.
          at(150_000, () => Object.assign(fake, { judge: () => 'stored', fail: () => null }));
          advanceTo(250_000);
          close();
        });
        for (let nth = 0; nth < weather.keys; nth++) {
          const all = messages.flatMap(({ key, value }) => (key === `k${nth}` ? [Number(value)] : []));
          expect(firstsOf(fake, `k${nth}`)).toEqual(all);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('is what preserveOrder is for: without it such a weather breaks it', () => {
    const weather = { seed: 7, keys: 3, messages: 80, throttled: 0.3, lost: 0, failed: 0, latencyMs: 20, letGo: 0 };
    const options = { maxBatch: 20, maxRequests: 3, retryTimeoutMs: 60_000 };
    expect(violations(publishAll(weather, { ...options, preserveOrder: false }), 3)).not.toEqual([]);
    expect(violations(publishAll(weather, options), 3)).toEqual([]);
  });

  it.each([
    ['of a key', {}],
    ['of a shared hash key', { hashKey: sharedHashKeys(1) }],
  ] as const)('holds through aggregates %s too', (_, options) => {
    const weather = { seed: 7, keys: 3, messages: 80, throttled: 0.3, lost: 0.1, failed: 0, latencyMs: 20, letGo: 0 };
    const run = publishAll(weather, { ...options, aggregate: true });
    expect(violations(run, weather.keys)).toEqual([]);
    expect(run.fake.stored.some(({ data }) => isMarked(data))).toBe(true);
    expect(violations(publishAll(weather, { ...options, aggregate: true, preserveOrder: false }), 3)).not.toEqual([]);
  });

  it('costs no throughput where there are many keys: requests are as full as without it', () => {
    const requests = (preserveOrder: boolean): number => {
      const fake = putFake();
      marbles(({ advanceTo }) => {
        const { publish, close } = hold(fake, { preserveOrder, maxRequests: 1 });
        publish(Array.from({ length: 10_000 }, (_, i) => ({ key: `k${i % 1_000}`, value: String(i) })));
        advanceTo(10_000);
        close();
      });
      expect(fake.stored).toHaveLength(10_000);
      return fake.requests.length;
    };
    expect([requests(true), requests(false)]).toEqual([20, 20]);
  });
});
