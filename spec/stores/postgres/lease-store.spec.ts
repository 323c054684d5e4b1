import { expect, it } from '@jest/globals';
import { Kysely, PostgresDialect } from 'kysely';
import { concat, firstValueFrom, from, lastValueFrom, timeout, toArray, type ObservableInput } from 'rxjs';
import type { LeaseStore, ShardLease } from '../../../lib/index.js';
import { fromKinesis } from '../../../lib/kinesis.js';
import { postgresLeaseStore, postgresPurge, postgresSchema } from '../../../lib/postgres.js';
import { shuffled } from '../../../lib/testing/lease-rows.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { refusal, untyped } from '../../support/options.js';

const GROUP = { consumer: 'billing', stream: 'orders' };

const leases = (count: number, counter = 1): ShardLease[] =>
  Array.from({ length: count }, (_, index) => ({
    ...{ shard: `shard-${index}`, counter, owner: 'ann', wantedBy: null },
    ...{ checkpoint: '49', acked: '', doneUntil: 1_700_000_000_123, parents: ['shard-left'] },
  }));

const all = <R>(input: ObservableInput<R>): Promise<R[]> => lastValueFrom(from(input).pipe(toArray()));

describePostgres('postgresLeaseStore', (postgres) => {
  const newSchema = async (): Promise<string> => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    return schema;
  };

  it('does nothing before it is subscribed to, and acts for each who subscribes', async () => {
    const store = postgresLeaseStore(postgres().newPool(), { schema: await newSchema() });
    const add = store.add(GROUP, leases(1));
    void store.list(GROUP);
    expect(await all(store.list(GROUP))).toEqual([[]]);
    await all(add);
    const write = store.write(GROUP, leases(1, 2));
    void store.remove(GROUP, leases(1));
    expect(await all(store.list(GROUP))).toEqual([leases(1)]);
    expect(await all(write)).toEqual([[true]]);
    expect(await all(write)).toEqual([[false]]);
  });

  it('asks nothing of the server for no rows', async () => {
    const store = postgresLeaseStore(postgres().newPool({ connectionString: 'postgres://127.0.0.1:1/none' }));
    expect(await all(store.add(GROUP, []))).toEqual([]);
    expect(await all(store.write(GROUP, []))).toEqual([[]]);
    expect(await all(store.remove(GROUP, []))).toEqual([]);
  });

  it('takes other names', async () => {
    const schema = await postgres().createSchema();
    const names = { schema, shardLeases: 'Odd "leases"' };
    await postgres().query(postgresSchema({ ...names, tables: ['shardLeases'] }));
    const store = postgresLeaseStore(postgres().newKysely(), names);
    await all(store.add(GROUP, leases(2)));
    expect(await postgres().query(`SELECT shard, owner FROM ${schema}."Odd ""leases""" ORDER BY 1`)).toEqual([
      { shard: 'shard-0', owner: 'ann' },
      { shard: 'shard-1', owner: 'ann' },
    ]);
  });

  it('notes when a row was last written, by the clock of the server', async () => {
    const schema = await newSchema();
    const store = postgresLeaseStore(postgres().newPool(), { schema });
    const [before] = await postgres().query<{ now: Date }>('SELECT clock_timestamp() AS now');
    await all(store.add(GROUP, leases(1)));
    await postgres().query(`UPDATE ${schema}.shard_leases SET updated_at = '2020-01-01'`);
    await all(store.write(GROUP, leases(1, 2)));
    const [row] = await postgres().query<{ updated_at: Date }>(`SELECT updated_at FROM ${schema}.shard_leases`);
    expect(row?.updated_at.getTime()).toBeGreaterThanOrEqual((before as { now: Date }).now.getTime());
  });

  it('writes rows on the page where they are, and no index hears of it', async () => {
    const schema = await newSchema();
    const pool = postgres().newPool({ max: 1 });
    const store = postgresLeaseStore(pool, { schema });
    await all(store.add(GROUP, leases(100)));
    for (let counter = 2; counter < 22; counter++) await all(store.write(GROUP, leases(100, counter)));
    await pool.query('SELECT pg_stat_force_next_flush()').catch(() => undefined); // from 15 on
    await pool.end();
    const [row] = await postgres().query<{ updates: number; hot: number; pages: number }>(
      `SELECT n_tup_upd::int AS updates, n_tup_hot_upd::int AS hot, pg_relation_size(relid)::int / 8192 AS pages
      FROM pg_stat_user_tables WHERE schemaname = $1 AND relname = 'shard_leases'`,
      [schema],
    );
    expect(row?.updates).toBe(2_000);
    expect(row?.hot).toBeGreaterThan(1_900);
    expect(row?.pages).toBeLessThan(10);
  });

  it('takes the same rows in other orders by adds, writes and removes at once, and none waits in a circle', async () => {
    const schema = await newSchema();
    const failures: unknown[] = [];
    const db = new Kysely<unknown>({
      dialect: new PostgresDialect({ pool: postgres().newPool({ max: 12 }) }),
      // What was rolled back is run again, so nobody else sees it.
      log: (event) => void (event.level === 'error' && failures.push(event.error)),
    });
    const store = postgresLeaseStore(db, { schema });
    const orders = (rows: readonly ShardLease[]) => [rows, [...rows].reverse(), shuffled(rows), shuffled(rows)];
    for (let round = 0; round < 30; round++) {
      const group = { consumer: 'billing', stream: `orders ${round}` };
      await Promise.all(orders(leases(200)).map((rows) => all(store.add(group, rows))));
      await Promise.all([
        ...orders(leases(200, 2)).map((rows) => all(store.write(group, rows))),
        ...orders(leases(100)).map((rows) => all(store.remove(group, rows))),
        ...orders(leases(200)).map((rows) => all(store.add(group, rows))),
      ]);
    }
    expect(failures).toEqual([]);
  });

  it('leaves its rows to themselves when others are purged', async () => {
    const schema = await newSchema();
    const pool = postgres().newPool();
    const store = postgresLeaseStore(pool, { schema });
    await all(store.add(GROUP, leases(3)));
    await postgres().query(`UPDATE ${schema}.shard_leases SET updated_at = '2020-01-01', done_until_ms = 0`);
    await lastValueFrom(postgresPurge(pool, { schema, processedMs: 0, publishedMs: 0 }));
    expect((await firstValueFrom(from(store.list(GROUP)))).length).toBe(3);
    expect(refusal(() => postgresPurge(pool, { tables: untyped(['shardLeases']) }))).toMatch(/tables/);
  });

  it('names the migration where the table is missing or older', async () => {
    const schema = await postgres().createSchema();
    const store = postgresLeaseStore(postgres().newPool(), { schema });
    const mismatch = {
      code: 'schema-mismatch',
      details: { table: `"${schema}"."shard_leases"`, migration: 'rxsluice_0003_shard_leases' },
    };
    await expect(all(store.list(GROUP))).rejects.toMatchObject(mismatch);
    await postgres().query(postgresSchema({ schema, tables: ['shardLeases'] }));
    await expect(all(store.list(GROUP))).resolves.toEqual([[]]);
    await postgres().query(`ALTER TABLE ${schema}.shard_leases DROP COLUMN wanted_by`);
    for (const call of [
      store.list(GROUP),
      store.add(GROUP, leases(1)),
      store.write(GROUP, leases(1)),
      concat(from(store.remove(GROUP, leases(1))), from(store.list(GROUP))),
    ]) {
      await expect(all<unknown>(call)).rejects.toMatchObject(mismatch);
    }
  });

  it('says that it is out where nothing answers in time, and nobody waits for a row for longer', async () => {
    const schema = await newSchema();
    const pool = postgres().newPool();
    const store = postgresLeaseStore(pool, { schema, timeoutMs: 300 });
    await all(store.add(GROUP, leases(2)));
    const holder = await postgres().newPool().connect();
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM ${schema}.shard_leases WHERE shard = 'shard-1' FOR UPDATE`);
    await expect(all(store.write(GROUP, leases(2, 2)))).rejects.toMatchObject({
      code: 'connection-failed',
      message:
        'postgresLeaseStore: no answer within 300 ms. Either the pool has no free connection, or Postgres is slow.',
    });
    expect(await all(store.list(GROUP))).toEqual([leases(2)]);
    await holder.query('COMMIT');
    holder.release();
  });

  it('refuses options that are none', () => {
    const pool = postgres().newPool();
    expect(refusal(() => postgresLeaseStore(untyped({})))).toMatch(/db must be a Kysely or a Pool of pg/);
    expect(refusal(() => postgresLeaseStore(pool, { timeoutMs: 99 }))).toMatch(/timeoutMs/);
    expect(refusal(() => postgresLeaseStore(pool, { shardLeases: '' }))).toMatch(/shardLeases/);
    expect(refusal(() => postgresLeaseStore(pool, untyped({ consumer: 'x' })))).toMatch(/consumer/);
  });

  // A source that can never have a lease says so, whether anybody listens to telemetry or not.
  const endOf = (leases: LeaseStore): Promise<unknown> =>
    lastValueFrom(fromKinesis(fakeKinesis(), { stream: 's', consumer: 'billing', leases }).pipe(timeout(30_000))).then(
      () => null,
      (error: unknown) => error,
    );

  it('ends a source of Kinesis where its table is missing, by the name of the migration', async () => {
    const schema = await postgres().createSchema();
    await expect(endOf(postgresLeaseStore(postgres().newPool(), { schema }))).resolves.toMatchObject({
      code: 'schema-mismatch',
      message: expect.stringContaining('rxsluice_0003_shard_leases') as unknown,
    });
  });

  it('ends it where the password is wrong, or a right is missing', async () => {
    const schema = await newSchema();
    const role = `reader_${schema}`;
    await postgres().query(`CREATE ROLE ${role} LOGIN PASSWORD 'right'`);
    try {
      await postgres().query(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`);
      await postgres().query(`GRANT SELECT ON ${schema}.shard_leases TO ${role}`);
      const storeOf = (password: string): LeaseStore => {
        const url = Object.assign(new URL(postgres().url), { username: role, password });
        return postgresLeaseStore(postgres().newPool({ connectionString: url.href }), { schema });
      };
      await expect(endOf(storeOf('wrong'))).resolves.toMatchObject({ code: 'authentication-failed' });
      await expect(endOf(storeOf('right'))).resolves.toMatchObject({
        code: 'not-authorized',
        message: expect.stringContaining(
          `Grant SELECT, INSERT, UPDATE and DELETE on "${schema}"."shard_leases"`,
        ) as unknown,
      });
    } finally {
      await postgres().query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  });
});
