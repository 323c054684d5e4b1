import { publisherConformance } from '../../lib/testing.js';
import { describeKinesis } from '../servers/describe-kinesis.js';
import { checkAll } from './check-all.js';
import { kinesisPublisherDriver } from './kinesis-publisher-driver.js';

for (const server of ['kinesalite', 'kinesis-local', 'ferrokinesis'] as const) {
  describeKinesis(server, 'kinesisPublisher conforms', (kinesis) => {
    const driver = kinesisPublisherDriver(kinesis);
    checkAll(driver, publisherConformance(driver));
  });
}
