import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PubSub, v1, type ClientConfig, type CreateSubscriptionOptions, type protos } from '@google-cloud/pubsub';
import { createDefaultBackoffSettings, createRetryOptions, grpc, type CallOptions } from 'google-gax';
import { refuseOtherPubSub } from './pubsub/refuse-other-pubsub.js';

/** How to make a subscription, in the words of the client; its name begins with `prefix`, default `'subscription'`. */
export interface SubscriptionShape extends CreateSubscriptionOptions {
  readonly prefix?: string;
}

/** How the messages of `publish` look; each function takes their number, from `first` on. */
export interface PubSubMessageShape {
  /** The number of the first message. Default 0. */
  readonly first?: number;
  /** Default none. */
  readonly orderingKey?: (index: number) => string;
  /** Default: the number in decimal. */
  readonly data?: (index: number) => string | Uint8Array;
  /** Default none. */
  readonly attributes?: (index: number) => Readonly<Record<string, string>>;
}

/** A message, as it is in a request. */
export type WireMessage = protos.google.pubsub.v1.IPubsubMessage;

/** A message, as a pull answers with it. */
export interface PulledMessage {
  readonly ackId: string;
  readonly id: string;
  readonly data: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
  /** Empty where it has none. */
  readonly orderingKey: string;
  /** 0 without a dead letter policy. */
  readonly deliveryAttempt: number;
}

/** What specs, benchmarks and examples do to a Pub/Sub server beside the code under test. */
export interface PubSubTestClient {
  readonly endpoint: string;
  /** Makes a client for the code under test, which `close` ends. */
  newPubSub(config?: ClientConfig): PubSub;
  /** Makes a topic with a name that nobody else has, which `close` deletes; answers with the name. */
  createTopic(prefix?: string): Promise<string>;
  deleteTopic(topic: string): Promise<void>;
  /** Makes a subscription with a name that nobody else has, which `close` deletes; answers with the name. */
  createSubscription(topic: string, shape?: SubscriptionShape): Promise<string>;
  deleteSubscription(subscription: string): Promise<void>;
  /** Publishes `count` messages, those of a key in the order of their numbers; answers with their ids, in that order. */
  publish(topic: string, count: number, shape?: PubSubMessageShape): Promise<string[]>;
  /** Publishes these by one request, whatever they are; answers with their ids. */
  send(topic: string, messages: readonly WireMessage[]): Promise<string[]>;
  /** Pulls up to so many, once; `wait: true` waits for the first, without it nothing may come. Acks nothing. */
  pull(subscription: string, maxMessages: number, options?: { readonly wait?: boolean }): Promise<PulledMessage[]>;
  acknowledge(subscription: string, ackIds: readonly string[]): Promise<void>;
  /** Gives leases so many seconds from now on; 0 is a nack. */
  modifyDeadline(subscription: string, ackIds: readonly string[], seconds: number): Promise<void>;
  /** Pulls and acks until so many have come; rejects after half a minute without. */
  take(subscription: string, count: number): Promise<PulledMessage[]>;
  /** Deletes what was made through this client, and ends all clients. */
  close(): Promise<void>;
}

const PROJECT = 'demo';
const REQUEST_MESSAGES = 1_000;
const REQUEST_BYTES = 5_000_000;
const TAKE_MS = 30_000;
const POLL_MS = 20;
/** What fails is to be seen at once; and publishes of several keys must not become one request, as they do otherwise. */
const ONCE: CallOptions = {
  timeout: 60_000,
  retry: createRetryOptions([], createDefaultBackoffSettings()),
  isBundling: false,
};

