import { afterEach, expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { postgresOutboxStore } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import {
  expectAllOnce,
  namesOf,
  newBroker,
  newSchema,
  relay,
  send,
  start as startProcessing,
  writes,
} from '../../support/outbox-processing.js';
import { outboxRoad, roadOverPool, ROADS } from '../../support/outbox-road.js';
import { ODD_POOL } from '../../support/odd-pool.js';
import { until } from '../../support/until.js';

const KEYED = { consumer: 'me', key: (value: Uint8Array | null) => new TextDecoder().decode(value ?? undefined) };

describePostgres('withOutbox on a database with settings of its own', (postgres) => {
  // Also of a spec that fails: it must not be in the way of the others.
  const ends: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });

  const start: typeof startProcessing = (...given) => {
    const processing = startProcessing(...given);
    ends.push(processing.stop);
    return processing;
  };

  const lockedBy = async (sql: string) => {
    const client = await postgres().newPool({ max: 1 }).connect();
    await client.query('BEGIN');
    await client.query(sql);
    let locked = true;
    const free = async (): Promise<void> => {
      if (locked) await client.query('ROLLBACK');
      if (locked) client.release();
      locked = false;
    };
    ends.push(free);
    return free;
  };
  const holdsKey = (schema: string, key: string): Promise<() => Promise<void>> =>
    lockedBy(
      `INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at) VALUES ('me', '${key}', now())`,
    );
  const sessions = async (condition: string): Promise<number> => {
    const sql = `SELECT count(*)::int AS n FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND ${condition}`;
    const [row] = await postgres().query<{ n: number }>(sql);
    return row?.n ?? NaN;
  };

  it.each(ROADS.flatMap((kind) => ['lock_timeout', 'statement_timeout'].map((setting) => [kind, setting] as const)))(
    'takes a key that another has for no outage where that ends the wait (%s, %s)',
    async (kind, setting) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const names = namesOf(40);
      const { outbox } = outboxRoad(kind, postgres(), { schema }, { options: `-c ${setting}=100` });
      const free = await holdsKey(schema, 'm0000');
      await send(broker, names);
      const processing = start(broker, outbox, writes(schema), { ...KEYED, concurrency: 4 });
      await until('the others are done', () => processing.settled() === names.length - 1);
      await pause(1_500);
      expect(processing.eventsOf('unavailable')).toEqual([]);
      await free();
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      await expectAllOnce(postgres(), schema, broker, [processing], names);
    },
  );

  it.each(ROADS)(
    'counts no attempt where the statement that stores is cut off by statement_timeout (%s)',
    async (kind) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const names = namesOf(10);
      const { outbox } = outboxRoad(kind, postgres(), { schema }, { options: '-c statement_timeout=150' });
      const free = await lockedBy(`LOCK TABLE ${schema}.outbox IN EXCLUSIVE MODE`);
      await send(broker, names);
      const processing = start(broker, outbox, writes(schema), { concurrency: 4 });
      await pause(2_000);
      expect(processing.settled()).toBe(0);
      await free();
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      await expectAllOnce(postgres(), schema, broker, [processing], names);
    },
  );

  it.each(ROADS.flatMap((kind) => [1, 3].map((group) => [kind, group] as const)))(
    'uses up neither pool nor server on a key that another has for long (%s, group %i)',
    async (kind, group) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const names = namesOf(40);
      // Less than the key is held for, and more than a busy machine takes for what waits for nothing.
      const { outbox } = outboxRoad(kind, postgres(), { schema, timeoutMs: 1_000 }, { max: 4 });
      const free = await holdsKey(schema, 'm0000');
      await send(broker, names);
      const processing = start(broker, outbox, writes(schema), { ...KEYED, group, concurrency: 2 });
      await until('the others are done', () => processing.settled() >= names.length - group);
      await pause(2_500);
      expect(await sessions(`wait_event_type = 'Lock' AND query LIKE '%${schema}%'`)).toBeLessThanOrEqual(1);
      expect(processing.eventsOf('unavailable')).toEqual([]);
      await free();
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      await expectAllOnce(postgres(), schema, broker, [processing], names);
      await until(
        'no transaction is open',
        async () => (await sessions(`state LIKE 'idle in%' AND query LIKE '%${schema}%'`)) === 0,
      );
    },
  );

  it('leaves connections to a server that is a standby by now', async () => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(20);
    const pool = postgres().newPool({ max: 3 });
    let connections = 0;
    pool.on('connect', (client) => {
      if (++connections <= 3) void client.query('SET default_transaction_read_only = on');
    });
    const { outbox } = roadOverPool(postgresOutboxStore(pool, { schema }));
    await send(broker, names);
    const processing = start(broker, outbox, writes(schema), { concurrency: 3 });
    await until('all is settled', () => processing.settled() === names.length, 15_000);
    processing.stop();
    await expectAllOnce(postgres(), schema, broker, [processing], names);
  });

  it.each([1, 4])(
    'works whatever the formats of the database and the type parsers of pg are (group %i)',
    async (group) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const names = namesOf(30);
      const { outbox, store } = outboxRoad('pg', postgres(), { schema }, ODD_POOL);
      await send(broker, names);
      const processing = start(broker, outbox, writes(schema), { ...KEYED, group });
      await until('all is settled', () => processing.settled() === names.length, 15_000);
      processing.stop();
      await expectAllOnce(postgres(), schema, broker, [processing], names);
      const keys = await postgres().query(`SELECT event_id FROM ${schema}.processed_events ORDER BY 1`);
      expect(keys.map((row) => row['event_id'] as string)).toEqual(names);
      expect(await relay(store)).toEqual(names);
    },
  );
});
