import { expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { CompiledQuery, type Kysely } from 'kysely';
import type { Pool } from 'pg';
import { lastValueFrom, from, type ObservableInput } from 'rxjs';
import { postgresIdempotencyStore, postgresOutboxStore } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import {
  expectAllOnce,
  namesOf,
  newBroker,
  newSchema,
  send,
  start,
  stored,
  writes,
} from '../../support/outbox-processing.js';
import { outboxRoad, roadOverKysely, roadOverPool, ROADS } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

const answer = <T>(input: ObservableInput<T>): Promise<T> => lastValueFrom(from(input));

/** Gives the only connection of the pool back in the middle of a transaction, as one whose ROLLBACK was forgotten. */
async function leaveOpen(pool: Pool, ...statements: readonly string[]): Promise<void> {
  const client = await pool.connect();
  for (const statement of ['BEGIN', ...statements]) await client.query(statement).catch(() => undefined);
  client.release();
}

const leaveOpenByKysely = (db: Kysely<unknown>, ...statements: readonly string[]): Promise<unknown> =>
  db.connection().execute(async (one) => {
    for (const statement of ['BEGIN', ...statements]) {
      await one.executeQuery(CompiledQuery.raw(statement)).catch(() => undefined);
    }
  });

describePostgres('connections in the middle of a transaction', (postgres) => {
  it.each(ROADS.flatMap((kind) => [1, 8].map((group) => [kind, group] as const)))(
    'loses nothing where the pool gives up statements, while somebody has a key for longer (%s, group %i)',
    async (kind, group) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const names = namesOf(24);
      const holder = await postgres().newPool({ max: 1 }).connect();
      await holder.query('BEGIN');
      await holder.query(
        `INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at) VALUES ('readers', 'in/0/1', now())`,
      );
      const { outbox } = outboxRoad(kind, postgres(), { schema }, { max: 4, query_timeout: 300 });
      const processing = start(broker, outbox, writes(schema), { group, concurrency: 2 });
      await send(broker, names);
      await until('a statement was given up', () => processing.eventsOf('unavailable').length > 0);
      await holder.query('ROLLBACK');
      holder.release();
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      expect(processing.eventsOf('settled').filter(({ outcome }) => outcome !== 'done')).toEqual([]);
      await expectAllOnce(postgres(), schema, broker, [processing], names);
    },
  );

  it.each(ROADS.flatMap((kind) => ['SELECT 1', 'SELECT 1 / 0'].map((what) => [kind, what] as const)))(
    'joins no transaction that was left open on a connection (%s, %s)',
    async (kind, what) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const names = namesOf(6);
      const insert = `INSERT INTO ${schema}.effects VALUES ('left behind')`;
      const config = { max: 1 };
      const pool = postgres().newPool(config);
      const db = postgres().newKysely<unknown>(config);
      const { outbox } =
        kind === 'pg'
          ? roadOverPool(postgresOutboxStore(pool, { schema }))
          : roadOverKysely(postgresOutboxStore(db, { schema }));
      if (kind === 'pg') await leaveOpen(pool, insert, what);
      else await leaveOpenByKysely(db, insert, what);
      const processing = start(broker, outbox, writes(schema), { group: 2, concurrency: 1 });
      await send(broker, names);
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      await expectAllOnce(postgres(), schema, broker, [processing], names);
      expect(processing.eventsOf('unavailable')).toEqual([]);
    },
  );

  it('keeps for good what dedupe was told to keep, on a connection of pg that somebody left in a transaction', async () => {
    const schema = await newSchema(postgres());
    const pool = postgres().newPool({ max: 1 });
    const keys = postgresIdempotencyStore(pool, { schema, consumer: 'reader' });
    const [claim] = await answer(keys.claim(['a'], 60_000));
    await leaveOpen(pool, 'SELECT 1');
    const token = claim !== undefined && 'token' in claim ? claim.token : '';
    await answer(keys.confirm([{ key: 'a', token }]));
    expect(await postgres().query(`SELECT processed_at IS NOT NULL AS done FROM ${schema}.processed_events`)).toEqual([
      { done: true },
    ]);
  });

  it.each(ROADS)('leaves no statement on the server that the pool has given up (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const locker = await postgres().newPool({ max: 1 }).connect();
    await locker.query('BEGIN');
    await locker.query(`LOCK TABLE ${schema}.outbox, ${schema}.processed_events`);
    const broker = newBroker();
    const { outbox, store } = outboxRoad(kind, postgres(), { schema }, { max: 5, query_timeout: 200 });
    const processing = start(broker, outbox, writes(schema), { concurrency: 1 });
    await send(broker, ['a']);
    for (let n = 0; n < 4; n++) await expect(answer(store.lag())).rejects.toMatchObject({ code: 'connection-failed' });
    await until('a transaction was given up', () => processing.eventsOf('unavailable').length > 0);
    const waiting = async (): Promise<number> => {
      const sql = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1`;
      return (await postgres().query<{ n: number }>(sql, [`%${schema}%`]))[0]?.n ?? NaN;
    };
    // One of the processing may be under way anew.
    await until('the others are gone', async () => (await waiting()) <= 1);
    await locker.query('ROLLBACK');
    locker.release();
    await until('it is settled', () => processing.settled() === 1);
    processing.stop();
    expect(await stored(postgres(), schema)).toEqual({ effects: ['a'], outbox: ['a'] });
  });

  it('gives the application no connection of kysely on which a statement that was given up still runs', async () => {
    const schema = await newSchema(postgres());
    const db = postgres().newKysely<unknown>({ max: 4, query_timeout: 300 });
    const store = postgresOutboxStore(db, { schema, timeoutMs: 5_000 });
    const locker = await postgres().newPool({ max: 1 }).connect();
    await locker.query('BEGIN');
    await locker.query(`LOCK TABLE ${schema}.outbox`);
    await expect(answer(store.lag())).rejects.toMatchObject({ code: 'connection-failed' });
    // Given back at once, it would be the first that the pool lends again, and what waits behind the other would be given up as well.
    await pause(100);
    const { rows } = await db.executeQuery(CompiledQuery.raw('SELECT 1 AS one'));
    expect(rows).toEqual([{ one: 1 }]);
    await locker.query('ROLLBACK');
    locker.release();
    expect(await answer(store.lag())).toMatchObject({ rows: 0 });
  });
});
