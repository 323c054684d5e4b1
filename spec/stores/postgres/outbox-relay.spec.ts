import { afterEach, expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import type { Pool } from 'pg';
import { concat, defer, lastValueFrom, mergeMap, tap, type Subscription } from 'rxjs';
import { ackEach, fromOutbox, handle, type OutboxStore } from '../../../lib/index.js';
import { laneSql } from '../../../lib/stores/postgres/postgres-schema.js';
import { postgresOutboxStore, postgresSchema } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { textOf } from '../../support/outbox-processing.js';
import { until } from '../../support/until.js';

const HOUR = 3_600_000;

describePostgres('the relay on Postgres', (postgres) => {
  const running: Subscription[] = [];
  afterEach(() => running.splice(0).forEach((each) => each.unsubscribe()));

  const made = async (): Promise<string> => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    return schema;
  };
  const insert = (schema: string, key: string, value: string): string =>
    `INSERT INTO ${schema}.outbox (topic, key, lane, payload) VALUES ('out', '${key}', ${laneSql("'out'", `'${key}'::bytea`)}, '${value}')`;
  const relay = (store: OutboxStore, pollMs: number) => {
    const seen: { readonly value: string; readonly at: number }[] = [];
    const subscription = fromOutbox(store, { pollMs })
      .pipe(
        tap(({ value }) => void seen.push({ value: textOf(value.value as Uint8Array), at: performance.now() })),
        ackEach(),
      )
      .subscribe();
    running.push(subscription);
    return { seen, values: () => seen.map(({ value }) => value), stop: () => subscription.unsubscribe() };
  };
  /** As a `withOutbox` of another process stores it. */
  const emitter = (schema: string) => {
    const store = postgresOutboxStore(postgres().newPool(), { schema, notify: true });
    return (value: string): Promise<unknown> =>
      lastValueFrom(
        store.transaction('other').pipe(
          mergeMap((transaction) =>
            concat(
              transaction.record([value]),
              defer(() => transaction.commit({ messages: [{ topic: 'out', key: null, value }], forget: [] })),
            ),
          ),
        ),
        { defaultValue: null },
      );
  };
  // By the name of its connections: other specs listen on the server meanwhile.
  const listeners = async (name: string): Promise<number[]> =>
    (
      await postgres().query<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query LIKE 'LISTEN rxsluice%'`,
        [name],
      )
    ).map(({ pid }) => pid);

  it('publishes what commits late under a lower id, of the same key too', async () => {
    const schema = await made();
    const pool: Pool = postgres().newPool();
    const late = await pool.connect();
    await late.query('BEGIN');
    await late.query(insert(schema, 'same', 'late, of the same key'));
    await late.query(insert(schema, 'other', 'late'));
    await postgres().query(insert(schema, 'same', 'early'));
    const relaying = relay(postgresOutboxStore(pool, { schema }), 20);
    await until('the early one', () => relaying.seen.length === 1);
    await pause(100);
    expect(relaying.values()).toEqual(['early']);
    await late.query('COMMIT');
    late.release();
    await until('the late ones', () => relaying.seen.length === 3);
    relaying.stop();
    expect(relaying.values().sort()).toEqual(['early', 'late', 'late, of the same key']);
  });

  it('is woken by the NOTIFY of another process long before it polls', async () => {
    const schema = await made();
    const pool = postgres().newPool({ application_name: schema });
    const relaying = relay(postgresOutboxStore(pool, { schema, listen: pool }), HOUR);
    await until('it listens', async () => (await listeners(schema)).length > 0);
    const emit = emitter(schema);
    for (const value of ['one', 'two', 'three']) {
      await emit(value);
      await until(value, () => relaying.values().includes(value), 5_000);
    }
    relaying.stop();
    await until('nobody listens', async () => (await listeners(schema)).length === 0);
    await until('the pool has it back', () => pool.idleCount === pool.totalCount);
  });

  it('listens again after its connection was killed, and looks for what came meanwhile', async () => {
    const schema = await made();
    const pool = postgres().newPool({ application_name: schema });
    const relaying = relay(postgresOutboxStore(pool, { schema, listen: pool }), HOUR);
    await until('it listens', async () => (await listeners(schema)).length > 0);
    const emit = emitter(schema);
    await emit('before');
    await until('before', () => relaying.values().includes('before'), 5_000);
    const [pid] = await listeners(schema);
    await postgres().query('SELECT pg_terminate_backend($1)', [pid]);
    await emit('meanwhile');
    await until('meanwhile', () => relaying.values().includes('meanwhile'), 5_000);
    await until('it listens again', async () => (await listeners(schema)).length > 0);
    await emit('after');
    await until('after', () => relaying.values().includes('after'), 5_000);
    relaying.stop();
  });

  it('polls where it does not listen', async () => {
    const schema = await made();
    const relaying = relay(postgresOutboxStore(postgres().newPool(), { schema }), 50);
    await emitter(schema)('polled');
    await until('polled', () => relaying.values().includes('polled'), 5_000);
    relaying.stop();
  });

  it('shares keys among four relays: each row once, those of a key in order', async () => {
    const schema = await made();
    const [rows, keys] = [4_000, 40];
    await postgres().query(
      `INSERT INTO ${schema}.outbox (topic, key, lane, payload)
       SELECT 'out', key, ${laneSql("'out'", 'key')}, convert_to(n::text, 'UTF8')
       FROM generate_series(0, ${rows - 1}) AS n, convert_to('k' || n % ${keys}, 'UTF8') AS key ORDER BY n`,
    );
    const seen: number[] = [];
    const counts = await Promise.all(
      Array.from({ length: 4 }, async () => {
        let count = 0;
        await lastValueFrom(
          fromOutbox(postgresOutboxStore(postgres().newPool({ max: 2 }), { schema }), {
            maxInFlight: 100,
            until: 'end',
          }).pipe(
            handle(async ({ value }) => {
              await pause(1);
              seen.push(Number(textOf(value as Uint8Array)));
              count++;
            }),
            ackEach(),
          ),
          { defaultValue: null },
        );
        return count;
      }),
    );
    expect([...seen].sort((a, b) => a - b)).toEqual(Array.from({ length: rows }, (_, n) => n));
    for (let key = 0; key < keys; key++) {
      const ofKey = seen.filter((n) => n % keys === key);
      expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
    }
    expect(counts.filter((count) => count > 0).length).toBeGreaterThan(1);
  });
});
