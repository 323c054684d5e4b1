import { describe, expect, it } from '@jest/globals';
import { of } from 'rxjs';
import { encodeMessage as encodeForKafka } from '../../lib/brokers/kafka/kafka-outgoing.js';
import { kafkaShape } from '../../lib/brokers/kafka/kafka-record.js';
import { resolveKafkaOptions } from '../../lib/brokers/kafka/kafka-options.js';
import { firstRows } from '../../lib/brokers/kinesis/kinesis-lineage.js';
import { encodeMessage as encodeForKinesis } from '../../lib/brokers/kinesis/kinesis-outgoing.js';
import { arrivalsOf } from '../../lib/brokers/pubsub/pubsub-pulled.js';
import { encodeMessage as encodeForPubSub } from '../../lib/brokers/pubsub/pubsub-outgoing.js';
import { bytesOf } from '../../lib/stores/postgres/postgres-values.js';
import { constant } from '../../lib/core/backoff.js';
import type { Delivery } from '../../lib/core/delivery.js';
import type { Message } from '../../lib/core/message.js';
import { ownMessage } from '../../lib/core/own-message.js';
import { publish } from '../../lib/core/publish.js';
import { memoryBroker } from '../../lib/brokers/memory/memory-client.js';
import { memoryPublisher } from '../../lib/brokers/memory/memory-publisher.js';
import { fromMemory } from '../../lib/brokers/memory/memory-source.js';
import { ackEach } from '../../lib/operators/ack-each.js';
import { decode } from '../../lib/operators/decode.js';
import { filterValue } from '../../lib/operators/filter-value.js';
import { handle } from '../../lib/operators/handle.js';
import { json } from '../../lib/operators/json.js';
import { mapValue } from '../../lib/operators/map-value.js';
import { ordered } from '../../lib/operators/ordered.js';
import { publishTo } from '../../lib/operators/publish-to.js';
import { retryToDlq } from '../../lib/operators/retry-to-dlq.js';
import { split } from '../../lib/operators/split.js';
import { text } from '../../lib/operators/text.js';
import { withOutbox } from '../../lib/operators/with-outbox.js';
import { inAnotherRealm } from '../support/another-realm.js';
import { fakeKafka } from '../support/kafka-fake.js';
import { marbles } from '../support/marbles.js';
import { fakeOutbox } from '../support/outbox-store.js';
import { fakePublisher } from '../support/publishers.js';
import { textOf } from '../support/scripted-log.js';

/** Bytes in the middle of more of them, of another realm: the text "{"a":1}". */
const foreignBytes = (): Uint8Array =>
  inAnotherRealm('new Uint8Array([0, 123, 34, 97, 34, 58, 49, 125, 0]).subarray(1, 8)');
const TEXT = '{"a":1}';

/** A message of another realm, all of it. */
const foreignMessage = (more = ''): Message =>
  inAnotherRealm(`const bytes = () => new Uint8Array([0, 123, 34, 97, 34, 58, 49, 125, 0]).subarray(1, 8);
    ({ key: bytes(), value: bytes(), headers: { one: bytes(), many: [bytes(), 'x'] } ${more}})`);

