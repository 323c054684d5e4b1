import { randomBytes } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import { Pool, type PoolConfig, type QueryResultRow } from 'pg';

/** What specs, benchmarks and examples do to a PostgreSQL beside the code under test. */
export interface PostgresTestClient {
  readonly url: string;
  /** Makes a pool for the code under test, which `close` ends; connections that break are no unhandled errors. */
  newPool(config?: PoolConfig): Pool;
  /** The same as a kysely. */
  newKysely<DB>(config?: PoolConfig): Kysely<DB>;
  /** Makes an empty schema with a name that nobody else has, which `close` drops. */
  createSchema(): Promise<string>;
  /** Runs a statement, and returns its rows. */
  query<R extends QueryResultRow>(text: string, values?: readonly unknown[]): Promise<R[]>;
  /** Drops what was made through this client, and ends its pools. */
  close(): Promise<void>;
}

/** Opens a test client; it connects when it is first used. */
export function postgresTestClient({ url }: { readonly url: string }): PostgresTestClient {
  const pools: Pool[] = [];
  const schemas: string[] = [];

  const newPool = (config: PoolConfig = {}): Pool => {
    const pool = new Pool({ connectionString: url, max: 4, ...config });
    pool.on('error', () => undefined);
    // kysely listens to none of the connections that it has lent.
    pool.on('connect', (client) => client.on('error', () => undefined));
    pools.push(pool);
    return pool;
  };
  const own = newPool({ max: 2 });
  const query = async <R extends QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<R[]> =>
    (await own.query<R>(text, [...values])).rows;

  return {
    url,
    newPool,
    query,
    newKysely: <DB>(config?: PoolConfig) => new Kysely<DB>({ dialect: new PostgresDialect({ pool: newPool(config) }) }),
    createSchema: async () => {
      const schema = `spec_${randomBytes(6).toString('hex')}`;
      await query(`CREATE SCHEMA ${schema}`);
      schemas.push(schema);
      return schema;
    },
    close: async () => {
      // A server that is gone does not fail the spec.
      for (const schema of schemas) await query(`DROP SCHEMA ${schema} CASCADE`).catch(() => undefined);
      await Promise.all(pools.filter(({ ended }) => !ended).map((pool) => pool.end()));
    },
  };
}
