import { afterAll, describe, expect, it } from '@jest/globals';
import kafkajs from 'kafkajs';
import {
  ignoreElements,
  lastValueFrom,
  map,
  NEVER,
  of,
  Subject,
  take,
  tap,
  timer,
  toArray,
  type Observable,
} from 'rxjs';
import {
  ackEach,
  handle,
  isSluiceError,
  retryToDlq,
  type SluiceError,
  type TelemetryEvent,
} from '../../../lib/index.js';
import { fromKafka, kafkaPublisher, type KafkaSourceOptions } from '../../../lib/kafka.js';
import { describeKafka, itSasl } from '../../servers/describe-kafka.js';
import { describeOwnKafka } from '../../servers/describe-own-kafka.js';
import { kafkaTestClient } from '../../servers/kafka-test-client.js';
import { sharedKafka } from '../../servers/shared-kafka.js';

const text = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString());

describeKafka('fromKafka on a real broker', (kafka) => {
  // A failed source closes in the background.
  afterAll(() => pause(1_500));

  const read = (options: Partial<KafkaSourceOptions> & { readonly topics: string[] }): Promise<(string | null)[]> =>
    lastValueFrom(
      fromKafka(kafka().newKafka(), { groupId: kafka().groupId(), until: 'end', ...options }).pipe(
        ackEach(),
        map(text),
        toArray(),
      ),
    );

  it('reads several topics to their end, commits and completes', async () => {
    const topics = [await kafka().createTopic({ partitions: 2 }), await kafka().createTopic({ partitions: 1 })];
    for (const topic of topics) await kafka().produce(topic, 300);
    const groupId = kafka().groupId();
    await expect(read({ topics, groupId })).resolves.toHaveLength(600);
    for (const topic of topics)
      await expect(kafka().committed(groupId, topic)).resolves.toEqual(await kafka().endOffsets(topic));
    await expect(read({ topics, groupId })).resolves.toEqual([]);
  });

  it('completes at once over empty topics', async () => {
    await expect(read({ topics: [await kafka().createTopic()] })).resolves.toEqual([]);
  });

  it('hands on keys, headers, repeated headers, times, tombstones, empty and binary bytes as they are', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const binary = Buffer.from([0, 255, 254, 128]);
    await kafka().send(topic, [
      { key: binary, value: binary, headers: { one: 'a', many: ['b', Buffer.from('c')] }, timestamp: '1700000000000' },
      { key: 'gone', value: null },
      { key: null, value: '' },
    ]);
    const seen = await lastValueFrom(
      fromKafka(kafka().newKafka(), { groupId: kafka().groupId(), topics: [topic], until: 'end' }).pipe(
        handle((value, { id, key, headers, timestamp, position }) =>
          of({ id, key, value, headers, timestamp, position }),
        ),
        ackEach(),
        toArray(),
      ),
    );
    expect(seen).toMatchObject([
      {
        id: `${topic}/0/0`,
        key: binary,
        value: binary,
        headers: { one: Buffer.from('a'), many: [Buffer.from('b'), Buffer.from('c')] },
        timestamp: 1_700_000_000_000,
        position: { broker: 'kafka', topic, partition: 0, offset: '0' },
      },
      { key: Buffer.from('gone'), value: null },
      { key: null, value: Buffer.alloc(0) },
    ]);
  });

  it('reads values of 1 MB and batches compressed by gzip', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const large = Buffer.alloc(1_000_000, 'x');
    await kafka().send(topic, [{ value: large }]);
    const producer = kafka().newKafka().producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
    await producer.connect();
    await producer.send({
      topic,
      compression: kafkajs.CompressionTypes.GZIP,
      messages: [{ value: 'a' }, { value: 'b' }],
    });
    await producer.disconnect();
    await expect(read({ topics: [topic] })).resolves.toEqual([large.toString(), 'a', 'b']);
  });

  describe('where it starts (I10)', () => {
    it('starts a new group at the oldest message, at the end, at a time or at given positions', async () => {
      const topic = await kafka().createTopic({ partitions: 1 });
      await kafka().send(
        topic,
        [1, 2, 3, 4].map((n) => ({ value: String(n), timestamp: String(1_700_000_000_000 + n * 1_000) })),
      );
      const topics = [topic];
      await expect(read({ topics })).resolves.toEqual(['1', '2', '3', '4']);
      await expect(read({ topics, start: 'latest' })).resolves.toEqual([]);
      await expect(read({ topics, start: new Date(1_700_000_002_500) })).resolves.toEqual(['3', '4']);
      await expect(read({ topics, start: [{ topic, partition: 0, offset: '1' }] })).resolves.toEqual(['2', '3', '4']);
    });

    it("makes 'latest' durable before anything comes: what is sent while it is away is read later", async () => {
      const topic = await kafka().createTopic({ partitions: 2 });
      await kafka().produce(topic, 10);
      const groupId = kafka().groupId();
      await expect(read({ topics: [topic], groupId, start: 'latest' })).resolves.toEqual([]);
      await expect(kafka().committed(groupId, topic)).resolves.toEqual(await kafka().endOffsets(topic));
      await kafka().produce(topic, 5, { first: 100 });
      await expect(read({ topics: [topic], groupId, start: 'latest' })).resolves.toHaveLength(5);
    });

    it.each(['error', 'earliest', 'latest'] as const)(
      'notices that retention has passed the committed position: %s',
      async (onPositionLost) => {
        const topic = await kafka().createTopic({ partitions: 1 });
        await kafka().produce(topic, 20);
        const groupId = kafka().groupId();
        await lastValueFrom(
          fromKafka(kafka().newKafka(), { groupId, topics: [topic] }).pipe(ackEach(), take(5), toArray()),
        );
        const admin = kafka().newKafka().admin();
        await admin.connect();
        await until(async () => (await kafka().committed(groupId, topic))[0] === 5n);
        await admin.fetchTopicOffsets(topic); // it forgets to look for the leaders by itself
        await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '12' }] });
        await admin.disconnect();
        const reading = read({ topics: [topic], groupId, onPositionLost });
        if (onPositionLost === 'error') {
          await expect(reading).rejects.toMatchObject({
            code: 'position-lost',
            details: { topic, partition: 0, expected: '5', found: '12' },
          });
          await expect(kafka().committed(groupId, topic)).resolves.toEqual([5n]);
        } else {
          await expect(reading).resolves.toHaveLength(onPositionLost === 'earliest' ? 8 : 0);
        }
      },
    );
  });

  it('notices that retention passed it while it stood still, and leaves its own position in the group (I10)', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    await kafka().produce(topic, 2_000, { value: () => 'x'.repeat(10_000) });
    const groupId = kafka().groupId();
    const held = new Subject<void>();
    let done = 0;
    const reading = lastValueFrom(
      fromKafka(kafka().newKafka(), { groupId, topics: [topic], maxInFlight: 1 }).pipe(
        handle(() => held),
        ackEach(),
        tap(() => done++),
        ignoreElements(),
      ),
      { defaultValue: null },
    );
    // What waits is bounded: it stops reading after some 4 MiB, long before the end of 20 MB.
    await until(() => held.observed);
    await pause(1_000);
    const admin = kafka().newKafka().admin();
    await admin.connect();
    await admin.fetchTopicOffsets(topic);
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '1990' }] });
    await admin.disconnect();
    held.complete();
    await expect(reading).rejects.toMatchObject({ code: 'position-lost', details: { topic, found: '1990' } });
    await until(async () => (await kafka().committed(groupId, topic))[0] === BigInt(done));
    await expect(kafka().committed(groupId, topic)).resolves.toEqual([BigInt(done)]);
    expect(done).toBeLessThan(1_990);
  });

  it('takes what a predecessor had done above the watermark for done', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    await kafka().produce(topic, 100);
    const groupId = kafka().groupId();
    const first: number[] = [];
    const stuck = fromKafka(kafka().newKafka(), { groupId, topics: [topic], drainTimeoutMs: 500 })
      .pipe(
        handle(
          (value) => {
            const number = Number(text(value));
            if (number % 10 === 3) return NEVER;
            first.push(number);
            return of(number);
          },
          { concurrency: 64 },
        ),
        ackEach(),
      )
      .subscribe();
    await until(() => first.length === 90);
    await closeOf(stuck);
    const again = (await read({ topics: [topic], groupId })).map(Number).sort((a, b) => a - b);
    expect(again).toEqual([3, 13, 23, 33, 43, 53, 63, 73, 83, 93]);
    await expect(kafka().committed(groupId, topic)).resolves.toEqual([100n]);
  });

  it('retries, then writes a dead letter with its origin', async () => {
    const [topic, dlq] = [await kafka().createTopic({ partitions: 1 }), await kafka().createTopic({ partitions: 1 })];
    await kafka().produce(topic, 3);
    const client = kafka().newKafka();
    const groupId = kafka().groupId();
    const done = await lastValueFrom(
      fromKafka(client, { groupId, topics: [topic], until: 'end' }).pipe(
        retryToDlq({ maxRetries: 1, backoff: () => 1, deadLetters: kafkaPublisher(client, { topic: dlq }) }),
        handle((value) => {
          if (text(value) === '1') throw new TypeError('no');
          return of(text(value));
        }),
        ackEach(),
        toArray(),
      ),
    );
    expect(done.sort()).toEqual(['0', '2']);
    const [letter] = await kafka().readAll(dlq);
    expect(letter?.value?.toString()).toBe('1');
    expect(String(letter?.headers['dead-letter-source-topic'])).toBe(topic);
    expect(String(letter?.headers['dead-letter-attempts'])).toBe('2');
    await expect(kafka().committed(groupId, topic)).resolves.toEqual([3n]);
  });

  describe('what cannot be', () => {
    const failure = async (source: Observable<unknown>): Promise<SluiceError> => {
      const error: unknown = await lastValueFrom(source).catch((caught: unknown) => caught);
      if (!isSluiceError(error)) throw new Error(`not a typed error: ${String(error)}`);
      return error;
    };

    it('names a topic that does not exist, at once', async () => {
      const source = fromKafka(kafka().newKafka(), { groupId: kafka().groupId(), topics: ['no-such-topic'] });
      await expect(failure(source)).resolves.toMatchObject({
        code: 'unknown-topic',
        message: expect.stringContaining('no-such-topic') as unknown,
      });
    });

    it('says that no broker can be reached', async () => {
      const client = kafka().newKafka({ brokers: ['127.0.0.1:1'], retry: { retries: 1 } });
      const error = await failure(fromKafka(client, { groupId: 'g', topics: ['t'] }));
      expect(error).toMatchObject({ code: 'connection-failed', cause: expect.any(Error) as unknown });
    });

    it('refuses a live twin over one client, and waits for one that closes', async () => {
      const topic = await kafka().createTopic();
      await kafka().produce(topic, 10);
      const client = kafka().newKafka();
      const options = { groupId: kafka().groupId(), topics: [topic] };
      const twin = fromKafka(client, options).pipe(ackEach()).subscribe();
      await expect(failure(fromKafka(client, options))).resolves.toMatchObject({ code: 'twin-consumer' });
      twin.unsubscribe();
      const values = lastValueFrom(fromKafka(client, { ...options, until: 'end' }).pipe(ackEach(), toArray()));
      await expect(values).resolves.toEqual(expect.any(Array));
    });

    it('shares each topic among its readers where the members of a group read different ones, and says so', async () => {
      const [a, b] = [await kafka().createTopic({ partitions: 2 }), await kafka().createTopic({ partitions: 2 })];
      const groupId = kafka().groupId();
      const seen: string[] = [];
      const events: TelemetryEvent[] = [];
      const member = (topic: string) =>
        fromKafka(kafka().newKafka(), { groupId, topics: [topic], telemetry: (event) => void events.push(event) })
          .pipe(
            handle((value, { position }) => of(`${position.topic}:${text(value)}`)),
            ackEach(),
          )
          .subscribe((value) => seen.push(value));
      const members = [member(a), member(b)];
      await kafka().produce(a, 20);
      await kafka().produce(b, 20);
      await until(() => new Set(seen).size === 40);
      expect(events).toContainEqual(expect.objectContaining({ type: 'misuse', code: 'mixed-topics' }));
      await Promise.all(members.map(closeOf));
    });

    it('ends with a typed error where a codec is not registered', async () => {
      const topic = await kafka().createTopic({ partitions: 1 });
      const { CompressionCodecs, CompressionTypes } = kafkajs;
      const missing = CompressionCodecs[CompressionTypes.Snappy] as () => unknown;
      CompressionCodecs[CompressionTypes.Snappy] = () => ({
        compress: ({ buffer }: { buffer: Buffer }) => Promise.resolve(asSnappy(buffer)),
      });
      const producer = kafka().newKafka().producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner });
      try {
        await producer.connect();
        await producer.send({ topic, compression: CompressionTypes.Snappy, messages: [{ value: 'x' }] });
      } finally {
        CompressionCodecs[CompressionTypes.Snappy] = missing;
        await producer.disconnect();
      }
      const error = await failure(fromKafka(kafka().newKafka(), { groupId: kafka().groupId(), topics: [topic] }));
      expect(error.code).toBe('unsupported');
    });

    itSasl('reads over SASL and TLS, and refuses a wrong password without showing it', async () => {
      const { sasl } = await sharedKafka();
      if (sasl === undefined) throw new Error('no SASL listener');
      const topic = await kafka().createTopic();
      await kafka().produce(topic, 10);
      const client = (password: string) =>
        kafka().newKafka({
          brokers: [...sasl.brokers],
          ssl: { ca: [sasl.ca] },
          sasl: { mechanism: 'plain', username: sasl.username, password },
        });
      const values = lastValueFrom(
        fromKafka(client(sasl.password), { groupId: kafka().groupId(), topics: [topic], until: 'end' }).pipe(
          ackEach(),
          toArray(),
        ),
      );
      await expect(values).resolves.toHaveLength(10);
      const error = await failure(fromKafka(client('open-sesame'), { groupId: 'g', topics: [topic] }));
      expect(error).toMatchObject({ code: 'authentication-failed' });
      const shown = [error, error.cause as Error]
        .map((one) => `${one.message} ${one.stack} ${JSON.stringify(one)}`)
        .join();
      expect(shown).not.toContain('open-sesame');
    });
  });

  it('leaves nothing behind when it is unsubscribed, wherever it is in its life (I8)', async () => {
    const topic = await kafka().createTopic();
    await kafka().produce(topic, 1_000);
    for (const afterMs of [0, 1, 5, 20, 60, 120, 250, 500, 1_000]) {
      const before = sockets();
      let closed = false;
      const telemetry = ({ type }: TelemetryEvent): void => void (closed ||= type === 'closed');
      const subscription = fromKafka(kafka().newKafka(), { groupId: kafka().groupId(), topics: [topic], telemetry })
        .pipe(
          handle(() => timer(1)),
          ackEach(),
        )
        .subscribe();
      await pause(afterMs);
      subscription.unsubscribe();
      await until(() => closed);
      await until(() => sockets() <= before);
      expect(sockets()).toBeLessThanOrEqual(before);
    }
  });
});

