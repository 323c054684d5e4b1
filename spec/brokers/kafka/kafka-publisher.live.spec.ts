import { expect, it } from '@jest/globals';
import { firstValueFrom, from, lastValueFrom, mergeMap, ReplaySubject } from 'rxjs';
import { isSluiceError, publish, type Message, type PublisherConnection } from '../../../lib/index.js';
import { kafkaPublisher, type KafkaPublisherOptions } from '../../../lib/kafka.js';
import { describeKafka } from '../../servers/describe-kafka.js';

describeKafka('kafkaPublisher on a real broker', (kafka) => {
  const send = (topic: string, messages: readonly Message[], options: Partial<KafkaPublisherOptions> = {}) =>
    lastValueFrom(publish(kafkaPublisher(kafka().newKafka(), { topic, ...options }), messages));

  it('stores keys, headers, times, tombstones and binary bytes as they are, and says where', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const binary = new Uint8Array([0, 255, 254, 128]);
    const outcomes = await send(topic, [
      {
        key: binary,
        value: binary,
        headers: { one: 'a', many: ['b', new Uint8Array([99])] },
        timestamp: 1_700_000_000_000,
      },
      { key: 'gone', value: null },
      { value: '' },
    ]);
    expect(outcomes).toEqual(
      ['0', '1', '2'].map((offset) => ({ status: 'ok', position: { broker: 'kafka', topic, partition: 0, offset } })),
    );
    const [first, second, third] = await kafka().readAll(topic);
    expect(first).toMatchObject({ key: Buffer.from(binary), value: Buffer.from(binary) });
    expect(first?.headers).toMatchObject({ one: Buffer.from('a'), many: [Buffer.from('b'), Buffer.from('c')] });
    expect(second?.value).toBeNull();
    expect(third).toMatchObject({ key: null, value: Buffer.alloc(0) });
  });

  it('chooses the partition of a key as the Java client and kafkajs do, and keeps an explicit one', async () => {
    const topic = await kafka().createTopic({ partitions: 7 });
    const keys = Array.from({ length: 50 }, (_, i) => `key-${i}-ü`);
    await kafka().send(
      topic,
      keys.map((key) => ({ key, value: 'kafkajs' })),
    );
    await send(
      topic,
      keys.map((key) => ({ key, value: 'ours' })),
    );
    await send(topic, [{ key: keys[0], value: 'explicit', partition: 6 }]);
    const stored = await kafka().readAll(topic);
    const partitionOf = (key: string, value: string) =>
      stored.find((record) => String(record.key) === key && String(record.value) === value)?.partition;
    for (const key of keys) expect(partitionOf(key, 'ours')).toBe(partitionOf(key, 'kafkajs'));
    expect(partitionOf(keys[0] as string, 'explicit')).toBe(6);
  });

  it('refuses one by one what the broker will never take, and stores all others once and in order', async () => {
    const topic = await kafka().createTopic({ partitions: 3, config: { 'max.message.bytes': '2000' } });
    const messages = Array.from({ length: 60 }, (_, i) => ({
      key: `key-${i % 5}`,
      value: i % 13 === 7 ? 'x'.repeat(3_000) : String(i),
    }));
    const outcomes = await send(topic, [...messages, { value: 'y', partition: 9 }, { value: 5 as never }]);
    const refused = outcomes.flatMap(({ status }, index) => (status === 'permanent' ? [index] : []));
    expect(refused).toEqual([7, 20, 33, 46, 59, 60, 61]);
    const errors = outcomes.flatMap((outcome) => (outcome.status === 'permanent' ? [outcome.error] : []));
    for (const error of errors) expect(isSluiceError(error) && error.code).toBe('publish-failed');
    const stored = await kafka().readAll(topic);
    const kept = messages.filter(({ value }) => value.length < 3_000);
    expect(stored).toHaveLength(kept.length);
    for (const key of new Set(kept.map((message) => message.key))) {
      const values = (all: readonly { key: unknown; value: unknown }[]): string[] =>
        all.filter((one) => String(one.key) === key).map(({ value }) => String(value));
      expect(values(stored)).toEqual(values(kept));
    }
  });

  it('takes a message of 1 MB among small ones, and batches beyond the bytes of a request', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const messages = [
      ...Array.from({ length: 40 }, () => ({ value: 'x'.repeat(100_000) })),
      { value: 'y'.repeat(1_000_000) },
      { value: 'z' },
    ];
    const outcomes = await send(topic, messages);
    expect(outcomes.every(({ status }) => status === 'ok')).toBe(true);
    expect((await kafka().readAll(topic)).map(({ value }) => value?.length)).toEqual([
      ...Array.from({ length: 40 }, () => 100_000),
      1_000_000,
      1,
    ]);
  });

  it('compresses by gzip', async () => {
    const topic = await kafka().createTopic({ partitions: 1, config: { 'max.message.bytes': '5000' } });
    const outcomes = await send(topic, [{ value: 'x'.repeat(100_000) }], { compression: 'gzip' });
    expect(outcomes).toMatchObject([{ status: 'ok' }]);
    expect((await kafka().readAll(topic))[0]?.value?.length).toBe(100_000);
  });

  it('keeps the order of calls that run side by side over one connection, and flushes on close', async () => {
    const topic = await kafka().createTopic({ partitions: 1 });
    const connections = new ReplaySubject<PublisherConnection>(1);
    const holding = kafkaPublisher(kafka().newKafka(), { topic, maxBatch: 7 }).connect().subscribe(connections);
    const connection = await firstValueFrom(connections);
    const calls = lastValueFrom(
      from(Array.from({ length: 100 }, (_, i) => i)).pipe(mergeMap((i) => connection.publish([{ value: String(i) }]))),
    );
    holding.unsubscribe();
    await calls;
    expect((await kafka().readAll(topic)).map(({ value }) => Number(value))).toEqual(
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  it('errors where the topic does not exist, and names it', async () => {
    await expect(send('no-such-topic', [{ value: 'x' }])).rejects.toMatchObject({
      code: 'unknown-topic',
      details: { topic: 'no-such-topic' },
    });
  });
});
