import { publisherConformance } from '../../lib/testing.js';
import { describePubSub } from '../servers/describe-pubsub.js';
import { checkAll } from './check-all.js';
import { pubsubPublisherDriver } from './pubsub-publisher-driver.js';

for (const server of ['fake', 'emulator', 'pstest'] as const) {
  describePubSub(server, 'pubsubPublisher conforms', (pubsub) => {
    const driver = pubsubPublisherDriver(pubsub);
    checkAll(driver, publisherConformance(driver));
  });
}
