import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import { PUBSUB_LABELS } from './describe-pubsub.js';
import { startPubSubFake, type PubSubFake, type PubSubFakeOptions } from './pubsub-fake/pubsub-fake.js';
import { pubsubTestClient, type PubSubTestClient } from './pubsub-test-client.js';

/**
 * A `describe` with a fake of its own in this process, for specs that look into it, cut its streams, let it fail or kill
 * it. `pubsub()` is a test client of it.
 */
export function describePubSubFake(
  name: string,
  specs: (fake: () => PubSubFake, pubsub: () => PubSubTestClient) => void,
  options: PubSubFakeOptions = {},
): void {
  describeIf(`${name}, on ${PUBSUB_LABELS.fake}`, undefined, () => {
    let fake: PubSubFake;
    let client: PubSubTestClient;
    beforeAll(async () => {
      fake = await startPubSubFake(options);
      client = pubsubTestClient(fake);
    });
    afterAll(async () => {
      await client?.close();
      fake?.stop();
    });
    specs(
      () => fake,
      () => client,
    );
  });
}