// Vitest's jsdom, `vmThreads` and `node:vm` have classes of their own: what a user hands in there is not `instanceof` ours.
describe('bytes of another realm', () => {
  it('are published to Kafka, as Buffers of the same memory', () => {
    const message = foreignMessage();
    const { key, value, headers } = encodeForKafka(message, 1, () => 0);
    expect([key, value].map((bytes) => [Buffer.isBuffer(bytes), String(bytes)])).toEqual([
      [true, TEXT],
      [true, TEXT],
    ]);
    expect(value?.buffer).toBe((message.value as Uint8Array).buffer);
    expect([headers['one'], headers['many']].flat().map(String)).toEqual([TEXT, TEXT, 'x']);
  });

  it('are published to Kinesis and to Pub/Sub, as bytes of ours of the same memory', () => {
    const message: Message = { value: foreignBytes(), key: foreignBytes() };
    const options = { partitionKey: undefined, hashKey: undefined, headers: 'drop', maxRecordBytes: 1_000 } as const;
    const { data: toKinesis, key } = encodeForKinesis(message, options);
    const { message: toPubSub, key: orderingKey } = encodeForPubSub(message, {
      orderingKey: undefined,
      attributes: undefined,
    });
    for (const data of [toKinesis, toPubSub.data as Uint8Array]) {
      expect([data instanceof Uint8Array, textOf(data), data.buffer]).toEqual([
        true,
        TEXT,
        (message.value as Uint8Array).buffer,
      ]);
    }
    expect([key, orderingKey]).toEqual([TEXT, TEXT]);
    const asJson = encodeForKinesis(foreignMessage(), { ...options, headers: 'json' });
    expect(JSON.parse(textOf(asJson.data))).toEqual({ headers: { one: TEXT, many: [TEXT, 'x'] }, value: { a: 1 } });
  });

  it('of a header are text to Pub/Sub', () => {
    const message = { value: 'x', headers: { one: foreignBytes() } };
    const { message: sent } = encodeForPubSub(message, { orderingKey: undefined, attributes: undefined });
    expect(sent.attributes).toEqual({ one: TEXT });
  });

  it('are stored by the memory broker and read back, with a size that is a number', () => {
    marbles(({ drive, advanceTo }) => {
      const broker = memoryBroker({ topics: { t: {} } });
      const published = drive(publish(memoryPublisher(broker, { topic: 't' }), [foreignMessage()]));
      const read = drive(
        fromMemory(broker, { groupId: 'g', topics: ['t'], until: 'end' }).pipe(decode(json()), ackEach()),
      );
      advanceTo(1_000);
      expect(published.values).toMatchObject([[{ status: 'ok' }]]);
      expect([read.values, read.completed]).toEqual([[{ a: 1 }], true]);
      const [stored] = broker.messages('t');
      expect(textOf(stored?.key as Uint8Array)).toBe(TEXT);
    });
  });

  it('are a message of an outbox, copied', () => {
    const given = foreignMessage(", topic: 'out'");
    const own = ownMessage(given, (why) => {
      throw new Error(why);
    });
    const value = own.value as Uint8Array;
    expect([value instanceof Uint8Array, textOf(value)]).toEqual([true, TEXT]);
    expect(value.buffer === (given.value as Uint8Array).buffer).toBe(false);
    expect(textOf(own.headers?.['one'] as Uint8Array)).toBe(TEXT);
  });

  it('come out of a pull of Pub/Sub and of a bytea of Postgres as they are', () => {
    const data = foreignBytes();
    const [arrival] = arrivalsOf({ receivedMessages: [{ ackId: 'a', message: { data, messageId: '1' } }] }, 0, 10);
    expect(arrival?.data).toBe(data);
    expect(bytesOf(data)).toBe(data);
  });

  it('of Kafka are copied out of what a fetch brought, where they are to wait', () => {
    const record = { offset: '0', key: null, value: foreignBytes() as Buffer, timestamp: '0' };
    kafkaShape.detach?.(record);
    expect([textOf(record.value), record.value.buffer.byteLength]).toEqual([TEXT, 7]);
  });

  it('are decoded, and counted where they cannot be', () => {
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const deadLetters = fakePublisher();
      const retry = retryToDlq({ deadLetters });
      const codec = (bytes: Uint8Array | null): unknown => JSON.parse(textOf(bytes));
      const driven = drive(source.deliveries.pipe(retry, decode(codec), ackEach()));
      // The log hands on what it is given.
      source.publish('good', { value: foreignBytes() });
      source.publish('bad', { value: foreignBytes().subarray(1) });
      advanceTo(100);
      expect(driven.values).toEqual([{ a: 1 }]);
      const message = String(deadLetters.published[0]?.headers?.['dead-letter-error-message']);
      expect(message).toMatch(/cannot read orders\/0\/1 \(6 bytes\)/);
    });
  });

  it('and text of them are keys of ordered', () => {
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const driven = drive(source.texts.pipe(ordered({ by: () => foreignBytes() as never }), ackEach()));
      source.publish('a');
      source.publish('b');
      advanceTo(10);
      expect([driven.values, driven.error]).toEqual([['a', 'b'], undefined]);
    });
  });
});

