import { pubsubPublisher, type PubSubPublisherOptions } from '../../lib/brokers/pubsub/pubsub-publisher.js';
import { holdPublisher, type Held } from './publishing.js';
import type { PublishFake } from './pubsub-publish-fake.js';

/** Connects `pubsubPublisher` over a fake, at once. */
export function hold({ pubsub }: PublishFake, options: Partial<PubSubPublisherOptions> = {}): Held {
  return holdPublisher(pubsubPublisher(pubsub, { topic: 'orders', ...options }));
}

/** The values of each request. */
export function requestsOf({ requests }: PublishFake): string[] {
  return requests.map(({ messages }) => messages.map(({ value }) => value).join(' '));
}

/** When each request was begun, and its values. */
export function timesOf({ requests }: PublishFake): string[] {
  return requests.map(({ at, messages }) => `${at}: ${messages.map(({ value }) => value).join(' ')}`);
}

export function storedOf({ stored }: PublishFake): string {
  return stored.map(({ value }) => value).join(' ');
}
