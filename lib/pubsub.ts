export { fromPubSub } from './brokers/pubsub/from-pubsub.js';
export type {
  PubSubClientLike,
  PubSubMessageLike,
  PubSubRequest,
  PubSubStreamLike,
  PubSubSubscriptionLike,
} from './brokers/pubsub/pubsub-client.js';
export type { PubSubSourceOptions } from './brokers/pubsub/pubsub-options.js';
export type { PubSubPublishedPosition } from './brokers/pubsub/pubsub-published-position.js';
export type { PubSubPublisherClientLike } from './brokers/pubsub/pubsub-publisher-client.js';
export { pubsubPublisher } from './brokers/pubsub/pubsub-publisher.js';
export type { PubSubPublisherOptions } from './brokers/pubsub/pubsub-publisher.js';
export type { PubSubPosition } from './brokers/pubsub/pubsub-record.js';
