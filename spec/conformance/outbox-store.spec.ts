import { describe, it } from '@jest/globals';
import { sql, type Transaction } from 'kysely';
import type { PoolClient } from 'pg';
import { memoryOutboxStore, type MemoryTransaction } from '../../lib/memory.js';
import { postgresOutboxStore, postgresSchema } from '../../lib/postgres.js';
import { describePostgres } from '../servers/describe-postgres.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';
import { outboxStoreCases, type OutboxStoreDriver } from './outbox-store-cases.js';

const memory: OutboxStoreDriver<MemoryTransaction> = {
  name: 'memoryOutboxStore',
  shortLeaseMs: 50,
  lapseMs: 60,
  open: () => {
    const store = memoryOutboxStore();
    return {
      worker: () => store,
      write: (tx, name) => tx.set(name, true),
      written: () => [...store.table.keys()].sort(),
    };
  },
};

describe(memory.name, () => {
  for (const { name, run } of outboxStoreCases(memory)) it(name, run);
});

const written = (postgres: PostgresTestClient, schema: string) => async (): Promise<string[]> =>
  (await postgres.query<{ name: string }>(`SELECT name FROM ${schema}.effects ORDER BY name`)).map(({ name }) => name);

async function newSchema(postgres: PostgresTestClient): Promise<string> {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.effects (name text NOT NULL)`);
  return schema;
}

const TIMES = { shortLeaseMs: 300, lapseMs: 350 };
const NAME = 'postgresOutboxStore';

describePostgres(`${NAME} on a pool of pg`, (postgres) => {
  let pool: ReturnType<PostgresTestClient['newPool']>;
  const driver: OutboxStoreDriver<PoolClient> = {
    name: NAME,
    ...TIMES,
    open: async () => {
      pool ??= postgres().newPool({ max: 30 });
      const schema = await newSchema(postgres());
      return {
        worker: () => postgresOutboxStore(pool, { schema }),
        write: (tx, name) => tx.query(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]),
        written: written(postgres(), schema),
      };
    },
  };
  for (const { name, run } of outboxStoreCases(driver)) it(name, run);
});

interface Database {
  effects: { name: string };
}

describePostgres(`${NAME} on a kysely`, (postgres) => {
  let db: ReturnType<PostgresTestClient['newKysely']>;
  const driver: OutboxStoreDriver<Transaction<unknown>> = {
    name: NAME,
    ...TIMES,
    open: async () => {
      db ??= postgres().newKysely<Database>({ max: 30 }) as typeof db;
      const schema = await newSchema(postgres());
      return {
        worker: () => postgresOutboxStore(db, { schema }),
        write: (tx, name) => sql`INSERT INTO ${sql.id(schema, 'effects')} VALUES (${name})`.execute(tx),
        written: written(postgres(), schema),
      };
    },
  };
  for (const { name, run } of outboxStoreCases(driver)) it(name, run);
});
