import { describe } from '@jest/globals';
import { postgresLeaseStore, postgresSchema, type PostgresLike } from '../../lib/postgres.js';
import { leaseStoreConformance, type LeaseStoreDriver } from '../../lib/testing.js';
import { describePostgres } from '../servers/describe-postgres.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';
import { checkAll } from './check-all.js';
import { memoryLeaseStoreDriver } from './memory-drivers.js';

describe('memoryLeaseStore conforms', () =>
  checkAll(memoryLeaseStoreDriver, leaseStoreConformance(memoryLeaseStoreDriver)));

const isolated = (level: string) => ({ max: 8, options: `-c default_transaction_isolation=${level}` });

const clients: Readonly<Record<string, (postgres: PostgresTestClient) => PostgresLike>> = {
  'a pool of pg': (postgres) => postgres.newPool({ max: 8 }),
  'a kysely': (postgres) => postgres.newKysely({ max: 8 }),
  'connections whose default is repeatable read': (postgres) => postgres.newPool(isolated('repeatable\\ read')),
  'connections whose default is serializable': (postgres) => postgres.newPool(isolated('serializable')),
};

for (const [client, connect] of Object.entries(clients)) {
  describePostgres(`postgresLeaseStore on ${client} conforms`, (postgres) => {
    let db: PostgresLike;
    const driver: LeaseStoreDriver = {
      name: 'postgresLeaseStore',
      open: async () => {
        db ??= connect(postgres());
        const schema = await postgres().createSchema();
        await postgres().query(postgresSchema({ schema, tables: ['shardLeases'] }));
        return { worker: () => postgresLeaseStore(db, { schema }) };
      },
    };
    checkAll(driver, leaseStoreConformance(driver));
  });
}
