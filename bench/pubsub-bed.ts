import { startPubSub } from '../spec/servers/pubsub.js';
import { pubsubTestClient, type PubSubTestClient } from '../spec/servers/pubsub-test-client.js';
import { whyNoPubSub } from '../spec/servers/why-no-pubsub.js';
import type { PubSubTask } from './pubsub-contender.js';

export type PubSubBed = 'fake' | 'emulator';

/** The size of a message. */
const BYTES = 1_024;

// So long that no lease runs out in a round, whoever reads.
const ACK_DEADLINE_S = 60;
const DATA = Buffer.alloc(BYTES, 'x');

/** What all tasks of a comparison have alike. */
export type Situation = Pick<PubSubTask, 'bound' | 'work' | 'messages'>;

/** How situations are told in tables. */
export function nameOf({ bound, work }: Situation): string {
  return `${bound.toLocaleString('en')} in flight, ${work === 'sync' ? 'ack at once' : 'ack after 1 ms'}`;
}

/** Runs a benchmark on a server in a process of its own; one that is not at hand is named and left out. */
export async function onPubSub(bed: PubSubBed, run: (client: PubSubTestClient) => Promise<void>): Promise<void> {
  const missing = whyNoPubSub(bed);
  if (missing !== undefined) {
    console.log(missing);
    return;
  }
  // The client would ask a cloud for credentials.
  process.env['METADATA_SERVER_DETECTION'] = 'none';
  const server = await startPubSub(bed);
  const client = pubsubTestClient(server);
  try {
    await run(client);
  } finally {
    await client.close();
    await server.stop();
  }
}

/** A topic with a subscription a reader, and what puts as many messages of 1 KB into each. */
export async function newTopic(
  client: PubSubTestClient,
  readers: number,
): Promise<{
  readonly subscriptions: readonly string[];
  fill(messages: number): Promise<void>;
  drop(): Promise<void>;
}> {
  const topic = await client.createTopic('bench');
  const subscriptions: string[] = [];
  for (let reader = 0; reader < readers; reader++) {
    subscriptions.push(await client.createSubscription(topic, { ackDeadlineSeconds: ACK_DEADLINE_S }));
  }
  return {
    subscriptions,
    fill: async (messages) => void (await client.publish(topic, messages, { data: () => DATA })),
    drop: async () => {
      for (const subscription of subscriptions) await client.deleteSubscription(subscription);
      await client.deleteTopic(topic);
    },
  };
}
