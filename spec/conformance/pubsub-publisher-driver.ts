import { pubsubPublisher } from '../../lib/brokers/pubsub/pubsub-publisher.js';
import type { PublisherDriver, StoredMessage } from '../../lib/testing.js';
import type { PubSubTestClient } from '../servers/pubsub-test-client.js';
import { openTimers } from '../support/open-timers.js';

// That of the service; some test servers take more.
const MAX_MESSAGE_BYTES = 10_000_000;
const PULL = 1_000;

/** The client of Google on a test server. */
export function pubsubPublisherDriver(pubsub: () => PubSubTestClient): PublisherDriver {
  return {
    name: 'pubsubPublisher',
    timings: { withinMs: 300_000, quietMs: 200 },
    features: {
      partitions: false,
      // Without a key there is none.
      order: false,
      keys: true,
      keyOrder: true,
      // An ordering key is text.
      binaryKeys: false,
      keylessMessages: true,
      // A message is its value or its attributes: one that has neither is refused, and with attributes null is empty.
      emptyValues: false,
      tombstones: false,
      headers: true,
      // Attributes are text, and a name has one value.
      binaryHeaders: false,
      repeatedHeaders: false,
      timestamps: false,
      maxMessageBytes: true,
      unknownTopics: true,
      openHandles: true,
    },
    open: () => {
      // It is not the publisher's to end.
      const client = pubsub().newPubSub();
      const subscriptions = new Map<string, string>();
      const stored = new Map<string, StoredMessage[]>();
      return {
        createTopic: async () => {
          const topic = await pubsub().createTopic();
          subscriptions.set(topic, await pubsub().createSubscription(topic, { enableMessageOrdering: true }));
          stored.set(topic, []);
          return topic;
        },
        publisher: (topic) => pubsubPublisher(client, { topic }),
        read: async (topic) => {
          // So that its connection is open, as that of the test client is.
          await client.topic(topic).exists();
          const subscription = subscriptions.get(topic) ?? '';
          const read = stored.get(topic) ?? [];
          for (;;) {
            const pulled = await pubsub().pull(subscription, PULL);
            if (pulled.length === 0) return read;
            await pubsub().acknowledge(
              subscription,
              pulled.map(({ ackId }) => ackId),
            );
            for (const { data, attributes, orderingKey } of pulled) {
              const key = orderingKey === '' ? null : orderingKey;
              read.push({ partition: 0, key, value: data, headers: attributes, timestamp: 0 });
            }
          }
        },
        maxMessageBytes: MAX_MESSAGE_BYTES,
        openHandles: () => [
          ...openTimers(),
          ...process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Connect/i.test(name)),
        ],
        close: () => client.close(),
      };
    },
  };
}
