import type { Position } from '../../core/position.js';

/** Where a published message stands in Pub/Sub: topics have no order of their own, so its id is all there is. @public */
export interface PubSubPublishedPosition extends Position {
  /** The discriminant. */
  readonly broker: 'pubsub';
  /** As the publisher names it. */
  readonly topic: string;
  /** Unique in the topic; given by the service. */
  readonly messageId: string;
}
