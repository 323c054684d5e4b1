import { pubsubDuration, type PubSubDuration } from './pubsub-duration.js';
import type { ResolvedPubSubOptions } from './pubsub-options.js';

/** What a subscription object is made with: the part of `SubscriptionOptions` that `fromPubSub` sets. @internal */
export interface PubSubStreamOptions {
  /** The least that a lease is extended by. */
  readonly minAckDeadline: PubSubDuration;
  /** The most that a lease is extended by. */
  readonly maxAckDeadline: PubSubDuration;
  /** For how long leases are extended. */
  readonly maxExtensionTime: PubSubDuration;
  /** How acks are grouped. */
  readonly batching: { readonly maxMilliseconds: number };
  /** What may be out at once. */
  readonly flowControl: {
    readonly maxMessages: number;
    readonly maxBytes: number;
    readonly allowExcessMessages: boolean;
  };
  /** How many streams are opened. */
  readonly streamingOptions: { readonly maxStreams: number };
  /** What `close` does with messages that are out. */
  readonly closeOptions: { readonly behavior: 'WAIT' | 'NACK'; readonly timeout: PubSubDuration };
}

/** Settings that leave nothing to wait in the client; `closeMs` is for what is out when it closes. @internal */
export function streamOptions(options: ResolvedPubSubOptions, closeMs: number): PubSubStreamOptions {
  const most = options.maxInFlight + options.readAhead;
  const deadline = pubsubDuration(options.ackDeadlineMs);
  return {
    minAckDeadline: deadline,
    maxAckDeadline: deadline,
    maxExtensionTime: pubsubDuration(options.maxExtensionMs),
    // What is acked counts as out until its group is sent: with few out, a long wait would be all that is done.
    batching: { maxMilliseconds: Math.min(10, Math.max(1, Math.round(most / 100))) },
    flowControl: { maxMessages: most, maxBytes: options.maxBufferedBytes, allowExcessMessages: true },
    streamingOptions: { maxStreams: 1 },
    closeOptions: { behavior: 'WAIT', timeout: pubsubDuration(closeMs) },
  };
}
