import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import kafkajs from 'kafkajs';
import { from } from 'rxjs';
import type { Message, PublisherConnection, PublishOutcome } from 'rxsluice';
import { kafkaPublisher, type KafkaPublisherOptions } from 'rxsluice/kafka';
import { fakeKafka, kafkaJsError, protocolError, type FakeKafka } from '../../support/kafka-fake.js';
import { pass } from '../../support/kafka-reader.js';

beforeEach(() => void jest.useFakeTimers());
afterEach(() => void jest.useRealTimers());

/** Connects, and writes down what comes of each call. */
async function publisher(kafka: FakeKafka, options: Partial<KafkaPublisherOptions> = {}) {
  const cold = kafkaPublisher(kafka, { topic: 't', ...options });
  const connect = async () => {
    let connection: PublisherConnection | null = null;
    let error: unknown = null;
    const holding = cold.connect().subscribe({
      next: (made) => (connection = made),
      error: (caught: unknown) => (error = caught),
    });
    await pass(0);
    const publish = (messages: readonly Message[]) => {
      const call: { outcomes: readonly PublishOutcome[] | null; error: unknown; letGo(): void } = {
        outcomes: null,
        error: null,
        letGo: () => undefined,
      };
      const calling = from((connection as PublisherConnection).publish(messages)).subscribe({
        next: (outcomes) => (call.outcomes = outcomes),
        error: (caught: unknown) => (call.error = caught),
      });
      call.letGo = () => calling.unsubscribe();
      return call;
    };
    return { publish, error, close: () => holding.unsubscribe() };
  };
  return { ...(await connect()), connect };
}

const values = (...all: string[]): Message[] => all.map((value) => ({ value }));
const statuses = (outcomes: readonly PublishOutcome[] | null): string[] => (outcomes ?? []).map(({ status }) => status);
const requests = (kafka: FakeKafka): string[] => kafka.requests.map((request) => request.values.join(' '));
const stored = (kafka: FakeKafka, partition = 0): string[] =>
  (kafka.topics.get('t')?.[partition]?.records ?? []).map(({ value }) => String(value));

describe('a batch', () => {
  it('has no message that cannot be read, which is refused by itself', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka);
    const unreadable = (name: string): Message =>
      Object.defineProperty({ value: 'x' }, name, {
        get: () => {
          throw new Error('of a getter');
        },
      });
    const odd = ['partition', 'key', 'headers', 'timestamp'].map(unreadable);
    const call = publish([...values('a'), ...odd, ...values('b')]);
    await pass(0);
    expect(statuses(call.outcomes)).toEqual(['ok', 'permanent', 'permanent', 'permanent', 'permanent', 'ok']);
    expect(requests(kafka)).toEqual(['a b']);
  });

  it('has at most maxBatch messages, in their order', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka, { maxBatch: 3 });
    const call = publish(values('a', 'b', 'c', 'd', 'e', 'f', 'g'));
    await pass(0);
    expect(requests(kafka)).toEqual(['a b c', 'd e f', 'g']);
    expect(call.outcomes).toEqual(
      ['0', '1', '2', '3', '4', '5', '6'].map((offset) => ({
        status: 'ok',
        position: { broker: 'kafka', topic: 't', partition: 0, offset },
      })),
    );
  });

  it('has at most maxBatchBytes; a larger message goes alone', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka, { maxBatchBytes: 300 });
    const [small, large] = ['x'.repeat(80), 'y'.repeat(900)];
    publish(values(small, small, small, large, small));
    await pass(0);
    expect(kafka.requests.map((request) => request.values.length)).toEqual([2, 1, 1, 1]);
  });

  it('is what one turn publishes, then what has gathered while a request was under way', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka);
    const release = kafka.hold('produce');
    publish(values('a'));
    publish(values('b'));
    await pass(0);
    publish(values('c'));
    await pass(50);
    publish(values('d', 'e'));
    expect(requests(kafka)).toEqual(['a b']);
    release();
    await pass(0);
    expect(requests(kafka)).toEqual(['a b', 'c d e']);
  });

  it('waits lingerMs for others, from the first message on', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka, { lingerMs: 100 });
    publish(values('a'));
    await pass(60);
    publish(values('b'));
    await pass(39);
    expect(requests(kafka)).toEqual([]);
    await pass(1);
    expect(requests(kafka)).toEqual(['a b']);
  });

  it.each([
    ['messages', { maxBatch: 3 }],
    ['bytes', { maxBatchBytes: 252 }],
  ])('that is full of %s waits no longer', async (_, options) => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka, { lingerMs: 1_000, ...options });
    publish(values('a'.repeat(20)));
    await pass(10);
    publish(values('b'.repeat(20), 'c'.repeat(20)));
    await pass(1);
    expect(kafka.requests).toHaveLength(1);
  });
});

