import { afterAll, beforeAll, describe } from '@jest/globals';
import { sourceConformance } from '../../lib/testing.js';
import { startPubSubFake, type PubSubFake } from '../servers/pubsub-fake/pubsub-fake.js';
import { pubsubTestClient, type PubSubTestClient } from '../servers/pubsub-test-client.js';
import { checkAll } from './check-all.js';
import { pubsubSourceDriver } from './pubsub-source-driver.js';

for (const mode of ['streaming', 'pull'] as const) {
  describe(`fromPubSub conforms, ${mode}, on the gRPC fake of this process`, () => {
    let fake: PubSubFake;
    let client: PubSubTestClient;
    beforeAll(async () => {
      fake = await startPubSubFake();
      client = pubsubTestClient(fake);
    });
    afterAll(async () => {
      await client.close();
      await fake.stop();
    });
    const driver = pubsubSourceDriver({
      mode,
      client: () => client,
      keyOrder: true,
      restart: () => fake.restart('kept'),
    });
    checkAll(driver, sourceConformance(driver));
  });
}
