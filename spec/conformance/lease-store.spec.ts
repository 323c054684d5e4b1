import { waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import { afterAll, describe } from '@jest/globals';
import { dynamoLeaseStore, leaseTable } from '../../examples/04-dynamodb-leases/dynamo-lease-store.js';
import { postgresLeaseStore, postgresSchema, type PostgresLike } from '../../lib/postgres.js';
import { leaseStoreConformance, type LeaseStoreDriver } from '../../lib/testing.js';
import { describePostgres } from '../servers/describe-postgres.js';
import { startDynalite, type DynaliteServer } from '../servers/dynalite.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';
import { checkAll } from './check-all.js';
import { memoryLeaseStoreDriver } from './memory-drivers.js';

describe('memoryLeaseStore conforms', () =>
  checkAll(memoryLeaseStoreDriver, leaseStoreConformance(memoryLeaseStoreDriver), { inTurn: true }));

describe('dynamoLeaseStore conforms, the example', () => {
  let dynalite: DynaliteServer;
  const driver: LeaseStoreDriver = {
    name: 'dynamoLeaseStore',
    timings: { withinMs: 300_000 },
    open: async () => {
      dynalite ??= await startDynalite();
      const table = `leases-${crypto.randomUUID()}`;
      const db = dynalite.newClient();
      await db.createTable(leaseTable(table));
      await waitUntilTableExists({ client: db, maxWaitTime: 10, minDelay: 0.01, maxDelay: 0.1 }, { TableName: table });
      return { worker: () => dynamoLeaseStore(dynalite.newClient(), table) };
    },
  };
  afterAll(() => dynalite?.stop());
  checkAll(driver, leaseStoreConformance(driver), { inTurn: true });
});

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
    checkAll(driver, leaseStoreConformance(driver), { inTurn: true });
  });
}
