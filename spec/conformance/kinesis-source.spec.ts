import { beforeAll, describe } from '@jest/globals';
import { postgresLeaseStore, postgresSchema, type PostgresLike } from '../../lib/postgres.js';
import { sourceConformance } from '../../lib/testing.js';
import { describeKinesis } from '../servers/describe-kinesis.js';
import { describePostgres } from '../servers/describe-postgres.js';
import { checkAll } from './check-all.js';
import { fakeService, liveService } from './kinesis-services.js';
import { kinesisSourceDriver } from './kinesis-source-driver.js';

describe('fromKinesis conforms, on the fake Kinesis of this process', () => {
  const driver = kinesisSourceDriver({ service: fakeService, trims: true, pollMs: 5 });
  checkAll(driver, sourceConformance(driver));
});

describe('fromKinesis with fanOut conforms, on the fake Kinesis of this process', () => {
  const driver = kinesisSourceDriver({ service: fakeService, fanOut: true, trims: true, pollMs: 5 });
  checkAll(driver, sourceConformance(driver));
});

for (const server of ['kinesalite', 'kinesis-local', 'ferrokinesis'] as const) {
  describeKinesis(server, 'fromKinesis conforms', (kinesis) => {
    const driver = kinesisSourceDriver({ service: () => liveService(kinesis) });
    checkAll(driver, sourceConformance(driver));
  });
}

describePostgres('fromKinesis over postgresLeaseStore conforms', (postgres) => {
  let db: PostgresLike;
  let schema: string;
  beforeAll(async () => {
    db = postgres().newPool({ max: 8 });
    schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema, tables: ['shardLeases'] }));
  });

  describeKinesis('kinesalite', 'fromKinesis over postgresLeaseStore', (kinesis) => {
    const driver = kinesisSourceDriver({
      service: () => liveService(kinesis),
      leases: () => postgresLeaseStore(db, { schema }),
      // The pool is the user's, and its connections come and go.
      openHandles: false,
    });
    checkAll(driver, sourceConformance(driver));
  });
});