/** Opens a test client; it connects when it is first used. Throws where it could reach anything but 127.0.0.1. */
export function pubsubTestClient({
  endpoint,
  name,
}: {
  readonly endpoint: string;
  readonly name?: string;
}): PubSubTestClient {
  refuseOtherPubSub(endpoint);
  const clients: PubSub[] = [];
  const topics = new Set<string>();
  const subscriptions = new Set<string>();
  const [host = '', port = ''] = endpoint.split(':');
  const raw = {
    servicePath: host,
    port: Number(port),
    sslCreds: grpc.credentials.createInsecure(),
    projectId: PROJECT,
  };
  const publisher = new v1.PublisherClient(raw);
  const subscriber = new v1.SubscriberClient(raw);
  const topicPath = (name: string): string => `projects/${PROJECT}/topics/${name}`;
  const subscriptionPath = (name: string): string => `projects/${PROJECT}/subscriptions/${name}`;

  const newPubSub = (config: ClientConfig = {}): PubSub => {
    const client = new PubSub({ projectId: PROJECT, apiEndpoint: endpoint, emulatorMode: true, ...config });
    // The others do with a call that was cut off what the service does.
    client.isEmulator = name === 'emulator';
    clients.push(client);
    return client;
  };
  const own = newPubSub();

  const send: PubSubTestClient['send'] = async (topic, messages) => {
    const [{ messageIds }] = await publisher.publish({ topic: topicPath(topic), messages: [...messages] }, ONCE);
    return messageIds ?? [];
  };
  const pull: PubSubTestClient['pull'] = async (name, maxMessages, { wait = false } = {}) => {
    const request = { subscription: subscriptionPath(name), maxMessages, returnImmediately: !wait };
    const [{ receivedMessages }] = await subscriber.pull(request, ONCE);
    return (receivedMessages ?? []).map(pulledOf);
  };
  const acknowledge: PubSubTestClient['acknowledge'] = async (name, ackIds) => {
    await subscriber.acknowledge({ subscription: subscriptionPath(name), ackIds: [...ackIds] }, ONCE);
  };

  return {
    endpoint,
    newPubSub,
    send,
    pull,
    acknowledge,
    createTopic: async (prefix = 'topic') => {
      const name = `${prefix}-${randomUUID()}`;
      await own.createTopic(name);
      topics.add(name);
      return name;
    },
    deleteTopic: async (name) => {
      await own.topic(name).delete();
      topics.delete(name);
    },
    createSubscription: async (topic, { prefix = 'subscription', ...options } = {}) => {
      const name = `${prefix}-${randomUUID()}`;
      await own.createSubscription(topic, name, options);
      subscriptions.add(name);
      return name;
    },
    deleteSubscription: async (name) => {
      await own.subscription(name).delete();
      subscriptions.delete(name);
    },
    publish: async (topic, count, { first = 0, ...shape } = {}) => {
      const ids: string[] = [];
      const publishAll = async (numbers: readonly number[]): Promise<void> => {
        for (const request of requestsOf(numbers, (number) => messageOf(first + number, shape))) {
          const messages = request.map(({ message }) => message);
          const sent = await send(topic, messages);
          request.forEach(({ number }, index) => (ids[number] = sent[index] ?? ''));
        }
      };
      // All messages of a request have the same key.
      const byKey = new Map<string, number[]>();
      for (let number = 0; number < count; number++) {
        const key = shape.orderingKey?.(first + number) ?? '';
        const numbers = byKey.get(key);
        if (numbers === undefined) byKey.set(key, [number]);
        else numbers.push(number);
      }
      await Promise.all([...byKey.values()].map(publishAll));
      return ids;
    },
    modifyDeadline: async (name, ackIds, ackDeadlineSeconds) => {
      const request = { subscription: subscriptionPath(name), ackIds: [...ackIds], ackDeadlineSeconds };
      await subscriber.modifyAckDeadline(request, ONCE);
    },
    take: async (name, count) => {
      const taken: PulledMessage[] = [];
      const limit = performance.now() + TAKE_MS;
      while (taken.length < count) {
        const messages = await pull(name, Math.min(count - taken.length, REQUEST_MESSAGES));
        const ackIds = messages.map(({ ackId }) => ackId);
        if (ackIds.length > 0) await acknowledge(name, ackIds);
        else await sleep(POLL_MS);
        taken.push(...messages);
        if (performance.now() > limit) throw new Error(`${name} gave ${taken.length} of ${count} messages`);
      }
      return taken;
    },
    close: async () => {
      // A server, a topic or a subscription that is gone does not fail the spec.
      for (const name of subscriptions) {
        await subscriber.deleteSubscription({ subscription: subscriptionPath(name) }, ONCE).catch(() => undefined);
      }
      for (const name of topics) await publisher.deleteTopic({ topic: topicPath(name) }, ONCE).catch(() => undefined);
      await Promise.all([publisher.close(), subscriber.close(), ...clients.map((client) => client.close())]);
    },
  };
}

function messageOf(index: number, { data = String, ...shape }: Omit<PubSubMessageShape, 'first'>): WireMessage {
  const payload = data(index);
  return {
    data: typeof payload === 'string' ? Buffer.from(payload) : payload,
    attributes: { ...shape.attributes?.(index) },
    orderingKey: shape.orderingKey?.(index) ?? '',
  };
}

function* requestsOf(
  numbers: readonly number[],
  messageOfNumber: (number: number) => WireMessage,
): Generator<{ readonly number: number; readonly message: WireMessage }[]> {
  let request: { readonly number: number; readonly message: WireMessage }[] = [];
  let bytes = 0;
  for (const number of numbers) {
    const message = messageOfNumber(number);
    request.push({ number, message });
    bytes += message.data?.length ?? 0;
    if (request.length < REQUEST_MESSAGES && bytes < REQUEST_BYTES) continue;
    yield request;
    request = [];
    bytes = 0;
  }
  if (request.length > 0) yield request;
}

function pulledOf(received: protos.google.pubsub.v1.IReceivedMessage): PulledMessage {
  const { ackId, message, deliveryAttempt } = received;
  return {
    ackId: ackId ?? '',
    id: message?.messageId ?? '',
    data: Buffer.from(message?.data as Uint8Array),
    attributes: message?.attributes ?? {},
    orderingKey: message?.orderingKey ?? '',
    deliveryAttempt: deliveryAttempt ?? 0,
  };
}
