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
