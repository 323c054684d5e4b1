import { sourceConformance } from '../../lib/testing.js';
import { describeKinesis } from '../servers/describe-kinesis.js';
import { checkAll } from './check-all.js';
import { liveService } from './kinesis-services.js';
import { kinesisSourceDriver } from './kinesis-source-driver.js';

// Its events come once a second, so all cases take minutes: RXSLUICE_SOAK=1 runs them. These, of order, attempts and drains,
// always run; all of them run on the fake of this process (kinesis-source.spec.ts).
const ALWAYS = /^(3|9|16)\b/;

// Without splits and merges, since there no subscription ends. ferrokinesis has those, and begins at the oldest record
// whatever sequence number it is given.
describeKinesis('kinesis-local', 'fromKinesis with fanOut conforms', (kinesis) => {
  const driver = kinesisSourceDriver({ service: () => liveService(kinesis), fanOut: true, reshard: false });
  const cases = sourceConformance(driver);
  checkAll(driver, process.env['RXSLUICE_SOAK'] === '1' ? cases : cases.filter(({ name }) => ALWAYS.test(name)));
});
