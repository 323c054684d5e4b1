import { describe, it } from '@jest/globals';
import type { Position } from '../../lib/index.js';
import { fromPubSub, pubsubPublisher, type PubSubPublishedPosition } from '../../lib/pubsub.js';
import { describePubSub } from '../servers/describe-pubsub.js';
import type { PubSubTestClient } from '../servers/pubsub-test-client.js';
import { expectSound } from '../support/hostile-corpus/expect-sound.js';
import type { CorpusDriver } from '../support/hostile-corpus/run-corpus.js';
import { randomSeed } from '../support/seed.js';

// A request has this much, less 1,024 bytes for the name of a topic and some for tags.
const MOST_BYTES = 9_998_976 - 17;
const MOST = { rss: 1_500, heap: 1_200 };
const SHAPE = { broker: 'pubsub', mostBytes: MOST_BYTES, flood: 10_000 } as const;

const seed = randomSeed();

describe.each([
  ['fake', 'json'],
  ['emulator', 'headers'],
] as const)('dead letters on the %s as %s', (server, format) => {
  describePubSub(server, `what would do harm, among 10,000 good messages of Pub/Sub, seed ${seed}`, (pubsub) => {
    it('is done, a dead letter or refused, each as it should', async () =>
      expectSound(await pubsubDriver(pubsub()), SHAPE, { seed, format, most: MOST }));
  });
});

async function pubsubDriver(pubsub: PubSubTestClient): Promise<CorpusDriver> {
  const client = pubsub.newPubSub();
  const topic = await pubsub.createTopic();
  const dlq = await pubsub.createTopic();
  const subscription = await pubsub.createSubscription(topic, { enableMessageOrdering: true, ackDeadlineSeconds: 60 });
  const ofLetters = await pubsub.createSubscription(dlq, { ackDeadlineSeconds: 600 });
  return {
    publisher: pubsubPublisher(client, { topic }),
    deadLetters: pubsubPublisher(client, { topic: dlq }),
    source: (options) => fromPubSub(client.subscription(subscription), options),
    idOf: (position: Position) => `${topic}/${subscription}/${(position as PubSubPublishedPosition).messageId}`,
    letters: async () => {
      const letters = [];
      for (let empty = 0; empty < 3;) {
        const pulled = await pubsub.pull(ofLetters, 1_000);
        empty = pulled.length === 0 ? empty + 1 : 0;
        letters.push(...pulled.map(({ attributes, data }) => ({ headers: attributes, bytes: data.length })));
        const acks = pulled.map(({ ackId }) => ackId);
        if (acks.length > 0) await pubsub.acknowledge(ofLetters, acks);
      }
      return letters;
    },
    leftOver: async () => (await pubsub.pull(subscription, 1_000)).length,
  };
}
