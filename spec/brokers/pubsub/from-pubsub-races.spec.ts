import { afterEach, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PubSub, Subscription, SubscriptionOptions } from '@google-cloud/pubsub';
import { ackEach, batch, type Delivery, type TelemetryEvent } from '../../../lib/index.js';
import { fromPubSub, type PubSubPosition, type PubSubSourceOptions } from '../../../lib/pubsub.js';
import { describePubSubFake } from '../../servers/describe-pubsub-fake.js';
import { until } from '../../support/until.js';

type PubSubDelivery = Delivery<Uint8Array | null, PubSubPosition>;

describePubSubFake('fromPubSub where things cross', (fake, pubsub) => {
  const opened: { unsubscribe(): void }[] = [];
  afterEach(() => {
    for (const subscription of opened.splice(0)) subscription.unsubscribe();
    fake().heal();
  });

  const place = async (shape = {}): Promise<{ topic: string; name: string }> => {
    const topic = await pubsub().createTopic();
    return { topic, name: await pubsub().createSubscription(topic, shape) };
  };
  const sourceOf = (name: string, options: PubSubSourceOptions, client: PubSub = pubsub().newPubSub()) => {
    const events: TelemetryEvent[] = [];
    const telemetry = (event: TelemetryEvent): void => void events.push(event);
    const source = fromPubSub(client.subscription(name), { ackDeadlineMs: 10_000, telemetry, ...options });
    return { source, ofType: (type: TelemetryEvent['type']) => events.filter((event) => event.type === type) };
  };

  it('streaming: leaves no stream behind that told of an error and did not end', async () => {
    const { topic, name } = await place();
    const client = pubsub().newPubSub();
    const streams: Subscription[] = [];
    const made = client.subscription.bind(client);
    client.subscription = (of: string, options?: SubscriptionOptions) => {
      const stream = made(of, options);
      if (options !== undefined) streams.push(stream);
      return stream;
    };
    const stop = new AbortController();
    let ended = false;
    const { source } = sourceOf(name, { stop: stop.signal, drainTimeoutMs: 90_000 }, client);
    opened.push(source.pipe(ackEach()).subscribe({ complete: () => (ended = true) }));
    await until('it streams', () => fake().subscription(name).streams === 5, 5_000);
    // As of a write to a stream that has just ended: the client passes it on, and streams on.
    streams[0]?.emit('error', Object.assign(new Error('write after end'), { code: 'ERR_STREAM_WRITE_AFTER_END' }));
    await until('another is open', () => streams.length === 6, 5_000);
    await until('it streams', () => fake().subscription(name).streams === 5, 5_000);
    await pubsub().publish(topic, 3);
    await until('they are acked', () => fake().subscription(name).backlog === 0, 5_000);
    stop.abort();
    // Far sooner than the drain, which waits for what is left.
    await until('it is complete', () => ended);
    await until('nothing streams', () => fake().subscription(name).streams === 0);
  });

  it.each([0, 1])(
    'streaming, exactly once: gives back at a stop what the client takes in late; at work: %i',
    async (busy) => {
      const { topic, name } = await place({ enableExactlyOnceDelivery: true });
      const stop = new AbortController();
      const seen: PubSubDelivery[] = [];
      const { source, ofType } = sourceOf(name, { stop: stop.signal });
      opened.push(source.subscribe((delivery) => void seen.push(delivery)));
      await pubsub().publish(topic, 1);
      await until('one is here', () => seen.length === 1, 5_000);
      if (busy === 0) seen[0]?.ack();
      await until('it is done', () => ofType('settled').length === 1 - busy, 5_000);
      // The client confirms a lease before it hands the message out.
      fake().delay('ModifyAckDeadline', 600);
      await pubsub().publish(topic, 5);
      await until('they are sent', () => fake().subscription(name).outstanding === 5 + busy, 5_000);
      await sleep(100);
      const from = performance.now();
      stop.abort();
      await sleep(800);
      if (busy === 1) seen[0]?.ack();
      await until('it is closed', () => ofType('closed').length === 1, 20_000);
      expect(performance.now() - from).toBeLessThan(4_000);
      expect([seen.length, fake().subscription(name).outstanding, ofType('ack-failed').length]).toEqual([1, 0, 0]);
    },
    30_000,
  );

  it('pull: acks and gives back more at once than a request may hold', async () => {
    const { topic, name } = await place();
    await pubsub().publish(topic, 4_000);
    const { source, ofType } = sourceOf(name, { mode: 'pull', maxInFlight: 4_000 });
    opened.push(source.pipe(batch({ maxSize: 4_000, maxWaitMs: 20_000 }), ackEach()).subscribe());
    await until('it is settled', () => ofType('settled').length + ofType('ack-failed').length >= 4_000, 20_000);
    expect([ofType('ack-failed').length, fake().subscription(name).backlog]).toEqual([0, 0]);
  });

  it('pull: acks too what came again while the ack was under way', async () => {
    const { topic, name } = await place();
    await pubsub().publish(topic, 1);
    const seen: PubSubDelivery[] = [];
    const { source, ofType } = sourceOf(name, { mode: 'pull', maxInFlight: 5 });
    opened.push(source.subscribe((delivery) => void seen.push(delivery)));
    await until('it is here', () => seen.length === 1, 5_000);
    const arrivals = (): number => Math.max(...fake().subscription(name).counts.deliveries.values());
    // The call waits at the service, which takes the lease for over meanwhile.
    fake().delay('Acknowledge', 1_500);
    seen[0]?.ack();
    await sleep(200);
    fake().advance(15_000);
    await until('it came again', () => arrivals() === 2, 5_000);
    await until('the ack is answered', () => ofType('settled').length === 1, 5_000);
    await until('nothing of it is left', () => fake().subscription(name).backlog === 0, 5_000);
    expect(seen).toHaveLength(1);
  });

  it('pull: takes calls that are cut together for one failure', async () => {
    const { topic, name } = await place();
    const { source, ofType } = sourceOf(name, { mode: 'pull', maxInFlight: 8_000 });
    let done = 0;
    opened.push(source.pipe(ackEach()).subscribe(() => done++));
    const before = fake().calls('Pull');
    await until('it pulls', () => fake().calls('Pull') >= before + 4, 5_000);
    fake().cutStreams('UNAVAILABLE', name);
    await pubsub().publish(topic, 3);
    await until('they are done', () => done === 3, 10_000);
    expect(ofType('unavailable')).toEqual([]);
  });

  it('pull: a stop gives back what the pull under way brings', async () => {
    const { topic, name } = await place();
    await pubsub().publish(topic, 20);
    const stop = new AbortController();
    const { source, ofType } = sourceOf(name, { mode: 'pull', maxInFlight: 10, stop: stop.signal });
    fake().delay('Pull', 1_000);
    const before = fake().calls('Pull');
    let seen = 0;
    opened.push(source.pipe(ackEach()).subscribe(() => seen++));
    await until('it pulls', () => fake().calls('Pull') === before + 1);
    stop.abort();
    await until('it is closed', () => ofType('closed').length === 1);
    const { outstanding, backlog, counts } = fake().subscription(name);
    expect([seen, outstanding, backlog, counts.nacks]).toEqual([0, 0, 20, 10]);
  });

  it('pull: a stop ends, though the pull under way is not answered', async () => {
    const { topic, name } = await place();
    await pubsub().publish(topic, 20);
    const stop = new AbortController();
    const { source, ofType } = sourceOf(name, { mode: 'pull', drainTimeoutMs: 500, stop: stop.signal });
    fake().delay('Pull', 120_000);
    const before = fake().calls('Pull');
    opened.push(source.pipe(ackEach()).subscribe());
    await until('it pulls', () => fake().calls('Pull') === before + 1);
    stop.abort();
    await until('it is closed', () => ofType('closed').length === 1);
  });
});
