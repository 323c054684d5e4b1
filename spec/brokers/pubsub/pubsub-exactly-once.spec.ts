import { afterEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Message, PubSub } from '@google-cloud/pubsub';
import { ackEach, handle, ordered, type TelemetryEvent } from '../../../lib/index.js';
import { fromPubSub } from '../../../lib/pubsub.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { until } from '../../support/until.js';

const MESSAGES = 1_200;
const KEYS = 150;
/** Of one key, one behind the other. */
const RUN = 4;

const keyOf = (n: number): number => Math.floor(n / RUN) % KEYS;

/** Those that come behind a later one of their key. */
const disordered = (numbers: readonly number[]): number[] => {
  const latest = new Map<number, number>();
  return numbers.filter((n) => {
    const before = latest.get(keyOf(n)) ?? -1;
    latest.set(keyOf(n), Math.max(before, n));
    return n < before;
  });
};

describePubSubFake('A subscription with ordering keys and exactly-once delivery', (fake, pubsub) => {
  const opened: PubSub[] = [];
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    fake().heal();
    await Promise.all(ends.splice(0).map((end) => end()));
    await Promise.all(opened.splice(0).map((client) => client.close()));
  });

  const open = async (): Promise<{ readonly topic: string; readonly name: string; readonly client: PubSub }> => {
    const topic = await pubsub().createTopic();
    const name = await pubsub().createSubscription(topic, {
      enableMessageOrdering: true,
      enableExactlyOnceDelivery: true,
      ackDeadlineSeconds: 60,
    });
    const client = pubsub().newPubSub();
    opened.push(client);
    return { topic, name, client };
  };

  describe('fromPubSub', () => {
    /** Reads all there is; a message that `fails` is nacked. */
    const readAll = async (fails: (n: number, tries: number) => boolean) => {
      const { topic, name, client } = await open();
      await pubsub().publish(topic, MESSAGES, { orderingKey: (n) => `key-${keyOf(n)}`, data: (n) => String(n) });
      const starts: number[] = [];
      const tries = new Map<number, number>();
      const events: TelemetryEvent['type'][] = [];
      const stop = new AbortController();
      const closed = new Promise<void>((resolve) => {
        fromPubSub(client.subscription(name), {
          maxInFlight: 64,
          stop: stop.signal,
          telemetry: ({ type }) => void events.push(type),
        })
          .pipe(
            ordered({ by: 'key' }),
            handle(
              async (value, delivery) => {
                const n = Number(new TextDecoder().decode(value as Uint8Array));
                starts.push(n);
                tries.set(n, (tries.get(n) ?? 0) + 1);
                await sleep(n % 7);
                if (fails(n, tries.get(n) ?? 0)) delivery.nack('not this time', { delayMs: 0 });
              },
              { concurrency: 32 },
            ),
            ackEach(),
          )
          .subscribe({ complete: resolve });
      });
      ends.push(() => (stop.abort(), closed));
      await until('all are done', () => fake().subscription(name).backlog === 0, 20_000);
      const { unordered } = fake().subscription(name).counts;
      return { starts, tries, unordered, refused: events.filter((type) => type === 'ack-failed').length };
    };

    it('starts each message once, in the order of its key, and has each ack taken', async () => {
      const { starts, refused, unordered } = await readAll(() => false);
      expect({ starts: starts.length, refused, unordered }).toEqual({ starts: MESSAGES, refused: 0, unordered: 0 });
      expect(disordered(starts)).toEqual([]);
    });

    it('keeps the order of keys where receipts fail for a moment, and goes on', async () => {
      fake().fail('ModifyAckDeadline', { count: 3 });
      const { starts, refused, unordered } = await readAll(() => false);
      expect({ starts: starts.length, refused, unordered }).toEqual({ starts: MESSAGES, refused: 0, unordered: 0 });
      expect(disordered(starts)).toEqual([]);
    });

    it('repeats what was nacked and nothing else, and keeps the order of its key', async () => {
      const failing = (n: number): boolean => n % 50 === 0;
      const { starts, tries, refused, unordered } = await readAll((n, count) => failing(n) && count === 1);
      expect({ refused, unordered }).toEqual({ refused: 0, unordered: 0 });
      expect([...tries].filter(([n, count]) => count !== (failing(n) ? 2 : 1))).toEqual([]);
      expect(disordered(starts.filter((n, index) => starts.lastIndexOf(n) === index))).toEqual([]);
    });
  });

  it('the bare client hands out messages of a key in any order where their receipts failed for a moment', async () => {
    const { topic, name, client } = await open();
    await pubsub().publish(topic, 60, { orderingKey: (n) => `key-${keyOf(n)}`, data: String });
    fake().fail('ModifyAckDeadline');
    const arrived: number[] = [];
    const subscription = client.subscription(name);
    ends.push(() => subscription.close());
    subscription.on('error', () => undefined);
    subscription.on('message', (message: Message) => void arrived.push(Number(String(message.data))));
    await until('all have come', () => arrived.length === 60, 10_000);
    expect(disordered(arrived)).not.toEqual([]);
  });

  describe('acks of a key that overtake each other (java-pubsub 1974), and what goes with them', () => {
    /** The first ack of key a is still on its way when its second is sent, together with one of key b. */
    const overtake = async (client: PubSub, name: string) => {
      const messages = new Map<string, Message>();
      const subscription = client.subscription(name, { batching: { maxMilliseconds: 5 } });
      subscription.on('error', () => undefined);
      subscription.on('message', (message: Message) => void messages.set(String(message.data), message));
      await until('all have come', () => messages.size === 3, 10_000);
      fake().delay('Acknowledge', 1_500);
      const first = messages.get('a0')?.ackWithResponse();
      await sleep(50);
      fake().heal();
      const others = ['a1', 'b0'].map((text) => messages.get(text)?.ackWithResponse());
      return Promise.allSettled([first, ...others]);
    };

    const publishThree = async () => {
      const { topic, name, client } = await open();
      await pubsub().publish(topic, 2, { orderingKey: () => 'a', data: (n) => `a${n}` });
      await pubsub().publish(topic, 1, { orderingKey: () => 'b', data: () => 'b0' });
      return { name, client };
    };

    it('the bare client: takes the one for failed that went well beside it', async () => {
      const { name, client } = await publishThree();
      const answers = await overtake(client, name);
      expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
      const { backlog, counts } = fake().subscription(name);
      expect([backlog, counts.unordered > 0]).toEqual([0, true]);
    });

    it('fromPubSub: the second waits for the first, and all are taken', async () => {
      const { name, client } = await publishThree();
      const go = new Map<string, () => void>();
      const types: TelemetryEvent['type'][] = [];
      const subscription = fromPubSub(client.subscription(name), {
        maxInFlight: 10,
        telemetry: ({ type }) => void types.push(type),
      })
        .pipe(
          handle(
            (value) => new Promise<void>((resolve) => go.set(new TextDecoder().decode(value as Uint8Array), resolve)),
            { concurrency: 10 },
          ),
          ackEach(),
        )
        .subscribe();
      ends.push(() => subscription.unsubscribe());
      await until('all have come', () => go.size === 3, 10_000);
      fake().delay('Acknowledge', 1_500);
      go.get('a0')?.();
      await sleep(50);
      fake().heal();
      go.get('a1')?.();
      go.get('b0')?.();
      await until('all are acked', () => fake().subscription(name).backlog === 0, 10_000);
      expect(types).not.toContain('ack-failed');
      expect(fake().subscription(name).counts).toMatchObject({ stale: 0, unordered: 0 });
    });
  });
});
