import type { protos } from '@google-cloud/pubsub';
import type { FakeClock } from './clock.js';
import { dispatcher, type Dispatcher } from './dispatcher.js';
import type { PubsubMessage } from './entry.js';
import { checkName } from './limits.js';
import { notFound, refusal } from './status.js';
import { fakeSubscription, type FakeSubscription, type SubscriptionConfig } from './subscription.js';

type TopicConfig = protos.google.pubsub.v1.ITopic;

/** A topic, and what was published to it. */
export interface FakeTopic {
  readonly config: TopicConfig;
  readonly subscriptions: Set<FakeSubscription>;
  /** How many messages each request had, in their order. */
  readonly batches: number[];
  published: number;
}

/** A subscription and who takes from it. */
export interface SubscriptionRow {
  config: SubscriptionConfig;
  readonly subscription: FakeSubscription;
  readonly dispatcher: Dispatcher;
}

/** The topics and subscriptions of a fake: what survives a restart. */
export interface Store {
  readonly subscriptions: ReadonlyMap<string, SubscriptionRow>;
  topic(name: string): FakeTopic;
  createTopic(config: TopicConfig): TopicConfig;
  deleteTopic(name: string): void;
  publish(topic: string, messages: readonly PubsubMessage[]): string[];
  row(name: string): SubscriptionRow;
  /** One that can be consumed; throws where it is missing or detached. */
  attached(name: string): SubscriptionRow;
  createSubscription(config: SubscriptionConfig): SubscriptionConfig;
  deleteSubscription(name: string): void;
  detach(name: string): void;
  clear(): void;
}

const DELETED_TOPIC = '_deleted-topic_';
const DEFAULT_DEADLINE_SECONDS = 10;
const MIN_DEADLINE_SECONDS = 10;
const MAX_DEADLINE_SECONDS = 600;
const MIN_ATTEMPTS = 5;
const MAX_ATTEMPTS = 100;

export function store(clock: FakeClock, countDeliveries: boolean): Store {
  const topics = new Map<string, FakeTopic>();
  const subscriptions = new Map<string, SubscriptionRow>();
  let ids = 0;

  const topic = (name: string): FakeTopic => {
    const found = topics.get(name);
    if (found === undefined) throw notFound(name);
    return found;
  };
  const row = (name: string): SubscriptionRow => {
    const found = subscriptions.get(name);
    if (found === undefined) throw notFound(name);
    return found;
  };
  const publish = (name: string, messages: readonly PubsubMessage[]): string[] => {
    const { subscriptions: takers, batches } = topic(name);
    const millis = Date.now();
    const publishTime = { seconds: Math.floor(millis / 1_000), nanos: (millis % 1_000) * 1e6 };
    topic(name).published += messages.length;
    batches.push(messages.length);
    return messages.map(({ data, attributes, orderingKey }) => {
      const messageId = String(++ids);
      const message = { data: data ?? null, attributes: attributes ?? null, orderingKey: orderingKey ?? null };
      for (const taker of takers) taker.add({ ...message, messageId, publishTime });
      return messageId;
    });
  };

  return {
    subscriptions,
    topic,
    row,
    publish,
    createTopic: (config) => {
      const name = config.name ?? '';
      checkName(name, 'topics');
      if (topics.has(name)) throw exists(name);
      topics.set(name, { config: { ...config }, subscriptions: new Set(), batches: [], published: 0 });
      return config;
    },
    deleteTopic: (name) => {
      for (const subscription of topic(name).subscriptions) {
        const found = subscriptions.get(subscription.config.name ?? '');
        if (found !== undefined) found.config = { ...found.config, topic: DELETED_TOPIC };
      }
      topics.delete(name);
    },
    attached: (name) => {
      const found = row(name);
      if (!found.config.detached) return found;
      throw refusal('FAILED_PRECONDITION', `Subscription is detached (resource=${name.split('/').at(-1)}).`);
    },
    createSubscription: (given) => {
      const name = given.name ?? '';
      checkName(name, 'subscriptions');
      if (subscriptions.has(name)) throw exists(name);
      const source = topic(given.topic ?? '');
      const config = checked({ ...given, ackDeadlineSeconds: given.ackDeadlineSeconds || DEFAULT_DEADLINE_SECONDS });
      const subscription = fakeSubscription({
        config,
        clock,
        countDeliveries,
        publish: (to, message) => {
          if (!topics.has(to)) return false;
          publish(to, [message]);
          return true;
        },
      });
      subscriptions.set(name, { config, subscription, dispatcher: dispatcher(subscription) });
      source.subscriptions.add(subscription);
      return config;
    },
    deleteSubscription: (name) => {
      const { subscription, dispatcher: takers } = row(name);
      subscriptions.delete(name);
      for (const { subscriptions: ofTopic } of topics.values()) ofTopic.delete(subscription);
      takers.end(notFound(name).status);
      subscription.clear();
    },
    detach: (name) => {
      const found = row(name);
      found.config = { ...found.config, detached: true };
      for (const { subscriptions: ofTopic } of topics.values()) ofTopic.delete(found.subscription);
      const status = refusal('FAILED_PRECONDITION', `Subscription is detached (resource=${name.split('/').at(-1)}).`);
      found.dispatcher.end(status.status);
      found.subscription.clear();
    },
    clear: () => {
      for (const { subscription } of subscriptions.values()) subscription.clear();
      subscriptions.clear();
      topics.clear();
    },
  };
}

function checked(config: SubscriptionConfig): SubscriptionConfig {
  const { ackDeadlineSeconds: seconds = 0, deadLetterPolicy } = config;
  if (Number(seconds) < MIN_DEADLINE_SECONDS || Number(seconds) > MAX_DEADLINE_SECONDS) {
    throw refusal('INVALID_ARGUMENT', `The ack deadline of a subscription is 10 to 600 seconds, not ${seconds}.`);
  }
  const attempts = deadLetterPolicy?.maxDeliveryAttempts ?? 0;
  if (attempts !== 0 && (attempts < MIN_ATTEMPTS || attempts > MAX_ATTEMPTS)) {
    throw refusal('INVALID_ARGUMENT', `The delivery attempts of a policy are 5 to 100, not ${attempts}.`);
  }
  return config;
}

function exists(name: string): Error {
  return refusal('ALREADY_EXISTS', `Resource already exists in the project (resource=${name.split('/').at(-1)}).`);
}
