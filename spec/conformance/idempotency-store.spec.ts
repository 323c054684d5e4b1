import { describe, it } from '@jest/globals';
import { memoryIdempotencyStore } from '../../lib/memory.js';
import { postgresIdempotencyStore, postgresSchema, type PostgresLike } from '../../lib/postgres.js';
import { describePostgres } from '../servers/describe-postgres.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';
import { ODD_POOL } from '../support/odd-pool.js';
import { idempotencyStoreCases, type IdempotencyStoreDriver } from './idempotency-store-cases.js';

const memory: IdempotencyStoreDriver = {
  name: 'memoryIdempotencyStore',
  shortLeaseMs: 50,
  lapseMs: 60,
  open: () => {
    const store = memoryIdempotencyStore();
    return { worker: () => store };
  },
};

describe(memory.name, () => {
  for (const { name, run } of idempotencyStoreCases(memory)) it(name, run);
});

const clients: Readonly<Record<string, (postgres: PostgresTestClient) => PostgresLike>> = {
  'a pool of pg': (postgres) => postgres.newPool({ max: 8 }),
  'a pool of pg with formats of its own': (postgres) => postgres.newPool({ max: 8, ...ODD_POOL }),
  'a database that is serializable by default': (postgres) =>
    postgres.newPool({ max: 8, options: '-c default_transaction_isolation=serializable' }),
  'a kysely': (postgres) => postgres.newKysely({ max: 8 }),
};

for (const [client, connect] of Object.entries(clients)) {
  describePostgres(`postgresIdempotencyStore on ${client}`, (postgres) => {
    let db: PostgresLike;
    const driver: IdempotencyStoreDriver = {
      name: 'postgresIdempotencyStore',
      shortLeaseMs: 300,
      lapseMs: 350,
      open: async () => {
        db ??= connect(postgres());
        const schema = await postgres().createSchema();
        await postgres().query(postgresSchema({ schema, tables: ['processedEvents'] }));
        return { worker: () => postgresIdempotencyStore(db, { schema, consumer: 'conformance' }) };
      },
    };
    for (const { name, run } of idempotencyStoreCases(driver)) it(name, run);
  });
}
