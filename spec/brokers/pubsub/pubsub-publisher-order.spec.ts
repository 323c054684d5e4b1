import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { PubSubPublisherOptions } from '../../../lib/brokers/pubsub/pubsub-publisher.js';
import { choices } from '../../model/random.js';
import { marbles } from '../../support/marbles.js';
import { grpcError, publishFake, type PublishFake } from '../../support/pubsub-publish-fake.js';
import { hold } from '../../support/pubsub-publishing.js';
import { publishAtRandom, type Traffic } from '../../support/random-traffic.js';

interface Weather {
  readonly seed: number;
  readonly keys: number;
  readonly messages: number;
  /** How often a request is throttled, and how often it fails, stored or not. */
  readonly throttled: number;
  readonly failed: number;
  /** One message in 17 is refused, with all of its request. */
  readonly refused: boolean;
  readonly latencyMs: number;
  /** How often a call is let go while it may be under way. */
  readonly letGo: number;
}

interface Sent {
  readonly key: string;
  readonly value: string;
}

const weathers = fc.record({
  seed: fc.nat(),
  keys: fc.integer({ min: 1, max: 6 }),
  messages: fc.integer({ min: 1, max: 80 }),
  throttled: fc.double({ min: 0, max: 0.5, noNaN: true }),
  failed: fc.double({ min: 0, max: 0.3, noNaN: true }),
  refused: fc.boolean(),
  latencyMs: fc.integer({ min: 1, max: 50 }),
  letGo: fc.constantFrom(0, 0, 0.3),
});

const optionSets = fc.record({
  maxBatch: fc.integer({ min: 1, max: 20 }),
  maxBatchBytes: fc.constantFrom(1, 60, 200, 1_000_000),
  maxRequests: fc.integer({ min: 1, max: 5 }),
  lingerMs: fc.constantFrom(0, 0, 20),
  retryTimeoutMs: fc.constantFrom(0, 100, 60_000),
});

// Some pass, some do not.
const FAILURES = [14, 14, 13, 5, 7, 4];

function isRefused({ refused }: Pick<Weather, 'refused'>, number: number): boolean {
  return refused && number % 17 === 3;
}

function worst({ seed, throttled, failed, refused, latencyMs }: Weather): PublishFake {
  const { below, chance } = choices(seed);
  const fake = publishFake();
  fake.latencyMs = () => 1 + below(latencyMs) * 2;
  fake.refuse = ({ value }) => isRefused({ refused }, Number(value));
  fake.fail = () => {
    if (chance(throttled)) return { error: grpcError(8) };
    return chance(failed) ? { error: grpcError(FAILURES[below(6)] as number), stored: chance(0.5) } : null;
  };
  return fake;
}

/** What is stored of a key, each message where it came first: the order that is left once repeats are dropped. */
function firstsOf({ stored }: PublishFake, key: string): number[] {
  return [...new Set(stored.flatMap((one) => (one.key === key ? [Number(one.value)] : [])))];
}

const isAscending = (numbers: readonly number[]): boolean =>
  numbers.every((number, index) => index === 0 || (numbers[index - 1] as number) < number);

function publishAll(
  weather: Weather,
  options: Partial<PubSubPublisherOptions>,
): Traffic & { readonly fake: PublishFake } {
  const fake = worst(weather);
  const traffic = publishAtRandom(weather, 280_000, () => hold(fake, options));
  expect(traffic.timers).toBe(0);
  return { fake, ...traffic };
}

