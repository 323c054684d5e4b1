import type { PubSubTestClient } from '../spec/servers/pubsub-test-client.js';
import { newTopic } from './pubsub-bed.js';
import { startPubSubContender, type BareSettings, type PubSubTask, type Taken } from './pubsub-contender.js';

/** A side of a comparison: a task but for what the comparison gives it. */
type Side = Omit<PubSubTask, 'subscription' | 'messages'>;

// What the bare client is fastest with, of those that keep the bound (bench/pubsub-settings.ts): excess messages wait in the
// client, and all of its streams may bring as many as the bound.
export function bareSettings(maxMilliseconds: number): BareSettings {
  return { allowExcessMessages: false, streamingOptions: { maxStreams: 5 }, batching: { maxMilliseconds } };
}

/**
 * What each side took in each round, after one to warm up: each in a process of its own, with a subscription of its own of one
 * topic. All sides consume as many messages.
 */
export async function takeRounds(
  client: PubSubTestClient,
  rounds: number,
  messages: number,
  sides: readonly Side[],
): Promise<readonly (readonly Taken[])[]> {
  const { subscriptions, fill, drop } = await newTopic(client, sides.length);
  const contenders = sides.map(() => startPubSubContender());
  const all: Taken[][] = [];
  for (let round = -1; round < rounds; round++) {
    await fill(messages);
    const taken: Taken[] = [];
    // Each is first, in the middle and last as often.
    for (let turn = 0; turn < sides.length; turn++) {
      const at = (round + 1 + turn) % sides.length;
      const task = { ...(sides[at] as Side), messages, subscription: subscriptions[at] as string };
      taken[at] = await (contenders[at] as (typeof contenders)[number]).consume(task);
    }
    if (round >= 0) all.push(taken);
  }
  await Promise.all(contenders.map((contender) => contender.end()));
  await drop();
  return all;
}
