import { Kafka, logLevel, type KafkaConfig } from 'kafkajs';
import pg from 'pg';
import { map, type Observable } from 'rxjs';
import {
  ackEach,
  decode,
  dedupe,
  handle,
  json,
  ordered,
  publish,
  retryToDlq,
  type Delivery,
  type Message,
  type Publisher,
} from 'rxsluice';
import { fromKafka, kafkaPublisher, type KafkaPosition } from 'rxsluice/kafka';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';
import { postgresIdempotencyStore } from 'rxsluice/postgres';
import { fromPubSub } from 'rxsluice/pubsub';
import { pubsubTestClient } from '../servers/pubsub-test-client.js';
import { startPubSubFake } from '../servers/pubsub-fake/pubsub-fake.js';

/** What a mistake has to work with, as JSON: the real servers that are at hand. */
export interface Given {
  readonly brokers: readonly string[];
  readonly topic: string;
  /** A topic that exists, for dead letters. */
  readonly deadLetters: string;
  readonly groupId: string;
  readonly sasl?: { readonly brokers: readonly string[]; readonly username: string; readonly ca: string };
  readonly postgresUrl?: string;
}

/** A program as a newcomer writes it, with a mistake in it, and with nothing configured that tells of mistakes. */
type Mistake = (given: Given, stop: AbortSignal) => Observable<unknown> | Promise<Observable<unknown>>;

interface Order {
  readonly id: string;
  readonly cents: number;
}

const charge = async ({ id, cents }: Order): Promise<string> => {
  await Promise.resolve();
  if (cents > 500) throw new RangeError(`card 4111-1111-1111-1111 of ${id} was declined`);
  return `charged ${id}`;
};

const kafkaOf = ({ brokers }: Given, config: Partial<KafkaConfig> = {}): Kafka =>
  new Kafka({ clientId: 'billing', brokers: [...brokers], logLevel: logLevel.NOTHING, ...config });

const orders = (given: Given, stop: AbortSignal): Observable<Delivery<Uint8Array | null, KafkaPosition>> =>
  fromKafka(kafkaOf(given), { groupId: given.groupId, topics: [given.topic], stop, drainTimeoutMs: 2_000 });

const dead = (given: Given, topic = given.deadLetters): Publisher<Message> => kafkaPublisher(kafkaOf(given), { topic });

/** By name; each is run in a process of its own. */
export const mistakes: Readonly<Record<string, Mistake>> = {
  'a topic that is not there': (given, stop) =>
    fromKafka(kafkaOf(given), { groupId: given.groupId, topics: ['ordres'], stop }).pipe(ackEach()),

  'no broker at all': (given, stop) =>
    orders({ ...given, brokers: ['127.0.0.1:1'] }, stop).pipe(
      retryToDlq({ deadLetters: dead({ ...given, brokers: ['127.0.0.1:1'] }) }),
      ackEach(),
    ),

  'a wrong password of Kafka': (given, stop) => {
    const { brokers, username, ca } = given.sasl as NonNullable<Given['sasl']>;
    const kafka = kafkaOf(given, {
      brokers: [...brokers],
      ssl: { ca: [ca] },
      sasl: { mechanism: 'plain', username, password: 'hunter2' },
    });
    return fromKafka(kafka, { groupId: given.groupId, topics: [given.topic], stop }).pipe(ackEach());
  },

  'a wrong password of Postgres': (given, stop) => {
    const url = new URL(given.postgresUrl as string);
    url.password = 'hunter2';
    const store = postgresIdempotencyStore(new pg.Pool({ connectionString: url.href }), { consumer: 'billing' });
    return orders(given, stop).pipe(
      retryToDlq({ deadLetters: dead(given) }),
      decode(json()),
      dedupe({ key: (value) => (value as Order).id, store }),
      handle((value) => charge(value as Order)),
      ackEach(),
    );
  },

  'a handler that throws, above it retryToDlq': (given, stop) =>
    orders(given, stop).pipe(
      retryToDlq({ deadLetters: dead(given), maxRetries: 1 }),
      decode(json()),
      handle((value) => charge(value as Order)),
      ackEach(),
    ),

  'a handler that throws, without retryToDlq': (given, stop) =>
    orders(given, stop).pipe(
      decode(json()),
      handle((value) => charge(value as Order)),
      ackEach(),
    ),

  'bad JSON, above it retryToDlq': (given, stop) =>
    orders(given, stop).pipe(retryToDlq({ deadLetters: dead(given) }), decode(json()), ackEach()),

  'bad JSON, without retryToDlq': (given, stop) => orders(given, stop).pipe(decode(json()), ackEach()),

  'a topic for dead letters that is not there': (given, stop) =>
    orders(given, stop).pipe(
      retryToDlq({ deadLetters: dead(given, 'orders-dead') }),
      decode(json()),
      handle((value) => charge(value as Order)),
      ackEach(),
    ),

  'retryToDlq below what fails': (given, stop) =>
    orders(given, stop).pipe(
      decode(json()),
      handle((value) => charge(value as Order)),
      retryToDlq({ deadLetters: dead(given) }),
      ackEach(),
    ),

  'ordered below retryToDlq': (given, stop) =>
    orders(given, stop).pipe(
      retryToDlq({ deadLetters: dead(given) }),
      ordered({ by: 'key' }),
      decode(json()),
      ackEach(),
    ),

  'map in the middle': (given, stop) =>
    orders(given, stop).pipe(
      map(({ value }) => value),
      // The types refuse it.
      handle((value) => String(value)) as never,
      ackEach() as never,
    ),

  'no ackEach at the end': (given, stop) =>
    fromKafka(kafkaOf(given), {
      groupId: given.groupId,
      topics: [given.topic],
      stop,
      unsettledWarnMs: 2_000,
      drainTimeoutMs: 1_000,
    }).pipe(handle((_, { key }) => String(key))),

  'a subscription of Pub/Sub that is not there': async (_, stop) => {
    const test = pubsubTestClient(await startPubSubFake());
    return fromPubSub(test.newPubSub().subscription('billling'), { stop }).pipe(ackEach());
  },

  'acks that Pub/Sub refuses': async (_, stop) => {
    const fake = await startPubSubFake();
    const test = pubsubTestClient(fake);
    const topic = await test.createTopic();
    const name = await test.createSubscription(topic, { ackDeadlineSeconds: 10 });
    await test.publish(topic, 3);
    fake.deny('Acknowledge');
    return fromPubSub(test.newPubSub().subscription(name), { stop, drainTimeoutMs: 1_000 }).pipe(ackEach());
  },

  'options of the wrong kind': (given, stop) =>
    fromKafka(kafkaOf(given), {
      groupId: given.groupId,
      topics: [given.topic],
      stop,
      start: 'begin' as never,
    }).pipe(ackEach()),

  'in memory, a topic for dead letters that is not there': (_, stop) => {
    const broker = memoryBroker({ topics: { orders: {} } });
    publish(memoryPublisher(broker, { topic: 'orders' }), [{ value: 'not json' }]).subscribe();
    return fromMemory(broker, { groupId: 'billing', topics: ['orders'], stop, drainTimeoutMs: 1_000 }).pipe(
      retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'orders-dead' }) }),
      decode(json()),
      ackEach(),
    );
  },
};
