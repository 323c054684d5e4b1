import { sourceConformance } from '../../lib/testing.js';
import { describePubSub } from '../servers/describe-pubsub.js';
import { describePubSubFake } from '../servers/describe-pubsub-fake.js';
import { checkAll } from './check-all.js';
import { pubsubSourceDriver } from './pubsub-source-driver.js';

for (const mode of ['streaming', 'pull'] as const) {
  describePubSubFake(`fromPubSub conforms, ${mode}`, (fake, client) => {
    const driver = pubsubSourceDriver({ mode, client, keyOrder: true, restart: () => fake().restart('kept') });
    checkAll(driver, sourceConformance(driver));
  });

  describePubSub('emulator', `fromPubSub conforms, ${mode}`, (client) => {
    // Where one of a key goes back the emulator sends it alone, and late.
    const driver = pubsubSourceDriver({ mode, client, keyOrder: false, timings: { withinMs: 300_000 } });
    checkAll(driver, sourceConformance(driver));
  });
}