describe('a Date of another realm', () => {
  const date: Date = inAnotherRealm('new Date(1700000000000)');

  it('is a start of Kafka, of Kinesis and of the memory broker', () => {
    const options = resolveKafkaOptions(fakeKafka(), { groupId: 'g', topics: ['t'], start: date });
    expect(options.start).toBe(date);
    const shards = [{ ShardId: 'shardId-000000000000', HashKeyRange: { StartingHashKey: '0', EndingHashKey: '1' } }];
    expect(firstRows(shards as never, date, 0).map(({ checkpoint }) => checkpoint)).toEqual([
      'AT_TIMESTAMP 1700000000000',
    ]);
    marbles(({ drive, advanceTo }) => {
      const broker = memoryBroker({ topics: { t: {} } });
      const at = (timestamp: number, value: string): Message => ({ value, timestamp });
      const messages = [at(1_699_999_999_999, 'before'), at(1_700_000_000_000, 'then')];
      drive(publish(memoryPublisher(broker, { topic: 't' }), messages));
      const source = fromMemory(broker, { groupId: 'g', topics: ['t'], start: date, until: 'end' });
      const read = drive(source.pipe(decode(text()), ackEach()));
      advanceTo(1_000);
      expect(read.values).toEqual(['then']);
    });
  });
});

describe('what a function of another realm gives', () => {
  const of2 = <T>(script: string): T => inAnotherRealm(script);

  it('is waited for where it is a Promise, and refused where nobody waits', async () => {
    const rejects: unknown[] = [];
    const driving = new Promise<void>((resolve) => {
      marbles(({ log, drive, advanceTo }) => {
        const source = log();
        const deadLetters = fakePublisher();
        const retry = retryToDlq({ deadLetters, maxRetries: 0 });
        const late = (): Promise<never> => of2('Promise.reject(new Error("late"))');
        drive(source.texts.pipe(retry, mapValue(late as never), filterValue(late as never), ackEach()));
        source.publish('a');
        advanceTo(10);
        rejects.push(...deadLetters.published.map(({ headers }) => headers?.['dead-letter-error-message']));
        resolve();
      });
    });
    await driving;
    expect(rejects).toEqual([expect.stringMatching(/^mapValue: the function gave a Promise/)]);
  });

  it('is a list of parts, of messages or of groups where it is an array', () => {
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const publisher = fakePublisher();
      const parts = split((value: string) => of2<string[]>(`['${value}1', '${value}2']`));
      const messages = publishTo(publisher, (value: string) => of2<Message[]>(`[{ value: '${value}' }]`));
      const driven = drive(source.texts.pipe(parts, messages, ackEach()));
      source.publish('a');
      advanceTo(10);
      expect(driven.values).toEqual(['a1', 'a2']);
      expect(publisher.published.map(({ value }) => value)).toEqual(['a1', 'a2']);
    });
  });

  it('is stored by emit, with headers', () => {
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const store = fakeOutbox();
      const handler = (value: string, { emit }: { emit(message: never): void }) => {
        emit(foreignMessage(", topic: 'out'") as never);
        return of(value);
      };
      const driven = drive(
        source.texts.pipe(withOutbox(store, handler, { consumer: 'c', key: (value: string) => value })),
      );
      source.publish('a');
      advanceTo(10);
      expect([driven.values, store.stored.length]).toEqual([['a'], 1]);
    });
  });

  it('is a failure with all its words where it is an error', () => {
    marbles(({ log, drive, advanceTo }) => {
      const source = log();
      const deadLetters = fakePublisher();
      const retry = retryToDlq({ deadLetters, maxRetries: 1, backoff: constant(10) });
      const fails = handle((_: string, delivery: Delivery<string>) => {
        throw of2<Error>(`new RangeError('no account', { cause: new TypeError('of attempt ${delivery.attempt}') })`);
      });
      drive(source.texts.pipe(retry, fails));
      source.publish('a');
      advanceTo(100);
      expect(deadLetters.published[0]?.headers).toMatchObject({
        'dead-letter-error-class': 'RangeError',
        'dead-letter-error-message': 'no account',
        'dead-letter-error-causes': 'TypeError: of attempt 2',
        'dead-letter-error-stack': expect.stringMatching(/^RangeError: no account/) as unknown,
        'dead-letter-attempts': '2',
      });
    });
  });
});
