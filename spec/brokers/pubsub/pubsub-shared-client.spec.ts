import type { PubSub } from '@google-cloud/pubsub';
import { afterEach, expect, it } from '@jest/globals';
import type { Subscription } from 'rxjs';
import { ackEach, publish, type TelemetryEvent } from '../../../lib/index.js';
import { fromPubSub, pubsubPublisher, type PubSubSourceOptions } from '../../../lib/pubsub.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { until } from '../../support/until.js';

const SLOW_MS = 15_000;
const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

// As the service: it takes no more over a connection, and HTTP/2 of Node.js lets the rest wait, unseen.
describePubSubFake(
  'subscriptions and publishers that share a client, whose connection takes 100 calls and streams',
  (fake, pubsub) => {
    const sources: Subscription[] = [];
    let events: TelemetryEvent[] = [];
    let done = 0;
    const ofType = (type: string): TelemetryEvent[] => events.filter((event) => event.type === type);

    afterEach(async () => {
      fake().heal();
      for (const source of sources) source.unsubscribe();
      await until('all are closed', () => ofType('closed').length === sources.length);
      sources.length = 0;
      events = [];
      done = 0;
    });

    const open = (client: PubSub, name: string, options: PubSubSourceOptions = {}): void => {
      const telemetry = (event: TelemetryEvent): void => void events.push(event);
      const source = fromPubSub(client.subscription(name), { drainTimeoutMs: 500, telemetry, ...options });
      sources.push(
        source.pipe(ackEach()).subscribe({
          next: () => done++,
          error: (error: unknown) => events.push({ type: 'unavailable', what: 'it failed', error }),
        }),
      );
    };
    const makeSubscriptions = async (topic: string, count: number): Promise<string[]> => {
      const names: string[] = [];
      for (const _ of range(count)) names.push(await pubsub().createSubscription(topic));
      return names;
    };
    const sumOf = (names: readonly string[], what: 'backlog' | 'streams'): number =>
      names.reduce((sum, name) => sum + fake().subscription(name)[what], 0);

    it('22 subscriptions are read and acked, and there is room to publish', async () => {
      const topic = await pubsub().createTopic();
      const names = await makeSubscriptions(topic, 22);
      await pubsub().publish(topic, 5);
      const client = pubsub().newPubSub();
      for (const name of names) open(client, name);
      await until('all are acked', () => done === 110 && sumOf(names, 'backlog') === 0);
      expect(sumOf(names, 'streams')).toBe(44);
      await new Promise((resolve, reject) => {
        publish(pubsubPublisher(client, { topic }), [{ value: 'x' }]).subscribe({ next: resolve, error: reject });
      });
      await until('that comes too', () => done === 132 && sumOf(names, 'backlog') === 0);
      expect(events.filter(({ type }) => ['misuse', 'unavailable', 'ack-failed'].includes(type))).toEqual([]);
    });

    it('26 that pull have two pulls under way each, and acks have room beside them', async () => {
      const topic = await pubsub().createTopic();
      const names = await makeSubscriptions(topic, 26);
      const client = pubsub().newPubSub();
      const before = fake().calls('Pull');
      // Enough in flight for four.
      for (const name of names) open(client, name, { mode: 'pull', maxInFlight: 4_000 });
      await until('all pull', () => fake().calls('Pull') - before === 52);
      await pubsub().publish(topic, 5);
      await until('all are acked', () => done === 130 && sumOf(names, 'backlog') === 0);
    });

    it('those that come one by one each have a stream: one with several gives one up, and nothing is lost', async () => {
      const topic = await pubsub().createTopic();
      const names = await makeSubscriptions(topic, 15);
      const client = pubsub().newPubSub();
      for (const [index, name] of names.entries()) {
        open(client, name);
        const expected = Math.min(60, 5 * (index + 1));
        await until(
          `${expected} streams`,
          () => sumOf(names, 'streams') === expected && fake().subscription(name).streams > 0,
        );
      }
      expect(names.map((name) => fake().subscription(name).streams).sort()).toEqual([
        1,
        1,
        1,
        4,
        4,
        4,
        ...range(9).map(() => 5),
      ]);
      await pubsub().publish(topic, 100);
      await until('all are acked', () => done === 1_500 && sumOf(names, 'backlog') === 0);
    });

    it('the 61st waits, says so with the numbers, and is read once another has ended; not where it was stopped', async () => {
      const topic = await pubsub().createTopic();
      const names = await makeSubscriptions(topic, 62);
      const client = pubsub().newPubSub();
      for (const name of names) open(client, name);
      await until('60 stream', () => sumOf(names, 'streams') === 60);
      await until('the others have told', () => ofType('misuse').length === 2);
      const messages = ofType('misuse').map((event) => (event as { readonly message: string }).message);
      for (const part of ['62 sources', 'takes 100 streams and calls', '60 may be', 'Make more PubSub objects']) {
        expect(messages[0]).toContain(part);
      }
      expect(ofType('misuse')[0]).toMatchObject({ code: 'too-many-subscriptions' });
      const waiting = names.filter((name) => messages.some((message) => message.includes(name)));
      expect([waiting.length, sumOf(waiting, 'streams')]).toEqual([2, 0]);
      await pubsub().publish(topic, 1);
      await until('the 60 are acked', () => done === 60 && sumOf(names, 'backlog') === 2);
      const [stopped = '', next = ''] = waiting;
      sources[names.indexOf(stopped)]?.unsubscribe();
      const [one = '', other = ''] = names.filter((name) => !waiting.includes(name));
      sources[names.indexOf(one)]?.unsubscribe();
      sources[names.indexOf(other)]?.unsubscribe();
      await until('the next one is acked', () => done === 61 && fake().subscription(next).backlog === 0);
      await until('three are closed', () => ofType('closed').length === 3);
      expect([fake().subscription(stopped).streams, sumOf(names, 'streams')]).toEqual([0, 59]);
    });

    it('sources that failed hold no streams', async () => {
      const topic = await pubsub().createTopic();
      const [name = ''] = await makeSubscriptions(topic, 1);
      const client = pubsub().newPubSub();
      for (const index of range(70)) open(client, `missing-${index}`);
      await until('all have failed', () => ofType('closed').length === 70);
      open(client, name);
      await until('it streams', () => fake().subscription(name).streams === 5);
      expect(ofType('misuse')).toEqual([]);
    });

    it('another PubSub with a connection of its own has its own 60', async () => {
      const topic = await pubsub().createTopic();
      const names = await makeSubscriptions(topic, 24);
      // Without TLS all clients of one address would share a connection.
      const own = { projectId: 'demo', 'grpc.use_local_subchannel_pool': 1 };
      const clients = [pubsub().newPubSub(own), pubsub().newPubSub(own)];
      names.forEach((name, index) => open(clients[index % 2] as PubSub, name));
      await until('all have five', () => sumOf(names, 'streams') === 120);
      await pubsub().publish(topic, 5);
      await until('all are acked', () => done === 120 && sumOf(names, 'backlog') === 0);
    });

    it('publishes of 300 keys that take long hold up no ack', async () => {
      const [from, to] = [await pubsub().createTopic(), await pubsub().createTopic()];
      const [name = ''] = await makeSubscriptions(from, 1);
      const client = pubsub().newPubSub();
      open(client, name);
      await until('it streams', () => fake().subscription(name).streams === 5);
      fake().delay('Publish', SLOW_MS);
      const before = fake().calls('Publish');
      const messages = range(300).map((index) => ({ key: `key-${index}`, value: 'x' }));
      let published = 0;
      for (const _ of range(2)) {
        publish(pubsubPublisher(client, { topic: to }), messages).subscribe((outcomes) => {
          published += outcomes.filter(({ status }) => status === 'ok').length;
        });
      }
      await until('all that may are out', () => fake().calls('Publish') - before === 75);
      // Those that are out are slow.
      fake().delay('Publish', 0);
      await pubsub().send(
        from,
        range(20).map((index) => ({ data: Buffer.from(String(index)) })),
      );
      await until('all are acked', () => done === 20 && fake().subscription(name).backlog === 0);
      // Else it waited for them.
      expect(fake().topic(to).published).toBe(0);
      await until('all are published', () => published === 600);
    });

    it('two publishers of many keys take turns, and all is published', async () => {
      const [from, to] = [await pubsub().createTopic(), await pubsub().createTopic()];
      const [name = ''] = await makeSubscriptions(from, 1);
      const client = pubsub().newPubSub();
      open(client, name);
      await until('it streams', () => fake().subscription(name).streams === 5);
      fake().delay('Publish', 20);
      const messages = range(500).map((index) => ({ key: `key-${index}`, value: 'x' }));
      const outcomes: string[] = [];
      for (const _ of range(2)) {
        publish(pubsubPublisher(client, { topic: to }), messages).subscribe((all) =>
          outcomes.push(...all.map(({ status }) => status)),
        );
      }
      await until('all are answered', () => outcomes.length === 1_000);
      expect([new Set(outcomes), fake().topic(to).published]).toEqual([new Set(['ok']), 1_000]);
    });
  },
  { maxConcurrentStreams: 100 },
);