describe('outcomes', () => {
  it('come in order, with what is no message refused by itself', async () => {
    const kafka = fakeKafka({ t: 2 });
    const { publish } = await publisher(kafka);
    const bad = [
      { value: 5 },
      { value: 'x', key: {} },
      { value: 'x', headers: { a: 1 } },
      { value: 'x', headers: { a: ['b', null] } },
      { value: 'x', headers: new Map([['a', 'b']]) },
      { value: 'x', timestamp: 1.5 },
      { value: 'x', partition: -1 },
      { value: 'x', partition: 0.5 },
      {},
    ] as never as Message[];
    const call = publish([{ value: 'a', partition: 1 }, ...bad, { value: null, key: 'gone', headers: { a: ['b'] } }]);
    await pass(0);
    expect(statuses(call.outcomes)).toEqual(['ok', ...bad.map(() => 'permanent'), 'ok']);
    for (const outcome of call.outcomes ?? []) {
      if (outcome.status !== 'ok') expect(outcome.error).toMatchObject({ code: 'publish-failed' });
    }
    expect([...stored(kafka, 1), ...stored(kafka, 0)].sort()).toEqual(['a', 'null']);
  });

  it('of nothing are nothing, of bad messages alone come without a request', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka);
    expect(publish([]).outcomes).toEqual([]);
    expect(statuses(publish([{ value: 5 as never }]).outcomes)).toEqual(['permanent']);
    await pass(0);
    expect(kafka.requests).toEqual([]);
  });
});

describe('a message that the broker will not take', () => {
  const messages = Array.from({ length: 16 }, (_, i) => ({
    value: i === 5 || i === 12 ? `${i}${'x'.repeat(500)}` : String(i),
    partition: i % 3,
  }));
  const kept = (partition: number): string[] =>
    messages.filter((one) => one.partition === partition && one.value.length < 500).map(({ value }) => value);

  it.each([
    ['one broker leads all', () => 1],
    ['each partition has another leader', (partition: number) => partition],
    ['two lead three', (partition: number) => partition % 2],
  ])('is found by halves; all others are stored once and in order, where %s', async (_, leaders) => {
    const kafka = fakeKafka({ t: 3 });
    kafka.leaders = leaders;
    kafka.maxMessageBytes = 500;
    const { publish } = await publisher(kafka);
    const call = publish(messages);
    await pass(0);
    expect(statuses(call.outcomes).flatMap((status, i) => (status === 'ok' ? [] : [i]))).toEqual([5, 12]);
    expect(call.outcomes?.[5]).toMatchObject({
      status: 'permanent',
      error: { code: 'publish-failed', message: 'kafkaPublisher: t does not take this message: MESSAGE_TOO_LARGE.' },
    });
    expect([0, 1, 2].map((partition) => stored(kafka, partition))).toEqual([kept(0), kept(1), kept(2)]);
    call.outcomes?.forEach((outcome, i) => {
      if (outcome.status !== 'ok') return;
      const { partition, offset } = outcome.position as { partition: number; offset: string } & typeof outcome.position;
      expect(stored(kafka, partition)[Number(offset)]).toBe(messages[i]?.value);
    });
    // The same producer: its sequence numbers are what the broker knows a repeat by.
    expect(new Set(kafka.requests.map(({ producer }) => producer)).size).toBe(1);
  });

  it('since its topic is gone is not looked for: all are refused by one request', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka);
    kafka.fail('produce', protocolError('UNKNOWN_TOPIC_OR_PARTITION', true), Infinity);
    const call = publish(values('a', 'b', 'c', 'd'));
    await pass(0);
    expect(call.outcomes).toMatchObject(
      values('a', 'b', 'c', 'd').map(() => ({ status: 'permanent', error: { code: 'unknown-topic' } })),
    );
    expect(kafka.requests).toHaveLength(1);
  });

  it('goes to a partition that does not exist: refused, until the topic has grown', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka);
    const before = publish([{ value: 'a', partition: 1 }, { value: 'b' }]);
    await pass(0);
    expect(statuses(before.outcomes)).toEqual(['permanent', 'ok']);
    kafka.topics.get('t')?.push({ low: 0, high: 0, records: [] });
    const after = publish([{ value: 'c', partition: 1 }]);
    await pass(0);
    expect([statuses(after.outcomes), stored(kafka, 1)]).toEqual([['ok'], ['c']]);
  });
});

