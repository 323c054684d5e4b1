import type { Observable } from 'rxjs';
import type { Delivery } from '../../core/delivery.js';
import { queueSource } from '../../core/queue-engine.js';
import { connectPubSub } from './pubsub-adapter.js';
import type { PubSubSubscriptionLike } from './pubsub-client.js';
import { shortName } from './pubsub-names.js';
import { resolvePubSubOptions, type PubSubSourceOptions } from './pubsub-options.js';
import { pubsubShape, type PubSubPosition, type PubSubRecord } from './pubsub-record.js';

/**
 * Reads a subscription of Google Pub/Sub, over a client that stays yours.
 *
 * ```ts
 * fromPubSub(new PubSub().subscription('billing'), { maxInFlight: 512 })
 * ```
 *
 * Delivery: at least once; an ack is final where the subscription delivers exactly once, and best effort elsewhere, since the
 * service may lose one. A message that comes again while it is held here is not started twice. Leases are extended for as long as
 * a message is held (`maxExtensionMs`). A nack is held here for its delay, in credit, then goes to the service. A clean stop
 * finishes what is started and gives back the rest: nothing that was acked comes again. Order: of an ordering key, with
 * `ordered({ by: 'key' })` and a subscription that has message ordering; where one goes back, what is held behind it does too.
 * Lost connections are mended; outages are told as `unavailable`, acks that failed as `ack-failed`. One `PubSub` reads 60
 * subscriptions at most, since its connection takes 100 streams and calls: one more waits, and says so (`misuse`). Fails with
 * `connection-failed` (before the first answer), `authentication-failed`, `not-authorized`, `unknown-topic` or `source-failed`, at
 * once where that is the first answer, else after `refusalTimeoutMs`; with `unsupported`.
 * @public
 */
export function fromPubSub(
  subscription: PubSubSubscriptionLike,
  options: PubSubSourceOptions = {},
): Observable<Delivery<Uint8Array | null, PubSubPosition>> {
  const resolved = resolvePubSubOptions(subscription, options);
  const short = shortName(subscription.name);
  return queueSource<PubSubRecord, PubSubPosition>({
    name: 'fromPubSub',
    group: short,
    options,
    shape: pubsubShape,
    connect: (engine) => connectPubSub(engine, subscription, short, resolved),
  });
}
