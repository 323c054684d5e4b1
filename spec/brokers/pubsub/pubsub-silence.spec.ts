import { describe, expect, it } from '@jest/globals';
import { asyncScheduler } from 'rxjs';
import type { PubSubRequest } from '../../../lib/brokers/pubsub/pubsub-client.js';
import { createOutages } from '../../../lib/brokers/pubsub/pubsub-outages.js';
import { resolvePubSubOptions } from '../../../lib/brokers/pubsub/pubsub-options.js';
import { pullMessages } from '../../../lib/brokers/pubsub/pubsub-pull.js';
import type { PubSubReader } from '../../../lib/brokers/pubsub/pubsub-reader.js';
import { createSilence } from '../../../lib/brokers/pubsub/pubsub-silence.js';
import { streamMessages } from '../../../lib/brokers/pubsub/pubsub-streaming.js';
import type { QueueEngine } from '../../../lib/core/queue-engine.js';
import { virtually } from '../../core/harness.js';

/** A service whose calls end with this code of gRPC, or are answered where there is none; those that run out of time do so late. */
function serviceOf(codeOf: (method: string) => number | null) {
  const told: string[] = [];
  const errors: string[] = [];
  const calls: string[] = [];
  const engine = {
    // The engine tells it once, until it is back.
    unavailable: (what: string, error: Error) => {
      if (told.at(-1) !== `${what} is out`) told.push(`${what} is out`);
      errors.push(error.message);
    },
    recovered: (what: string) => void told.push(`${what} is back`),
    push: () => undefined,
  } as unknown as QueueEngine<never>;
  const request = (
    { method, gaxOpts }: PubSubRequest,
    answer: (error: Error | null, response?: unknown) => void,
  ): void => {
    calls.push(method);
    const code = codeOf(method);
    const afterMs = code === 4 || method === 'pull' ? (gaxOpts as { readonly timeout: number }).timeout : 1;
    const error = code === null ? null : Object.assign(new Error('no'), { code });
    asyncScheduler.schedule(() => answer(error, {}), afterMs);
  };
  const stream = { on: () => undefined, setOptions: () => undefined, close: () => Promise.resolve() };
  const pubsub = { isOpen: true, subscription: () => stream, request };
  return { told, errors, calls, engine, subscription: { name: 'projects/demo/subscriptions/s', pubsub } };
}

type Service = ReturnType<typeof serviceOf>;

const READERS: Readonly<Record<'streaming' | 'pull', (service: Service) => PubSubReader<never>>> = {
  streaming: ({ engine, subscription }) =>
    streamMessages(engine, subscription, 's', resolvePubSubOptions(subscription, {}), true),
  pull: ({ engine, subscription }) => {
    const options = resolvePubSubOptions(subscription, { mode: 'pull' });
    return pullMessages(engine, subscription, 's', options, true, 10_000);
  },
};

const [DEADLINE_EXCEEDED, PERMISSION_DENIED, UNAVAILABLE] = [4, 7, 14];

describe.each(['streaming', 'pull'] as const)('a connection that is dead without a word, %s', (mode) => {
  it('is told, and that it is back', () =>
    virtually(({ advance }) => {
      let code: number | null = DEADLINE_EXCEEDED;
      // An empty pull runs out of time as well.
      const service = serviceOf((method) => (method === 'pull' ? DEADLINE_EXCEEDED : code));
      const reader = READERS[mode](service);
      reader.start();
      advance(120_000);
      expect(service.told).toEqual(['the subscription is out']);
      expect(service.errors[0]).toContain('fromPubSub (subscription s): Pub/Sub says DEADLINE_EXCEEDED (4)');
      code = null;
      advance(30_000);
      expect(service.told).toEqual(['the subscription is out', 'the subscription is back']);
      reader.leaving?.();
    }));

  it.each([
    ['an answer', null],
    ['a refusal to look', 7],
    ['too many looks', 8],
  ])('is not a subscription without messages: %s', (_, code) =>
    virtually(({ advance }) => {
      const service = serviceOf((method) => (method === 'pull' ? DEADLINE_EXCEEDED : code));
      const reader = READERS[mode](service);
      reader.start();
      advance(600_000);
      expect(service.told).toEqual([]);
      // Once a minute.
      expect(service.calls.filter((method) => method === 'getSubscription').length).toBe(9);
      reader.leaving?.();
      advance(600_000);
      expect(service.calls.filter((method) => method === 'getSubscription').length).toBe(9);
    }),
  );
});

describe('createSilence', () => {
  it('says nothing is back by an answer, where streams have told that they are refused', () =>
    virtually(({ advance, timers }) => {
      let code: number | null = UNAVAILABLE;
      const { engine, told, subscription } = serviceOf(() => code);
      const { pubsub, name } = subscription;
      const options = { requestTimeoutMs: 30_000, refusalTimeoutMs: 300_000 };
      const streams = createOutages(engine, { pubsub, short: 's', ...options });
      const silence = createSilence(engine, pubsub, name, options);
      silence.start();
      streams.answered();
      streams.lost(Object.assign(new Error('no'), { code: PERMISSION_DENIED }));
      // One look fails, and the next is answered.
      advance(60_010);
      code = null;
      advance(10_000);
      expect(told).toEqual(['the subscription is out']);
      streams.answered();
      expect(told).toEqual(['the subscription is out', 'the subscription is back']);
      silence.end();
      streams.end();
      expect(timers()).toBe(0);
    }));

  it('asks nothing while something comes', () =>
    virtually(({ advance, timers }) => {
      const { engine, calls, subscription } = serviceOf(() => null);
      const silence = createSilence(engine, subscription.pubsub, subscription.name, {
        requestTimeoutMs: 30_000,
        refusalTimeoutMs: 300_000,
      });
      silence.start();
      for (let second = 0; second < 600; second++) {
        silence.heard();
        advance(1_000);
      }
      expect(calls).toEqual([]);
      silence.end();
      expect(timers()).toBe(0);
    }));
});