describe('the order of a key', () => {
  it('holds whatever is throttled, lost, refused, sent again and let go, and every message has one outcome', () => {
    fc.assert(
      fc.property(weathers, optionSets, (weather, options) => {
        const { fake, calls, sent, gone } = publishAll(weather, options);
        expect(fake.violations).toEqual([]);
        for (let nth = 0; nth < weather.keys; nth++) {
          const firsts = firstsOf(fake, `k${nth}`);
          expect([isAscending(firsts), firsts]).toEqual([true, firsts]);
        }
        const ids = new Map(fake.stored.map(({ messageId, value }) => [messageId, value]));
        calls.forEach(({ outcomes, error, at }, call) => {
          if (gone.has(call) && at === null) return;
          expect(at).not.toBeNull();
          if (error !== null) return;
          const messages = sent[call] ?? [];
          expect(outcomes?.filter(Boolean)).toHaveLength(messages.length);
          messages.forEach(({ value }, index) => {
            const outcome = outcomes?.[index];
            // What is confirmed is stored, under the id that is told; what is refused is not.
            if (outcome?.status === 'ok') {
              const { messageId } = outcome.position as never as { readonly messageId: string };
              expect(ids.get(messageId)).toBe(value);
            }
            expect([value, outcome?.status === 'permanent']).toEqual([
              value,
              outcome?.status === 'permanent' && isRefused(weather, Number(value)),
            ]);
          });
        });
      }),
      { numRuns: 400 },
    );
  });

  it('holds also for who publishes again, in order, what has failed of a key', () => {
    fc.assert(
      fc.property(weathers, optionSets, (weather, options) => {
        const fake = worst(weather);
        const count = Math.ceil(weather.messages / weather.keys);
        marbles(({ at, advanceTo }) => {
          const { publish, close } = hold(fake, options);
          // Each key has a publisher of its own, with up to three calls out. After a failure it waits for all of them.
          for (let nth = 0; nth < weather.keys; nth++) {
            const key = `k${nth}`;
            const { below } = choices(weather.seed + nth);
            let waiting = Array.from({ length: count }, (_, i) => i);
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
                    failed.push(
                      ...numbers.filter((_, index) => !['ok', 'permanent'].includes(outcomes?.[index]?.status ?? '')),
                    );
                    failed.sort((a, b) => a - b);
                    publishMore();
                  },
                );
              }
            };
            publishMore();
          }
          at(200_000, () => (fake.fail = () => null));
          advanceTo(280_000);
          close();
        });
        for (let nth = 0; nth < weather.keys; nth++) {
          const all = Array.from({ length: count }, (_, i) => i);
          expect(firstsOf(fake, `k${nth}`)).toEqual(all.filter((i) => !isRefused(weather, i)));
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
          const persist = (some: readonly Sent[]): void =>
            void publish(some, ({ error }) => {
              if (error !== null) persist(some);
            });
          let ms = 0;
          for (let from = 0; from < messages.length; ms += below(20)) {
            const some = messages.slice(from, (from += 1 + below(12)));
            at(ms, () => persist(some));
          }
          // A call of many messages may never come through weather that stays so.
          at(150_000, () => (fake.fail = () => null));
          advanceTo(280_000);
          close();
        });
        for (let nth = 0; nth < weather.keys; nth++) {
          const all = messages.flatMap(({ key, value }) => (key === `k${nth}` ? [Number(value)] : []));
          expect(firstsOf(fake, `k${nth}`)).toEqual(all.filter((i) => !isRefused(weather, i)));
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('packing', () => {
  const batches = fc.array(
    fc.record({ key: fc.constantFrom(null, 'a', 'b'), bytes: fc.integer({ min: 1, max: 60 }) }),
    { minLength: 1, maxLength: 120 },
  );

  it('keeps to one key, to the count and to the bytes, leaves room in no request, and keeps the order', () => {
    fc.assert(
      fc.property(
        batches,
        fc.integer({ min: 1, max: 30 }),
        fc.integer({ min: 1, max: 400 }),
        (all, maxBatch, bytes) => {
          const fake = publishFake();
          const sizeOf = ({ value, key }: { value: string; key: string | null }): number =>
            16 + value.length + (key?.length ?? 0);
          marbles(({ advanceTo }) => {
            const { publish, close } = hold(fake, { maxBatch, maxBatchBytes: bytes });
            publish(all.map(({ key, bytes: length }, i) => ({ key, value: String(i).padStart(length, '0') })));
            advanceTo(10_000);
            close();
          });
          for (const { messages } of fake.requests) {
            const size = messages.reduce((sum, message) => sum + sizeOf(message), 0);
            expect(messages.length === 1 || (messages.length <= maxBatch && size <= bytes)).toBe(true);
          }
          for (const key of [null, 'a', 'b']) {
            const ofKey = fake.requests.filter(({ messages }) => messages[0]?.key === key);
            const numbers = ofKey.flatMap(({ messages }) => messages.map(({ value }) => Number(value)));
            expect(numbers).toEqual(all.flatMap((one, i) => (one.key === key ? [i] : [])));
            ofKey.slice(1).forEach(({ messages: [next] }, index) => {
              const { messages } = ofKey[index] as (typeof ofKey)[number];
              const size = [...messages, next as (typeof messages)[number]].reduce((sum, one) => sum + sizeOf(one), 0);
              expect(messages.length === maxBatch || size > bytes).toBe(true);
            });
          }
          expect(fake.violations).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});