describe('where a message goes', () => {
  it("is where kafkajs' default partitioner sends its key, and round robin without one", async () => {
    const kafka = fakeKafka({ t: 5 });
    const { publish } = await publisher(kafka);
    const keys = Array.from({ length: 40 }, (_, i) => `key-${i}-ü`);
    publish(keys.map((key) => ({ key, value: key })));
    publish(values(...Array.from({ length: 10 }, (_, i) => `turn-${i}`)));
    await pass(0);
    const partitioner = kafkajs.Partitioners.DefaultPartitioner();
    const partitionMetadata = Array.from({ length: 5 }, (_, partitionId) => ({ partitionId, leader: 1 })) as never;
    for (const key of keys) {
      const theirs = partitioner({ topic: 't', partitionMetadata, message: { key: Buffer.from(key), value: key } });
      expect(stored(kafka, theirs)).toContain(key);
    }
    for (let p = 0; p < 5; p++) expect(stored(kafka, p).filter((value) => value.startsWith('turn'))).toHaveLength(2);
  });

  it('is chosen once: kafkajs passes it on, idempotent, and creates no topic', async () => {
    const kafka = fakeKafka();
    await publisher(kafka);
    const { config } = kafka.producers[0] as FakeKafka['producers'][number];
    expect(config).toMatchObject({ idempotent: true, allowAutoTopicCreation: false, retry: { retries: 5 } });
    const choose = config.createPartitioner?.();
    expect(choose?.({ topic: 't', partitionMetadata: [], message: { key: 'k', partition: 3 } })).toBe(3);
  });
});

describe('a broker that is out', () => {
  it('fails the calls of the batch, and the next one goes by another producer', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka, { maxBatch: 2 });
    kafka.fail('produce', kafkaJsError('KafkaJSConnectionError'));
    const [first, second, third] = [publish(values('a')), publish(values('b', 'c')), publish(values('d'))];
    await pass(0);
    for (const { outcomes, error } of [first, second]) {
      expect([outcomes, error]).toMatchObject([null, { code: 'connection-failed', details: { topic: 't' } }]);
    }
    // Nothing of a failed call is sent any more.
    expect([statuses(third.outcomes), requests(kafka), stored(kafka)]).toEqual([['ok'], ['a b', 'd'], ['d']]);
    expect(kafka.requests.map(({ producer }) => producer)).toEqual([1, 2]);
    expect([kafka.producers.map(({ connected }) => connected), kafka.open]).toEqual([[false, true], 1]);
  });

  it('may come back with other leaders: a refused message still has nothing stored twice', async () => {
    const kafka = fakeKafka({ t: 2 });
    const { publish } = await publisher(kafka);
    kafka.fail('produce', kafkaJsError('KafkaJSConnectionError'));
    publish(values('a'));
    await pass(0);
    kafka.leaders = (partition) => partition;
    kafka.maxMessageBytes = 10;
    publish([
      { value: 'b', partition: 0 },
      { value: 'x'.repeat(11), partition: 1 },
    ]);
    await pass(0);
    expect([stored(kafka, 0), stored(kafka, 1)]).toEqual([['b'], []]);
  });

  it('fails call after call while no producer connects, then goes on', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka);
    kafka.fail('produce', kafkaJsError('KafkaJSConnectionError'));
    publish(values('a'));
    await pass(0);
    kafka.fail('connect', kafkaJsError('KafkaJSConnectionError'), 2);
    for (const value of ['b', 'c']) {
      const call = publish(values(value));
      await pass(0);
      expect(call.error).toMatchObject({ code: 'connection-failed' });
    }
    const call = publish(values('d'));
    await pass(0);
    expect([statuses(call.outcomes), stored(kafka), kafka.open]).toEqual([['ok'], ['d'], 1]);
  });

  it('fails a call that must look for a partition, and no other', async () => {
    const kafka = fakeKafka();
    const { publish } = await publisher(kafka);
    kafka.fail('admin', kafkaJsError('KafkaJSConnectionError'));
    const [lost, fine] = [publish([{ value: 'a', partition: 7 }]), publish(values('b'))];
    await pass(0);
    expect([lost.error, statuses(fine.outcomes)]).toMatchObject([{ code: 'connection-failed' }, ['ok']]);
  });
});

