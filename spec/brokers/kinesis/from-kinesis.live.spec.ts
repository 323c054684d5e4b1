import { expect, it } from '@jest/globals';
import { from, lastValueFrom, tap } from 'rxjs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fromKinesis } from '../../../lib/brokers/kinesis/from-kinesis.js';
import type { KinesisClientLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import type { KinesisSourceOptions } from '../../../lib/brokers/kinesis/kinesis-options.js';
import { kinesisPublisher } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import { ackEach, handle, ordered, publish, type Delivery, type TelemetryEvent } from '../../../lib/index.js';
import { memoryLeaseStore } from '../../../lib/memory.js';
import { describeKinesis } from '../../servers/describe-kinesis.js';
import { describeOwnKinesis } from '../../servers/describe-own-kinesis.js';
import { kinesisTestClient, type KinesisTestClient } from '../../servers/kinesis-test-client.js';
import { until } from '../../support/until.js';
import { watchedLeases, type Arrival } from '../../support/watched-leases.js';

type Options = Partial<KinesisSourceOptions> & { readonly stream: string };

// The test servers have no limits of their own.
const FAST = { lagEveryMs: 100, leaseMs: 1_000, readIntervalMs: 20, pollMs: 20, checkpointIntervalMs: 50 } as const;

/** A worker that handles and acks, key by key; `came` and `arrivals` may be shared by several. */
function follow(client: KinesisClientLike, options: Options, came: string[] = [], arrivals: Arrival[] = []) {
  const events: TelemetryEvent[] = [];
  const ends: unknown[] = [];
  const stop = new AbortController();
  const mine: Delivery<Uint8Array | null>[] = [];
  const telemetry = (event: TelemetryEvent): void => void events.push(event);
  fromKinesis(client, { ...FAST, consumer: 'c', leases: memoryLeaseStore(), telemetry, stop: stop.signal, ...options })
    .pipe(
      tap((delivery) => {
        came.push(textOf(delivery));
        mine.push(delivery);
        arrivals.push({ worker: options.worker ?? 'worker', shard: delivery.position.shard, text: textOf(delivery) });
      }),
      ordered({ by: 'key' }),
      handle(() => sleep(Math.random() * 10), { concurrency: 16 }),
      ackEach(),
    )
    .subscribe({ error: (error) => ends.push(error), complete: () => ends.push('complete') });
  const closed = (): Promise<void> => until('it is closed', () => events.some(({ type }) => type === 'closed'));
  return {
    came,
    mine,
    ends,
    events,
    ended: async (): Promise<void> => {
      await until('it has ended', () => ends.length > 0);
      await closed();
    },
    stop: (): Promise<void> => {
      stop.abort();
      return closed();
    },
  };
}

/** Of how many shards it was told that Kinesis has answered a read. */
const readsOf = (events: readonly TelemetryEvent[]): number =>
  new Set(
    events.flatMap((event) => (event.type === 'lag' && event.ageMs !== undefined ? [event.partition.partition] : [])),
  ).size;

function textOf({ value }: Delivery<Uint8Array | null>): string {
  return new TextDecoder().decode(value ?? undefined);
}

/** Puts a few records of 16 keys at a time, one call after the other, until it is ended; answers with what it put. */
function load(kinesis: KinesisTestClient, stream: string) {
  let isOver = false;
  let sent = 0;
  const done = (async () => {
    while (!isOver) {
      await kinesis.put(stream, 8, { first: sent, key: keyOf, data: (index) => `${keyOf(index)}/${index}` });
      sent += 8;
      await sleep(20);
    }
  })();
  return {
    sent: () => sent,
    end: async (): Promise<number> => {
      isOver = true;
      await done;
      return sent;
    },
  };
}

function keyOf(index: number): string {
  return `key-${index % 16}`;
}

for (const server of ['kinesalite', 'kinesis-local', 'ferrokinesis'] as const) {
  describeKinesis(server, 'fromKinesis', (kinesis) => {
    it('reads a stream that is split, merged and split under load by two workers: all of it, once, each key in order', async () => {
      const stream = await kinesis().createStream({ shards: 1 });
      // On a loaded machine a lease may be lost all the same: what was in hand comes twice then, and rightly.
      const leases = watchedLeases();
      const of = (worker: string) => ({ stream, worker, leases: leases.of(worker), leaseMs: 5_000 });
      const came: string[] = [];
      const arrivals: Arrival[] = [];
      const loading = load(kinesis(), stream);
      const ofOpenShards = async (): Promise<string[]> =>
        (await kinesis().shards(stream)).filter(({ isOpen }) => isOpen).map(({ id }) => id);
      const [first = ''] = await ofOpenShards();
      const left = follow(kinesis().newKinesis(), of('left'), came, arrivals);
      await until('the first has read', () => came.length > 100);
      const [lower, upper] = await kinesis().split(stream, first);
      const right = follow(kinesis().newKinesis(), of('right'), came, arrivals);
      await until('both have read', () => right.mine.length > 50 && left.mine.length > 0);
      const merged = await kinesis().merge(stream, lower, upper);
      const readFrom = (shard: string): boolean =>
        [...left.mine, ...right.mine].some(({ position }) => (position as { shard?: string }).shard === shard);
      await until('what came of the merge is read', () => readFrom(merged));
      const last = await kinesis().split(stream, merged);
      await until('what came of the last split is read', () => last.every(readFrom));
      // Half of the shards move for good.
      await left.stop();
      const sent = await loading.end();
      await until('all have come', () => new Set(came).size === sent);
      await right.stop();
      expect([left.ends, right.ends]).toEqual([['complete'], ['complete']]);
      expect({ unexplained: leases.unexplained(arrivals), lost: leases.lost }).toMatchObject({ unexplained: [] });
      expect(came.length - leases.explained(arrivals)).toBe(sent);
      const firsts = [...new Set(came)];
      for (let key = 0; key < 16; key++) {
        const numbers = firsts
          .filter((text) => text.startsWith(`key-${key}/`))
          .map((text) => Number(text.split('/')[1]));
        expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      }
    });

    it("reads until: 'end' what shards became before, also behind a closed one that was read long ago", async () => {
      const stream = await kinesis().createStream({ shards: 2 });
      const leases = memoryLeaseStore();
      await kinesis().put(stream, 50);
      const before = follow(kinesis().newKinesis(), { stream, leases, until: 'end' });
      await before.ended();
      expect([before.ends, before.came.length]).toEqual([['complete'], 50]);
      const rows = await lastValueFrom(from(leases.list({ consumer: 'c', stream })));
      expect(rows.map(({ owner }) => owner)).toEqual([null, null]);
      const [first, second] = (await kinesis().shards(stream)).map(({ id }) => id) as [string, string];
      // kinesalite brings an empty page with lag 0 before the end of a shard that was closed two seconds after its last record.
      await sleep(2_500);
      const merged = await kinesis().merge(stream, first, second);
      await kinesis().put(stream, 50, { first: 50 });
      await kinesis().split(stream, merged);
      await kinesis().put(stream, 50, { first: 100 });
      const after = follow(kinesis().newKinesis(), { stream, leases, until: 'end' });
      await after.ended();
      expect(after.ends).toEqual(['complete']);
      expect(new Set(after.came)).toEqual(new Set(Array.from({ length: 100 }, (_, n) => `${50 + n}`)));
    });

    it('ends with unknown-topic where there is no such stream', async () => {
      const reading = follow(kinesis().newKinesis(), { stream: 'none' });
      await reading.ended();
      expect(reading.ends).toMatchObject([{ code: 'unknown-topic', details: { stream: 'none' } }]);
    });

    it('ends with unknown-topic where the stream is deleted while it is read', async () => {
      const stream = await kinesis().createStream({ shards: 2 });
      await kinesis().put(stream, 10);
      const reading = follow(kinesis().newKinesis(), { stream, refusalTimeoutMs: 500 });
      await until('all have come', () => reading.came.length === 10);
      await kinesis().deleteStream(stream);
      await reading.ended();
      expect(reading.ends).toMatchObject([{ code: 'unknown-topic', details: { stream } }]);
    });

    it('takes aggregates apart, and goes on in the middle of one', async () => {
      const stream = await kinesis().createStream({ shards: 2 });
      const leases = memoryLeaseStore();
      const messages = Array.from({ length: 400 }, (_, index) => ({ key: keyOf(index), value: `${index}` }));
      await lastValueFrom(publish(kinesisPublisher(kinesis().newKinesis(), { stream, aggregate: true }), messages));
      expect((await kinesis().readAll(stream)).length).toBeLessThan(100);
      const came: string[] = [];
      const half = new AbortController();
      await lastValueFrom(
        fromKinesis(kinesis().newKinesis(), {
          ...FAST,
          stream,
          consumer: 'c',
          leases,
          maxInFlight: 7,
          drainTimeoutMs: 200,
          stop: half.signal,
        }).pipe(
          tap((delivery) => {
            // What is out at the stop comes again.
            if (came.length === 203) return half.abort();
            came.push(textOf(delivery));
            delivery.ack();
          }),
        ),
      );
      const rest = follow(kinesis().newKinesis(), { stream, leases }, came);
      await until('all have come', () => new Set(came).size === 400);
      await rest.stop();
      expect(came).toHaveLength(400);
    });

    it('tells that a stream was made anew, and moves nothing', async () => {
      const stream = await kinesis().createStream({ shards: 1 });
      const leases = memoryLeaseStore();
      await kinesis().put(stream, 5, { data: (index) => `old-${index}` });
      const before = follow(kinesis().newKinesis(), { stream, leases });
      await until('all have come', () => before.came.length === 5);
      await before.stop();
      await remake(kinesis(), stream);
      await kinesis().put(stream, 5, { data: (index) => `new-${index}` });

      const reading = follow(kinesis().newKinesis(), { stream, leases });
      await reading.ended();
      expect(reading.ends).toMatchObject([{ code: 'position-lost' }]);
      expect(reading.came).toEqual([]);
      const going = follow(kinesis().newKinesis(), { stream, leases, onPositionLost: 'earliest' });
      await until('the new ones have come', () => going.came.length === 5);
      expect(going.came.every((text) => text.startsWith('new-'))).toBe(true);
      expect(going.events.some(({ type }) => type === 'position-lost')).toBe(true);
      await going.stop();
      await kinesis().deleteStream(stream);
    });

    it("starts at 'latest', and loses nothing where it ends before the first message", async () => {
      const stream = await kinesis().createStream({ shards: 2 });
      const leases = memoryLeaseStore();
      await kinesis().put(stream, 10, { data: (index) => `old-${index}` });
      const first = follow(kinesis().newKinesis(), { stream, leases, start: 'latest' });
      await until('it reads', () => readsOf(first.events) >= 2);
      await kinesis().put(stream, 10, { data: (index) => `new-${index}` });
      await until('the new ones have come', () => first.came.length >= 10);
      await first.stop();
      expect(first.came.filter((text) => text.startsWith('old-'))).toEqual([]);

      const others = { stream, leases: memoryLeaseStore(), start: 'latest' } as const;
      const idle = follow(kinesis().newKinesis(), others);
      await until('it reads', () => readsOf(idle.events) >= 2);
      await idle.stop();
      await kinesis().put(stream, 10, { data: (index) => `newer-${index}` });
      const next = follow(kinesis().newKinesis(), others);
      const newer = (): string[] => next.came.filter((text) => text.startsWith('newer-'));
      await until('the newer ones have come', () => newer().length === 10);
      await next.stop();
    });
  });
}

async function remake(kinesis: KinesisTestClient, stream: string): Promise<void> {
  const client = kinesis.newKinesis();
  await kinesis.deleteStream(stream);
  // Sequence numbers tell streams apart by the second.
  await sleep(1_100);
  await until('the name is free', () =>
    client.createStream({ StreamName: stream, ShardCount: 1 }).then(
      () => true,
      () => false,
    ),
  );
  await until('it can be used', async () => {
    const { StreamDescriptionSummary } = await client.describeStreamSummary({ StreamName: stream });
    return StreamDescriptionSummary?.StreamStatus === 'ACTIVE';
  });
}

describeKinesis('kinesalite', 'fromKinesis, refused', (kinesis) => {
  it('ends with authentication-failed where the request is not signed', async () => {
    const stream = await kinesis().createStream();
    const client = kinesis().newKinesis({ signer: { sign: async (request) => request } });
    const reading = follow(client, { stream });
    await reading.ended();
    expect(reading.ends).toMatchObject([{ code: 'authentication-failed', details: { stream } }]);
  });

  it('ends with authentication-failed where there are no credentials', async () => {
    const stream = await kinesis().createStream();
    const none = Object.assign(new Error('Could not load credentials'), { name: 'CredentialsProviderError' });
    const client = kinesis().newKinesis({ credentials: () => Promise.reject(none) });
    const reading = follow(client, { stream });
    await reading.ended();
    expect(reading.ends).toMatchObject([{ code: 'authentication-failed', details: { stream } }]);
  });

  it('ends with connection-failed where nothing answers at first', async () => {
    const client = kinesis().newKinesis({ endpoint: 'http://127.0.0.1:1' });
    const reading = follow(client, { stream: 'any' });
    await reading.ended();
    expect(reading.ends).toMatchObject([{ code: 'connection-failed' }]);
  });
});

describeOwnKinesis(
  'ferrokinesis',
  'fromKinesis, whose iterators expire',
  (server) => {
    it('goes on behind what came, however long nobody takes more', async () => {
      const kinesis = kinesisTestClient(server());
      const stream = await kinesis.createStream({ shards: 1 });
      await kinesis.put(stream, 40);
      const came: string[] = [];
      const out: Delivery<Uint8Array | null>[] = [];
      const ends: unknown[] = [];
      let expired = 0;
      let isClosed = false;
      const client: KinesisClientLike = kinesis.newKinesis();
      const getRecords = client.getRecords.bind(client);
      client.getRecords = (...call) =>
        getRecords(...call).catch((error: unknown) => {
          if ((error as Error).name === 'ExpiredIteratorException') expired++;
          throw error;
        });
      const reading = fromKinesis(client, {
        ...FAST,
        stream,
        consumer: 'c',
        leases: memoryLeaseStore(),
        recordsPerRead: 5,
        maxInFlight: 5,
        maxBufferedBytes: 1,
        telemetry: ({ type }) => void (isClosed ||= type === 'closed'),
      }).subscribe({
        next: (delivery) => {
          came.push(textOf(delivery));
          out.push(delivery);
        },
        error: (error) => ends.push(error),
      });
      await until('it is full', () => came.length === 5);
      await sleep(2_500);
      await until('all have come', () => {
        for (const delivery of out.splice(0)) delivery.ack();
        return came.length >= 40 || ends.length > 0;
      });
      expect(expired).toBeGreaterThan(0);
      expect([ends, came]).toEqual([[], Array.from({ length: 40 }, (_, index) => `${index}`)]);
      for (const delivery of out.splice(0)) delivery.ack();
      reading.unsubscribe();
      await until('it is closed', () => isClosed);
      await kinesis.close();
    });
  },
  { config: { 'iterator-ttl-seconds': '1' } },
);
