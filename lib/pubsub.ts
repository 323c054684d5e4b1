export { fromPubSub } from './brokers/pubsub/from-pubsub.js';
export type {
  PubSubClientLike,
  PubSubMessageLike,
  PubSubRequest,
  PubSubStreamLike,
  PubSubSubscriptionLike,
} from './brokers/pubsub/pubsub-client.js';
export type { PubSubSourceOptions } from './brokers/pubsub/pubsub-options.js';
export type { PubSubPosition } from './brokers/pubsub/pubsub-record.js';