describe('the connection', () => {
  it('is one for all who hold it, and is closed with the last', async () => {
    const kafka = fakeKafka();
    const { connect, close } = await publisher(kafka);
    const other = await connect();
    expect([kafka.producers.length, kafka.open]).toEqual([1, 1]);
    close();
    await pass(0);
    other.publish(values('a'));
    await pass(0);
    expect([kafka.open, stored(kafka)]).toEqual([1, ['a']]);
    other.close();
    await pass(0);
    expect([kafka.open, jest.getTimerCount()]).toEqual([0, 0]);
  });

  it('is made anew after a close, and refuses what comes over the old one', async () => {
    const kafka = fakeKafka();
    const first = await publisher(kafka);
    first.close();
    await pass(0);
    expect(first.publish(values('late')).error).toMatchObject({ code: 'publish-failed' });
    const second = await first.connect();
    second.publish(values('a'));
    await pass(0);
    expect([stored(kafka), kafka.producers.length, kafka.open]).toEqual([['a'], 2, 1]);
  });

  it.each([0, 5_000])('is flushed at once as it closes, by lingerMs %d', async (lingerMs) => {
    const kafka = fakeKafka();
    const { publish, close } = await publisher(kafka, { maxBatch: 2, lingerMs });
    const call = publish(values('a'));
    const release = kafka.hold('produce');
    close();
    await pass(1);
    expect([requests(kafka), kafka.open]).toEqual([['a'], 1]);
    release();
    await pass(1);
    expect([statuses(call.outcomes), kafka.open, jest.getTimerCount()]).toEqual([['ok'], 0, 0]);
  });

  it('sends nothing of a call that is let go before, and closes all the same', async () => {
    const kafka = fakeKafka();
    const { publish, close } = await publisher(kafka);
    const [gone, stays] = [publish(values('a', 'b')), publish(values('c'))];
    gone.letGo();
    await pass(0);
    expect([requests(kafka), statuses(stays.outcomes)]).toEqual([['c'], ['ok']]);
    const last = publish(values('d'));
    close();
    last.letGo();
    await pass(1);
    expect([requests(kafka), kafka.open, jest.getTimerCount()]).toEqual([['c'], 0, 0]);
  });

  it('closes also where a call that is let go still looks for its partition', async () => {
    const kafka = fakeKafka();
    const { publish, close } = await publisher(kafka);
    const release = kafka.hold('admin');
    const call = publish([{ value: 'a', partition: 3 }]);
    await pass(1);
    call.letGo();
    close();
    release();
    await pass(1);
    expect([kafka.open, kafka.requests.length]).toEqual([0, 0]);
  });

  it.each([
    ['unknown-topic', 'admin', protocolError('UNKNOWN_TOPIC_OR_PARTITION', true)],
    ['connection-failed', 'admin', kafkaJsError('KafkaJSConnectionError')],
    ['authentication-failed', 'connect', kafkaJsError('KafkaJSSASLAuthenticationError')],
  ] as const)('that cannot be had is an error, %s, and leaves nothing open', async (code, step, error) => {
    const kafka = fakeKafka();
    kafka.fail(step, error);
    const failed = await publisher(kafka);
    expect([failed.error, kafka.open]).toMatchObject([{ code, details: { topic: 't' } }, 0]);
    const again = await failed.connect();
    expect([again.error, kafka.open]).toEqual([null, 1]);
  });

  it.each(['admin', 'connect'] as const)('that is let go while %s hangs leaves nothing open', async (step) => {
    const kafka = fakeKafka();
    const release = kafka.hold(step);
    const { close } = await publisher(kafka);
    close();
    release();
    await pass(1);
    expect([kafka.open, jest.getTimerCount()]).toEqual([0, 0]);
  });
});
