import { createAnswers } from './pubsub-answers.js';
import { pubsubDuration, type PubSubDuration } from './pubsub-duration.js';
import type { PubSubInterceptor } from './pubsub-interceptor.js';
import { MOST_REQUEST_BYTES } from './pubsub-most-bytes.js';
import type { ResolvedPubSubOptions } from './pubsub-options.js';

/** What a subscription object is made with: the part of `SubscriptionOptions` that `fromPubSub` sets. @internal */
export interface PubSubStreamOptions {
  /** The least that a lease is extended by. */
  readonly minAckDeadline: PubSubDuration;
  /** The most that a lease is extended by. */
  readonly maxAckDeadline: PubSubDuration;
  /** For how long leases are extended. */
  readonly maxExtensionTime: PubSubDuration;
  /** How acks and leases are grouped, and what their calls pass through. */
  readonly batching: {
    readonly maxMilliseconds: number;
    readonly callOptions: {
      readonly otherArgs: { readonly options: { readonly interceptors: readonly PubSubInterceptor[] } };
    };
  };
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

// With fewer messages out, a stream would wait for the answers of its acks.
const LEAST_PART = 4;

/** Over how many streams a source reads: one that may not bring the largest message might bring none of it. @internal */
export function streamCount({ maxInFlight, readAhead, maxStreams, maxBufferedBytes }: ResolvedPubSubOptions): number {
  const parts = Math.min((maxInFlight + readAhead) / LEAST_PART, maxBufferedBytes / MOST_REQUEST_BYTES);
  return Math.max(1, Math.min(maxStreams, Math.floor(parts)));
}

/** For how long acks are gathered: what is acked counts as out until its group is sent, so with few out it is short. @internal */
export function groupMs({ maxInFlight, readAhead }: ResolvedPubSubOptions): number {
  return Math.min(10, Math.max(1, Math.round((maxInFlight + readAhead) / 100)));
}

/**
 * Settings that leave nothing to wait in the client; `closeMs` is for what is out when it closes. The bound is shared evenly by
 * the streams, since the service keeps a bound for each, and not for all of them. `leases` is what calls of leases pass through, too.
 * @internal
 */
export function streamOptions(
  options: ResolvedPubSubOptions,
  closeMs: number,
  leases: PubSubInterceptor,
): PubSubStreamOptions {
  const streams = streamCount(options);
  const most = options.maxInFlight + options.readAhead;
  const deadline = pubsubDuration(options.ackDeadlineMs);
  return {
    minAckDeadline: deadline,
    maxAckDeadline: deadline,
    maxExtensionTime: pubsubDuration(options.maxExtensionMs),
    batching: {
      maxMilliseconds: groupMs(options),
      callOptions: { otherArgs: { options: { interceptors: [createAnswers(), leases] } } },
    },
    flowControl: {
      maxMessages: Math.ceil(most / streams),
      maxBytes: Math.ceil(options.maxBufferedBytes / streams),
      allowExcessMessages: true,
    },
    // Of each object: several of one object would bring the whole bound each.
    streamingOptions: { maxStreams: 1 },
    closeOptions: { behavior: 'WAIT', timeout: pubsubDuration(closeMs) },
  };
}