describeOwnKafka('fromKafka while the broker is away', (server) => {
  it('mends its connection, tells of the outage, loses nothing', async () => {
    const client = kafkaTestClient(server());
    const topic = await client.createTopic({ partitions: 2 });
    await client.produce(topic, 100);
    const events: string[] = [];
    const seen = new Set<string>();
    const subscription = fromKafka(client.newKafka(), {
      groupId: client.groupId(),
      topics: [topic],
      // The broker waits that long for the member that it knew.
      sessionTimeoutMs: 10_000,
      drainTimeoutMs: 5_000,
      telemetry: ({ type }) => void events.push(type),
    })
      .pipe(
        handle((value) => of(text(value) as string)),
        ackEach(),
      )
      .subscribe((value) => seen.add(value));
    await until(() => seen.size === 100);
    await server().kill();
    await pause(12_000);
    await server().restart();
    await client.produce(topic, 100, { first: 100 });
    await until(() => seen.size === 200, 120_000);
    expect(seen.size).toBe(200);
    expect(events).toContain('unavailable');
    expect(events).toContain('recovered');
    await closeOf(subscription);
    await client.close();
  });
});

/** Snappy without compression, in the frame of the Java client: one literal. */
function asSnappy(bytes: Buffer): Buffer {
  const length = Buffer.from([(bytes.length & 0x7f) | 0x80, bytes.length >> 7]);
  const literal = Buffer.from([61 << 2, (bytes.length - 1) & 0xff, (bytes.length - 1) >> 8]);
  const block = Buffer.concat([length, literal, bytes]);
  const header = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
  const size = Buffer.alloc(4);
  size.writeInt32BE(block.length);
  return Buffer.concat([header, size, block]);
}

function sockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'TCPSocketWrap' || kind === 'TLSWrap').length;
}

async function closeOf(subscription: { unsubscribe(): void }): Promise<void> {
  subscription.unsubscribe();
  await pause(700);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(holds: () => boolean | Promise<boolean>, timeoutMs = 20_000): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await holds()) && performance.now() < limit) await pause(20);
}
