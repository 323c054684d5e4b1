import { expect, it } from '@jest/globals';
import { lastValueFrom, take, tap, toArray } from 'rxjs';
import { postgresPurge, postgresSchema, type PostgresPurgeOptions } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { refusal, untyped } from '../../support/options.js';

describePostgres('postgresPurge', (postgres) => {
  const DAY = 86_400_000;
  const made = async (rows: number): Promise<string> => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    await postgres().query(`
      INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at)
        SELECT 'me', n::text, now() - n % 30 * interval '1 day' FROM generate_series(0, ${rows - 1}) AS n;
      INSERT INTO ${schema}.processed_events (consumer, event_id, token, leased_until)
        VALUES ('me', 'claimed', gen_random_uuid(), now() + interval '1 minute'),
               ('me', 'given up', gen_random_uuid(), now() - interval '20 days');
      INSERT INTO ${schema}.outbox (topic, payload, published_at)
        SELECT 'out', '\\x00', now() - n % 4 * interval '1 day' - interval '1 minute' FROM generate_series(0, ${rows - 1}) AS n;
      INSERT INTO ${schema}.outbox (topic, payload, dead_at) VALUES ('out', 'dead', now() - interval '1 year');
      INSERT INTO ${schema}.outbox (topic, payload, created_at) VALUES ('out', 'late', now() - interval '1 year');`);
    return schema;
  };
  const purge = (schema: string, options: PostgresPurgeOptions = {}) =>
    lastValueFrom(postgresPurge(postgres().newPool(), { schema, ...options }).pipe(toArray()));
  const left = async (schema: string, sql: string): Promise<number> => {
    const [row] = await postgres().query<{ n: number }>(`SELECT count(*)::int AS n FROM ${schema}.${sql}`);
    return (row as { n: number }).n;
  };

  it('removes what is old, a few pages at a time, and nothing that still counts', async () => {
    const schema = await made(30_000);
    const steps = await purge(schema, { pages: 16 });
    expect(steps.length).toBeGreaterThan(20);
    const removed = (table: string): number =>
      steps.filter((step) => step.table === table).reduce((sum, step) => sum + step.removed, 0);
    // Days 14 to 29 of 30, the claim that was given up; days 1 to 3 of 4.
    expect(removed('processedEvents')).toBe(16_000 + 1);
    expect(removed('outbox')).toBe(22_500);
    expect(await left(schema, `processed_events WHERE event_id = 'claimed'`)).toBe(1);
    expect(await left(schema, 'outbox WHERE dead_at IS NOT NULL')).toBe(1);
    expect(await left(schema, 'outbox WHERE published_at IS NULL AND dead_at IS NULL')).toBe(1);
    for (const table of ['processedEvents', 'outbox']) {
      const progress = steps.filter((step) => step.table === table).map((step) => step.progress);
      expect(progress.at(-1)).toBe(1);
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
    }
    const again = await purge(schema);
    expect(again.every((step) => step.removed === 0)).toBe(true);
  });

  it('takes ages and tables of its own', async () => {
    const schema = await made(3_000);
    await purge(schema, { processedMs: 20 * DAY, tables: ['processedEvents'] });
    expect(await left(schema, 'processed_events WHERE processed_at IS NOT NULL')).toBe(2_000);
    expect(await left(schema, 'outbox')).toBe(3_002);
    await purge(schema, { publishedMs: 0, tables: ['outbox'] });
    expect(await left(schema, 'outbox')).toBe(2);
  });

  it('waits for no row that somebody has locked, and removes it the next time', async () => {
    const schema = await made(300);
    const holder = await postgres().newPool().connect();
    await holder.query('BEGIN');
    await holder.query(`SELECT FROM ${schema}.processed_events WHERE event_id = '29' FOR UPDATE`);
    await purge(schema, { tables: ['processedEvents'], timeoutMs: 1_000 });
    expect(await left(schema, `processed_events WHERE event_id IN ('28', '29')`)).toBe(1);
    await holder.query('COMMIT');
    holder.release();
    await purge(schema, { tables: ['processedEvents'] });
    expect(await left(schema, `processed_events WHERE event_id = '29'`)).toBe(0);
  });

  /** Makes the tables partitioned, as an application may: of a few rows each, and one with sub-partitions. */
  const partition = async (schema: string): Promise<void> => {
    const columns = (table: string) => `(LIKE ${schema}.old_${table} INCLUDING DEFAULTS INCLUDING GENERATED)`;
    await postgres().query(`
      ALTER TABLE ${schema}.outbox RENAME TO old_outbox; ALTER TABLE ${schema}.processed_events RENAME TO old_processed_events;
      CREATE TABLE ${schema}.outbox ${columns('outbox')} PARTITION BY RANGE (id);
      CREATE TABLE ${schema}.outbox_a PARTITION OF ${schema}.outbox FOR VALUES FROM (0) TO (1000);
      CREATE TABLE ${schema}.outbox_b PARTITION OF ${schema}.outbox FOR VALUES FROM (1000) TO (100000) PARTITION BY RANGE (id);
      CREATE TABLE ${schema}.outbox_b1 PARTITION OF ${schema}.outbox_b FOR VALUES FROM (1000) TO (1100);
      CREATE TABLE ${schema}.outbox_b2 PARTITION OF ${schema}.outbox_b FOR VALUES FROM (1100) TO (100000);
      CREATE TABLE ${schema}.outbox_empty PARTITION OF ${schema}.outbox FOR VALUES FROM (100000) TO (200000);
      CREATE TABLE ${schema}.processed_events ${columns('processed_events')} PARTITION BY HASH (event_id);
      CREATE TABLE ${schema}.processed_0 PARTITION OF ${schema}.processed_events FOR VALUES WITH (MODULUS 2, REMAINDER 0);
      CREATE TABLE ${schema}.processed_1 PARTITION OF ${schema}.processed_events FOR VALUES WITH (MODULUS 2, REMAINDER 1);
      INSERT INTO ${schema}.outbox SELECT * FROM ${schema}.old_outbox;
      INSERT INTO ${schema}.processed_events SELECT * FROM ${schema}.old_processed_events;`);
  };

  it.each([1, 128])('removes what is old of tables that are partitioned, %d pages at a time', async (pages) => {
    const schema = await made(3_000);
    await partition(schema);
    const kept = (where: string): Promise<Record<string, unknown>[]> =>
      postgres().query(`SELECT id FROM ${schema}.outbox WHERE NOT coalesce(${where}, false) ORDER BY id`);
    const expected = await kept(`published_at < now() - interval '1 day'`);
    // The user has rights to the tables, and none to the partitions.
    const role = `${schema}_purger`;
    await postgres().query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA ${schema} TO ${role};
      GRANT SELECT, UPDATE, DELETE ON ${schema}.outbox, ${schema}.processed_events TO ${role}`);
    const pool = postgres().newPool({ options: `-c role=${role}` });
    const steps = await lastValueFrom(postgresPurge(pool, { schema, pages }).pipe(toArray()));
    await pool.end();
    await postgres().query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    const removed = (table: string): number =>
      steps.filter((step) => step.table === table).reduce((sum, step) => sum + step.removed, 0);
    expect(removed('processedEvents')).toBe(1_600 + 1);
    expect(removed('outbox')).toBe(2_250);
    expect(await kept('false')).toEqual(expected);
    expect(steps.at(-1)?.progress).toBe(1);
  });

  it('removes what is old of a table that others inherit from', async () => {
    const schema = await made(300);
    await postgres().query(`CREATE TABLE ${schema}.archive () INHERITS (${schema}.outbox);
      WITH moved AS (DELETE FROM ${schema}.outbox WHERE id > 100 RETURNING *) INSERT INTO ${schema}.archive SELECT * FROM moved`);
    await purge(schema, { publishedMs: 0, tables: ['outbox'] });
    expect(await left(schema, 'outbox')).toBe(2);
  });

  it('ends where it is let go, after the statement that is under way', async () => {
    const schema = await made(30_000);
    const pool = postgres().newPool();
    let seen = 0;
    await lastValueFrom(
      postgresPurge(pool, { schema, pages: 1 }).pipe(
        tap(() => seen++),
        take(2),
      ),
    );
    expect(seen).toBe(2);
    expect(pool.idleCount).toBe(pool.totalCount);
    expect(await left(schema, 'processed_events')).toBeGreaterThan(20_000);
  });

  it('names the migration that is missing', async () => {
    const schema = await postgres().createSchema();
    await expect(purge(schema)).rejects.toMatchObject({
      code: 'schema-mismatch',
      details: { migration: expect.stringMatching(/^rxsluice_000/) as unknown },
    });
  });

  it('refuses options that are none', () => {
    const pool = postgres().newPool();
    expect(refusal(() => postgresPurge(pool, { processedMs: -1 }))).toMatch(/processedMs/);
    expect(refusal(() => postgresPurge(pool, { pages: 0 }))).toMatch(/pages/);
    expect(refusal(() => postgresPurge(pool, untyped({ days: 3 })))).toMatch(/days/);
    expect(refusal(() => postgresPurge(untyped(null)))).toMatch(/db/);
  });
});
