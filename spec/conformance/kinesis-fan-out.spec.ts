import { sourceConformance } from '../../lib/testing.js';
import { describeKinesis } from '../servers/describe-kinesis.js';
import { checkAll } from './check-all.js';
import { liveService } from './kinesis-services.js';
import { kinesisSourceDriver } from './kinesis-source-driver.js';

// Without splits and merges, since there no subscription ends. ferrokinesis has those, and begins at the oldest record
// whatever sequence number it is given.
describeKinesis('kinesis-local', 'fromKinesis with fanOut conforms', (kinesis) => {
  const driver = kinesisSourceDriver({ service: () => liveService(kinesis), fanOut: true, reshard: false });
  checkAll(driver, sourceConformance(driver));
});
