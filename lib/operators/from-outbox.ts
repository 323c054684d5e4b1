import { defer, type Observable } from 'rxjs';
import type { Delivery } from '../core/delivery.js';
import { checkOptions } from '../core/options.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { OutboxStore } from '../core/outbox-store.js';
import { queueSource } from '../core/queue-engine.js';
import { relayed } from './outbox-burial.js';
import { outboxRelay } from './outbox-relay.js';
import { resolveRelayOptions, type FromOutboxOptions } from './outbox-relay-options.js';
import { outboxShape, type OutboxPosition, type RelayRecord } from './outbox-shape.js';

const OWNER = 'fromOutbox';
const QUEUE = { topic: 'outbox', partition: 0 };

/**
 * The relay: what `withOutbox` stored, as a source like any other. Its ack marks the row as published.
 *
 * ```ts
 * fromOutbox(store)
 *   .pipe(publishTo(topicPublisher((topic) => kafkaPublisher(kafka, { topic }))), ackEach())
 *   .subscribe();
 * ```
 *
 * Values are the messages, with the header `message-id`, which is the same each time a message is published. Delivery is at
 * least once: a crash between the publish and its mark publishes again, once the lease has lapsed; so does a lease that
 * lapses under a relay that is stalled for longer than `leaseMs`.
 *
 * Messages of one topic and key keep their order, over retries too, with any number of relays: at most one of them is
 * out at a time, and one relay has them. Messages without a key have none. A message that fails waits, tried again with the source's
 * backoff, and only those of its key wait with it. One that fails for good, or `maxAttempts` times, is marked as dead:
 * it stays in the outbox with its error and blocks nothing, not even its own key.
 *
 * While the store is out it is tried again with backoff, and what was published is marked once it is back. A store that refuses
 * (no table, a wrong password), or has never answered at all, is waited for too, since its migration may be under way; after
 * `refusalTimeoutMs` it ends the relay with its typed error. `until: 'end'` completes when nothing is left to be published.
 * @public
 */
export function fromOutbox(
  store: OutboxStore,
  options: FromOutboxOptions = {},
): Observable<Delivery<OutboxMessage, OutboxPosition>> {
  const relayOptions = resolveRelayOptions(OWNER, options);
  checkOptions(
    OWNER,
    { store },
    { store: { required: true, that: { be: 'an outbox store, such as postgresOutboxStore(db)', holds: isStore } } },
  );
  return defer(() => {
    const buried = new WeakSet<RelayRecord>();
    return queueSource<RelayRecord, OutboxPosition>({
      name: OWNER,
      queue: QUEUE,
      options,
      shape: outboxShape,
      connect: (engine) => outboxRelay(store, relayOptions, engine, buried),
    }).pipe(relayed(store, relayOptions.maxAttempts, buried));
  });
}

function isStore(value: unknown): boolean {
  const { claim, renew, published, dead, release, lag } = (value ?? {}) as Partial<OutboxStore>;
  return [claim, renew, published, dead, release, lag].every((call) => typeof call === 'function');
}
