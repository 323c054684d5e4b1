import { expect, it } from '@jest/globals';
import { firstValueFrom, from, lastValueFrom, mergeMap, ReplaySubject, toArray } from 'rxjs';
import type { KinesisClientLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { kinesisPublisher, type KinesisPublisherOptions } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import type { KinesisPosition } from '../../../lib/brokers/kinesis/kinesis-record.js';
import { sharedHashKeys } from '../../../lib/brokers/kinesis/shared-hash-keys.js';
import {
  isSluiceError,
  publish,
  type Message,
  type PublisherConnection,
  type PublishOutcome,
} from '../../../lib/index.js';
import { describeKinesis } from '../../servers/describe-kinesis.js';
import { describeOwnKinesis } from '../../servers/describe-own-kinesis.js';
import { kinesisTestClient, type KinesisTestClient } from '../../servers/kinesis-test-client.js';
import { until } from '../../support/until.js';
import type { KinesisServerName } from '../../servers/kinesis/command.js';

type Options = Partial<KinesisPublisherOptions>;

const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const statuses = (outcomes: readonly PublishOutcome[]): string[] => [...new Set(outcomes.map(({ status }) => status))];
const placesOf = (outcomes: readonly PublishOutcome[]): string[] =>
  outcomes.flatMap((outcome) => {
    if (outcome.status !== 'ok') return [];
    const { shard, sequenceNumber, subSequenceNumber } = outcome.position as KinesisPosition;
    return [`${shard}/${sequenceNumber}/${subSequenceNumber ?? 'whole'}`];
  });

function send(kinesis: KinesisTestClient, stream: string, messages: readonly Message[], options: Options = {}) {
  return lastValueFrom(publish(kinesisPublisher(kinesis.newKinesis(), { stream, ...options }), messages));
}

/** All messages of a stream, aggregates taken apart: by shard, and in their order there. */
async function readAll(kinesis: KinesisTestClient, stream: string) {
  return (await kinesis.readAll(stream)).flatMap(({ shard, sequenceNumber, key, data }) =>
    deaggregate({ SequenceNumber: sequenceNumber, PartitionKey: key, Data: data }, null).map((message) => ({
      shard,
      key: message.key ?? '',
      value: text(message.data),
      place: `${shard}/${sequenceNumber}/${message.subSequenceNumber ?? 'whole'}`,
    })),
  );
}

/** Publishes runs of many keys by calls that are not waited for, and expects each key's in order, once, where it was told. */
async function expectOrder(
  kinesis: KinesisTestClient,
  options: Options & { readonly count: number; readonly keys: number },
) {
  const { count, keys, ...rest } = options;
  const stream = await kinesis.createStream({ shards: 4 });
  const connections = new ReplaySubject<PublisherConnection>(1);
  const held = kinesisPublisher(kinesis.newKinesis(), { stream, ...rest })
    .connect()
    .subscribe(connections);
  const connection = await firstValueFrom(connections);
  const messages = Array.from({ length: count }, (_, i) => ({ key: `key-${i % keys}`, value: String(i) }));
  const calls = Array.from({ length: Math.ceil(count / 250) }, (_, i) => messages.slice(i * 250, (i + 1) * 250));
  const answers = await lastValueFrom(
    from(calls).pipe(
      mergeMap((call) =>
        from(connection.publish(call)).pipe(
          mergeMap((outcomes) => placesOf(outcomes).map((place, i) => ({ place, value: call[i]?.value }))),
        ),
      ),
      toArray(),
    ),
  );
  held.unsubscribe();
  const stored = await readAll(kinesis, stream);
  expect(stored).toHaveLength(count);
  for (let nth = 0; nth < keys; nth++) {
    const values = stored.filter(({ key }) => key === `key-${nth}`).map(({ value }) => Number(value));
    expect(values).toEqual([...values].sort((a, b) => a - b));
  }
  const told = new Map(answers.map(({ value, place }) => [value, place]));
  for (const { value, place } of stored) expect(told.get(value)).toBe(place);
  return stream;
}

const ALWAYS: readonly KinesisServerName[] = ['kinesalite', 'kinesis-local', 'ferrokinesis'];
for (const server of ALWAYS) {
  describeKinesis(server, 'kinesisPublisher', (kinesis) => {
    it('stores keys and values as they are, and says where', async () => {
      const stream = await kinesis().createStream({ shards: 1 });
      const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const outcomes = await send(
        kinesis(),
        stream,
        [
          { key: 'ü 鍵', value: bytes },
          { key: new TextEncoder().encode('bytes'), value: 'text ü' },
          { value: '' },
          { key: 'headers', value: '{"a":1}', headers: { 'message-id': '7' } },
        ],
        { headers: 'json' },
      );
      expect(statuses(outcomes)).toEqual(['ok']);
      const stored = await kinesis().readAll(stream);
      expect(stored.map(({ key }) => key)).toEqual([
        'ü 鍵',
        'bytes',
        expect.stringMatching(/^1[0-9a-z]{10}$/),
        'headers',
      ]);
      expect(JSON.parse(text(stored[3]?.data as Uint8Array))).toEqual({
        headers: { 'message-id': '7' },
        value: { a: 1 },
      });
      expect(placesOf(outcomes)).toEqual(stored.map(({ shard, sequenceNumber }) => `${shard}/${sequenceNumber}/whole`));
      const plain = await send(kinesis(), stream, [{ key: 'k', value: bytes }]);
      expect(statuses(plain)).toEqual(['ok']);
      expect(Buffer.from((await kinesis().readAll(stream)).at(-1)?.data ?? [])).toEqual(Buffer.from(bytes));
    });

    it('lets hash keys choose the shard', async () => {
      const stream = await kinesis().createStream({ shards: 4 });
      const shards = await kinesis().shards(stream);
      const starts = new Map(shards.map(({ id, hashKeys: [first] }) => [String(first), id]));
      const outcomes = await send(
        kinesis(),
        stream,
        [...starts.keys()].map((value) => ({ key: 'same', value })),
        { hashKey: ({ value }) => value as string },
      );
      expect(statuses(outcomes)).toEqual(['ok']);
      for (const { shard, data } of await kinesis().readAll(stream)) expect(shard).toBe(starts.get(text(data)));
    });

    it('keeps the order of each key over calls that are not waited for', async () => {
      await expectOrder(kinesis(), { count: 2_000, keys: 200 });
    });

    it('keeps it through aggregates too, of a key and of shared hash keys', async () => {
      await expectOrder(kinesis(), { count: 3_000, keys: 7, aggregate: true });
      const stream = await expectOrder(kinesis(), {
        count: 3_000,
        keys: 1_000,
        aggregate: true,
        hashKey: sharedHashKeys(16),
      });
      expect((await kinesis().readAll(stream)).length).toBeLessThan(300);
    });

    it('refuses one by one what is too large, by its own limit and by that of the stream', async () => {
      const stream = await kinesis().createStream({ shards: 1 });
      const messages = Array.from({ length: 8 }, (_, i) => ({
        key: `k${i}`,
        value: i % 4 === 2 ? 'x'.repeat(1_100_000) : `${i}`,
      }));
      for (const options of [{}, { maxRecordBytes: 2 ** 21 }]) {
        const outcomes = await send(kinesis(), stream, messages, options);
        expect(outcomes.map(({ status }) => status)).toEqual(
          messages.map((_, i) => (i % 4 === 2 ? 'permanent' : 'ok')),
        );
        expect(outcomes[2]).toMatchObject({ error: { code: 'publish-failed' } });
      }
      expect(await kinesis().readAll(stream)).toHaveLength(12);
    });

    it('does not open a stream that does not exist', async () => {
      await expect(send(kinesis(), 'none', [{ value: 'a' }])).rejects.toMatchObject({
        code: 'unknown-topic',
        details: { stream: 'none' },
      });
    });

    it('fails the call where the stream goes', async () => {
      const stream = await kinesis().createStream();
      const connections = new ReplaySubject<PublisherConnection>(1);
      const held = kinesisPublisher(kinesis().newKinesis(), { stream }).connect().subscribe(connections);
      const connection = await firstValueFrom(connections);
      await kinesis().deleteStream(stream);
      // kinesis-local takes a moment to delete it.
      await until('the publish fails with unknown-topic', () =>
        lastValueFrom(from(connection.publish([{ value: 'a' }]))).then(
          () => false,
          (error: unknown) => isSluiceError(error) && error.code === 'unknown-topic',
        ),
      );
      held.unsubscribe();
    });
  });
}

describeKinesis('kinesis-local', 'kinesisPublisher', (kinesis) => {
  it('names a stream by its ARN', async () => {
    const stream = await kinesis().createStream({ shards: 1 });
    const { StreamDescriptionSummary } = await kinesis().newKinesis().describeStreamSummary({ StreamName: stream });
    const outcomes = await send(kinesis(), StreamDescriptionSummary?.StreamARN ?? '', [{ key: 'k', value: 'v' }]);
    expect(outcomes).toMatchObject([{ status: 'ok', position: { stream } }]);
  });
});

describeKinesis('ferrokinesis', 'kinesisPublisher, throttled in earnest', (kinesis) => {
  it.each([
    ['one by one', {}],
    ['over many requests', { maxRequests: 8, maxBatch: 50 }],
  ])('stores everything once and in order, as fast as the shard takes it, %s', async (_, options) => {
    const stream = await kinesis().createStream({ shards: 1 });
    let refused = 0;
    const client: KinesisClientLike = kinesis().newKinesis();
    const putRecords = client.putRecords.bind(client);
    client.putRecords = async (...call) => {
      const answer = await putRecords(...call);
      refused += answer.FailedRecordCount ?? 0;
      return answer;
    };
    const messages = Array.from({ length: 4_000 }, (_, i) => ({ key: `key-${i % 400}`, value: String(i) }));
    const began = performance.now();
    const outcomes = await lastValueFrom(publish(kinesisPublisher(client, { stream, ...options }), messages));
    const tookMs = performance.now() - began;
    expect(statuses(outcomes)).toEqual(['ok']);
    const stored = await readAll(kinesis(), stream);
    expect(stored).toHaveLength(messages.length);
    for (let nth = 0; nth < 400; nth++) {
      const values = stored.filter(({ key }) => key === `key-${nth}`).map(({ value }) => Number(value));
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
    // 1,000 records a second, after the first thousand.
    expect(refused).toBeGreaterThan(0);
    expect(tookMs).toBeGreaterThan(1_900);
    process.stderr.write(`ferrokinesis: 4,000 records in ${Math.round(tookMs)} ms, ${refused} refused on the way\n`);
  });
});

describeOwnKinesis('kinesalite', 'kinesisPublisher, whose server goes', (server) => {
  it('fails the call, typed, and goes on when it is back', async () => {
    const kinesis = kinesisTestClient(server());
    const stream = await kinesis.createStream();
    const connections = new ReplaySubject<PublisherConnection>(1);
    const held = kinesisPublisher(kinesis.newKinesis(), { stream }).connect().subscribe(connections);
    const connection = await firstValueFrom(connections);
    const put = () => lastValueFrom(from(connection.publish([{ key: 'k', value: 'v' }])));
    expect(statuses(await put())).toEqual(['ok']);
    await server().kill();
    await expect(put()).rejects.toMatchObject({ code: 'connection-failed', details: { stream } });
    await server().restart();
    await kinesis.newKinesis().createStream({ StreamName: stream, ShardCount: 1 });
    await until('a publish is ok again', async () => statuses(await put().catch(() => [])).join() === 'ok');
    held.unsubscribe();
    await kinesis.close();
  });
});
