import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import type { PubSubServerName } from './pubsub/command.js';
import { startPubSubFake } from './pubsub-fake/pubsub-fake.js';
import { pubsubTestClient, type PubSubTestClient } from './pubsub-test-client.js';
import { sharedPubSub } from './shared-pubsub.js';
import { whyNoPubSub } from './why-no-pubsub.js';

/** What a machine need not have: their specs are skipped by name without them, under `CI=true` too. */
export const OPTIONAL_PUBSUB: readonly PubSubServerName[] = ['pstest'];

/** How the servers are called in the names of specs. */
export const PUBSUB_LABELS: Readonly<Record<PubSubServerName, string>> = {
  emulator: 'the Pub/Sub emulator',
  fake: 'the Pub/Sub fake',
  pstest: 'pstest',
};

/**
 * A `describe` on a test server of Pub/Sub: the emulator or the pstest that all spec files of a run share, started by the
 * first of them, or a fake in this process. `pubsub()` is for the tests and hooks inside; the topics and subscriptions
 * made through it are deleted afterwards.
 */
export function describePubSub(
  server: PubSubServerName,
  name: string,
  specs: (pubsub: () => PubSubTestClient) => void,
): void {
  const optional = OPTIONAL_PUBSUB.includes(server);
  describeIf(
    `${name}, on ${PUBSUB_LABELS[server]}`,
    whyNoPubSub(server),
    () => {
      let client: PubSubTestClient;
      let stop = (): void => undefined;
      beforeAll(async () => {
        if (server === 'fake') {
          const fake = await startPubSubFake();
          stop = fake.stop;
          client = pubsubTestClient(fake);
        } else {
          client = pubsubTestClient(await sharedPubSub(server));
        }
      });
      afterAll(async () => {
        await client?.close();
        stop();
      });
      specs(() => client);
    },
    { optional },
  );
}
