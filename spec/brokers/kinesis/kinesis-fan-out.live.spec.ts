import { Kinesis } from '@aws-sdk/client-kinesis';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromKinesis } from '../../../lib/brokers/kinesis/from-kinesis.js';
import type { KinesisClientLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import type { KinesisSourceOptions } from '../../../lib/brokers/kinesis/kinesis-options.js';
import type { Delivery, TelemetryEvent } from '../../../lib/index.js';
import { memoryLeaseStore } from '../../../lib/memory.js';
import { describeKinesis } from '../../servers/describe-kinesis.js';
import { describeOwnKinesis } from '../../servers/describe-own-kinesis.js';
import { serveOverHttp2, type KinesisOverHttp2 } from '../../servers/kinesis-over-http2.js';
import { kinesisTestClient } from '../../servers/kinesis-test-client.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { until } from '../../support/until.js';

const FAST = { leaseMs: 1_000, readIntervalMs: 20, pollMs: 20, checkpointIntervalMs: 50 } as const;

/** A worker that acks what comes, where it is not told otherwise. */
function follow(
  client: KinesisClientLike,
  { acks = true, ...options }: Partial<KinesisSourceOptions> & { readonly acks?: boolean },
) {
  const events: TelemetryEvent[] = [];
  const came: string[] = [];
  const out: Delivery<Uint8Array | null>[] = [];
  const ends: unknown[] = [];
  const stop = new AbortController();
  const telemetry = (event: TelemetryEvent): void => void events.push(event);
  const fixed = { ...FAST, stream: 's', consumer: 'c', leases: memoryLeaseStore(), fanOut: true, telemetry } as const;
  fromKinesis(client, { ...fixed, stop: stop.signal, ...options }).subscribe({
    next: (delivery) => {
      came.push(new TextDecoder().decode(delivery.value?.subarray(0, 20)).trim());
      if (acks) delivery.ack();
      else out.push(delivery);
    },
    error: (error) => ends.push(error),
    complete: () => ends.push('complete'),
  });
  return {
    came,
    out,
    ends,
    events,
    told: (type: TelemetryEvent['type']) => events.filter((event) => event.type === type),
    stop: async (): Promise<void> => {
      stop.abort();
      await until('it is closed', () => events.some(({ type }) => type === 'closed'));
    },
  };
}

function texts(count: number, prefix = ''): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

describe('fan-out over HTTP/2, by the client of the SDK as it is by default', () => {
  let kinesis: FakeKinesis;
  let server: KinesisOverHttp2;
  let client: Kinesis;

  beforeEach(async () => {
    kinesis = fakeKinesis({ s: 2 });
    Object.assign(kinesis.fanOut, { takeoverMs: 0, quietMs: 200 });
    server = await serveOverHttp2(kinesis);
    client = new Kinesis({
      region: 'us-east-1',
      endpoint: server.endpoint,
      credentials: { accessKeyId: '000000000000', secretAccessKey: 'none' },
      maxAttempts: 1,
    });
  });
  afterEach(async () => {
    client.destroy();
    await server.close();
  });

  it('has all of a stream sent, in order, through a split, and leaves no socket (I8)', async () => {
    const stream = kinesis.stream('s');
    stream.append(0, ...texts(50, 'a'));
    stream.append(1, ...texts(50, 'b'));
    const reading = follow(client, {});
    await until('the old ones have come', () => reading.came.length === 100);
    const [lower, upper] = stream.split(0);
    stream.append(lower, ...texts(20, 'c'));
    stream.append(upper, ...texts(20, 'd'));
    await until('the new ones have come', () => reading.came.length === 140);
    for (const prefix of ['a', 'b', 'c', 'd']) {
      const mine = reading.came.filter((text) => text.startsWith(prefix));
      expect(mine).toEqual(texts(mine.length, prefix));
    }
    expect(kinesis.callsOf('getRecords')).toEqual([]);
    expect(server.subscriptions()).toBe(3);
    await reading.stop();
    expect(reading.ends).toEqual(['complete']);
    await until('all streams have ended', () => server.subscriptions() === 0);
    await until('all sockets have ended', () => server.sessions() === 0);
  });

  it.each([
    ['a clean end without children', () => kinesis.openSubscriptions().forEach((one) => one.end())],
    [
      'an error event',
      () => kinesis.openSubscriptions().forEach((one) => one.fail({ name: 'InternalFailureException' })),
    ],
    ['a cut connection', () => server.cut()],
  ])('goes on behind what came after %s', async (_, harm) => {
    const stream = kinesis.stream('s');
    stream.append(0, ...texts(30));
    const reading = follow(client, { acks: false });
    await until('they have come, and both shards have had events', () => {
      const isFruitful = kinesis.subscriptions.map(({ taken }) => taken.length > 0);
      return reading.came.length === 30 && isFruitful.length === 2 && isFruitful.every(Boolean);
    });
    harm();
    stream.append(0, '30', '31');
    await until('the rest has come', () => reading.came.length >= 32);
    await sleep(300);
    expect(reading.came).toEqual(texts(32));
    expect(reading.told('unavailable')).toEqual([]);
    reading.out.forEach((delivery) => delivery.ack());
    await reading.stop();
    await until('all sockets have ended', () => server.sessions() === 0);
  });

  it('has the server wait where nobody takes more, and loses nothing', async () => {
    const size = 50_000;
    kinesis.fanOut.eventRecords = 2;
    const all = texts(150);
    kinesis.stream('s').append(0, ...all.map((text) => text.padEnd(size)));
    const reading = follow(client, { acks: false, maxInFlight: 4, maxBufferedBytes: 200_000 });
    await until('it is full', () => reading.came.length === 4);
    await sleep(1_000);
    // Of 10 MB in base64.
    expect(server.sentBytes()).toBeLessThan(3_000_000);
    await until('all have come', () => {
      for (const delivery of reading.out.splice(0)) delivery.ack();
      return reading.came.length >= all.length;
    });
    expect(reading.came).toEqual(all);
    expect(kinesis.subscriptionsOf(shardId(0))).toHaveLength(1);
    for (const delivery of reading.out) delivery.ack();
    await reading.stop();
  });

  it('does so too with the handler that the docs advise', async () => {
    const requestHandler = { disableConcurrentStreams: false, sessionTimeout: 10_000, requestTimeout: 30_000 };
    const { endpoint } = server;
    const credentials = { accessKeyId: '000000000000', secretAccessKey: 'none' };
    const pooled = new Kinesis({ region: 'us-east-1', endpoint, credentials, maxAttempts: 1, requestHandler });
    kinesis.stream('s').append(0, ...texts(30));
    const reading = follow(pooled, {});
    await until('the old ones have come', () => reading.came.length === 30);
    kinesis.stream('s').append(0, '30');
    await until('the new one has come', () => reading.came.length === 31);
    expect(server.subscriptions()).toBe(2);
    await reading.stop();
    await until('all streams have ended', () => server.subscriptions() === 0);
    pooled.destroy();
    await until('all sockets have ended', () => server.sessions() === 0);
  });

  it('ends with unknown-topic where there is no such stream', async () => {
    const reading = follow(client, { stream: 'none' });
    await until('it has ended', () => reading.ends.length > 0);
    expect(reading.ends).toMatchObject([{ code: 'unknown-topic' }]);
  });
});

describe('what the client of the SDK says of itself', () => {
  it.each([
    ['a NodeHttpHandler', () => ({ requestHandler: new NodeHttpHandler() }), true],
    [
      'a NodeHttpHandler and an endpoint',
      () => ({ requestHandler: new NodeHttpHandler(), endpoint: 'http://127.0.0.1:1' }),
      false,
    ],
    ['nothing', () => ({}), false],
    ['a plain object', () => ({ requestHandler: { disableConcurrentStreams: false } }), false],
  ])('with %s as requestHandler tells whether it has HTTP/2', async (_, make, polls) => {
    const client = new Kinesis({ region: 'us-east-1', ...make() });
    const kinesis = fakeKinesis();
    kinesis.stream('s').append(0, 'a');
    const reading = follow(Object.assign(kinesis, { config: client.config }), {});
    await until('it has come', () => reading.came.length === 1);
    expect(reading.told('misuse')).toMatchObject(polls ? [{ code: 'fan-out-needs-http2' }] : []);
    expect(kinesis.subscriptions).toHaveLength(polls ? 0 : 1);
    await reading.stop();
    client.destroy();
  });
});

for (const server of ['kinesis-local', 'ferrokinesis', 'ministack'] as const) {
  describeKinesis(server, 'fan-out', (kinesis) => {
    it('has sent what is there and what comes, each once, and goes on behind its checkpoint', async () => {
      const stream = await kinesis().createStream({ shards: 2 });
      const leases = memoryLeaseStore();
      const client: KinesisClientLike = kinesis().newKinesis();
      let reads = 0;
      const getRecords = client.getRecords.bind(client);
      client.getRecords = (...call) => {
        reads++;
        return getRecords(...call);
      };
      await kinesis().put(stream, 60, { key: (index) => `key-${index % 8}` });
      const first = follow(client, { stream, leases });
      await until('the old ones have come', () => first.came.length >= 60);
      await kinesis().put(stream, 20, { first: 60, key: (index) => `key-${index % 8}` });
      await until('the new ones have come', () => first.came.length >= 80);
      await first.stop();
      expect(first.came.map(Number).sort((a, b) => a - b)).toEqual(texts(80).map(Number));
      for (let key = 0; key < 8; key++) {
        const mine = first.came.map(Number).filter((number) => number % 8 === key);
        expect(mine).toEqual([...mine].sort((a, b) => a - b));
      }
      expect(first.ends).toEqual(['complete']);

      await kinesis().put(stream, 10, { first: 80 });
      const second = follow(client, { stream, leases });
      await until('the newest have come', () => second.came.length >= 10);
      await second.stop();
      expect(second.came.map(Number).sort((a, b) => a - b)).toEqual(texts(90).slice(80).map(Number));
      expect(reads).toBe(0);
      expect([...first.told('misuse'), ...second.told('misuse')]).toEqual([]);
    });
  });
}

describeKinesis('ferrokinesis', 'fan-out', (kinesis) => {
  it('reads a shard to its end, then what it was split and merged into', async () => {
    const stream = await kinesis().createStream({ shards: 1 });
    await kinesis().put(stream, 40, { data: (index) => `a${index}` });
    const reading = follow(kinesis().newKinesis(), { stream });
    await until('it reads', () => reading.came.length > 0);
    const [first] = await kinesis().shards(stream);
    const [lower, upper] = await kinesis().split(stream, first?.id ?? '');
    await kinesis().put(stream, 40, { data: (index) => `b${index}` });
    await until('the children are read', () => reading.came.length === 80);
    await kinesis().merge(stream, lower, upper);
    await kinesis().put(stream, 40, { data: (index) => `c${index}` });
    await until('all have come', () => reading.came.length >= 120);
    await reading.stop();
    expect(reading.came).toHaveLength(120);
    expect(reading.came.map((text) => text[0]).join('')).toBe('a'.repeat(40) + 'b'.repeat(40) + 'c'.repeat(40));
    expect(reading.told('unavailable')).toEqual([]);
  });
});

describeKinesis('kinesalite', 'fan-out, which it does not know', (kinesis) => {
  it('is told, and the source polls', async () => {
    const stream = await kinesis().createStream({ shards: 2 });
    await kinesis().put(stream, 40);
    const reading = follow(kinesis().newKinesis(), { stream });
    await until('they have come', () => reading.came.length >= 40);
    await reading.stop();
    expect(reading.came).toHaveLength(40);
    expect(reading.told('misuse')).toMatchObject([{ code: 'fan-out-unsupported' }]);
    expect(reading.told('unavailable')).toEqual([]);
  });
});

describeOwnKinesis(
  'ministack',
  'fan-out that is cut and taken over',
  (server) => {
    it('goes on behind what came', async () => {
      const kinesis = kinesisTestClient(server());
      const stream = await kinesis.createStream({ shards: 1 });
      const reading = follow(kinesis.newKinesis(), { stream });
      for (let turn = 0; turn < 10; turn++) {
        await kinesis.put(stream, 10, { first: turn * 10 });
        await sleep(1_000);
      }
      await until('all have come', () => reading.came.length >= 100);
      await reading.stop();
      expect(reading.came).toEqual(texts(100));
      await kinesis.close();
    });
  },
  { config: { SUBSCRIPTION_SECONDS: '3', _SUBSCRIPTION_TAKEOVER_SECONDS: '1' } },
);
