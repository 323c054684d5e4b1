import { expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { CompiledQuery } from 'kysely';
import { from, lastValueFrom, type ObservableInput } from 'rxjs';
import { ackEach, dedupe, fromOutbox, handle, type TelemetryEvent } from '../../../lib/index.js';
import { fromMemory } from '../../../lib/memory.js';
import { postgresIdempotencyStore, postgresOutboxStore } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { namesOf, newBroker, newSchema, send, textOf } from '../../support/outbox-processing.js';
import { outboxRoad, ROADS } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

const answer = <A>(input: ObservableInput<A>): Promise<A> => lastValueFrom(from(input));

describePostgres('what nobody waits for any more', (postgres) => {
  const count = async (sql: string): Promise<number> =>
    (await postgres().query<{ n: number }>(`SELECT count(*)::int AS n FROM ${sql}`))[0]?.n ?? NaN;
  const lock = async (table: string): Promise<() => Promise<void>> => {
    const client = await postgres().newPool({ max: 1 }).connect();
    await client.query('BEGIN');
    await client.query(`LOCK TABLE ${table}`);
    return async () => {
      await client.query('ROLLBACK');
      client.release();
    };
  };

  it.each(ROADS)('does not pile up on the server behind a table that is locked (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const { store } = outboxRoad(kind, postgres(), { schema, timeoutMs: 200 }, { max: 5 });
    const free = await lock(`${schema}.outbox`);
    for (let n = 0; n < 10; n++) {
      await expect(answer(store.lag())).rejects.toMatchObject({ code: 'connection-failed' });
    }
    await pause(300);
    const waiting = await count(`pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%${schema}%'`);
    await free();
    expect(waiting).toBeLessThanOrEqual(1);
    expect(await answer(store.lag())).toMatchObject({ rows: 0 });
  });

  it('has no statement of the application wait behind it on a connection of kysely', async () => {
    const schema = await newSchema(postgres());
    const db = postgres().newKysely<unknown>({ max: 5 });
    const store = postgresOutboxStore(db, { schema, timeoutMs: 200 });
    const free = await lock(`${schema}.outbox`);
    await expect(answer(store.lag())).rejects.toMatchObject({ code: 'connection-failed' });
    const applications = db.executeQuery(CompiledQuery.raw('SELECT 1 AS one')).then(({ rows }) => rows);
    const first = await Promise.race([applications, pause(2_000).then(() => 'stalled')]);
    await free();
    expect(first).toEqual([{ one: 1 }]);
  });

  it('leaves nothing behind, wherever a pipeline or a relay is unsubscribed from', async () => {
    const rejections: unknown[] = [];
    const hear = (error: unknown): void => void rejections.push(error);
    process.on('unhandledRejection', hear);
    const schema = await newSchema(postgres());
    const pool = postgres().newPool({ max: 5 });
    const store = postgresOutboxStore(pool, { schema, notify: true, timeoutMs: 2_000 });
    const { outbox } = outboxRoad('kysely', postgres(), { schema, timeoutMs: 2_000 }, { max: 3 });
    const keys = postgresIdempotencyStore(pool, { schema, consumer: 'reader' });
    for (let round = 0; round < 25; round++) {
      const broker = newBroker();
      await send(
        broker,
        namesOf(60).map((name) => `${round} ${name}`),
      );
      let closed = 0;
      const options = {
        drainTimeoutMs: 1_000,
        telemetry: ({ type }: TelemetryEvent): void => void (type === 'closed' && closed++),
      };
      const both = [
        fromMemory(broker, { topics: ['in'], groupId: 'readers', ...options }).pipe(
          dedupe({ key: textOf, store: keys }),
          outbox(
            async (value, { run, emit }) => {
              await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [textOf(value)]);
              if (round % 3 === 0) await run('SELECT pg_sleep(0.02)');
              emit({ topic: 'out', key: 'k', value });
            },
            { group: 1 + (round % 4), concurrency: 3, key: textOf, consumer: 'writer' },
          ),
        ),
        fromOutbox(store, options).pipe(
          handle(() => pause(round % 7), { concurrency: 20 }),
          ackEach(),
        ),
      ].map((each) => each.subscribe({ error: hear }));
      await pause(round * 3);
      for (const each of both) each.unsubscribe();
      await until('both are closed', () => closed === 2, 5_000);
    }
    await until('the pool has it all back', () => pool.idleCount === pool.totalCount && pool.waitingCount === 0);
    process.removeListener('unhandledRejection', hear);
    const busy = `(state LIKE 'idle in%' OR state = 'active' OR query LIKE 'LISTEN%') AND pid <> pg_backend_pid()`;
    expect({
      rejections,
      sessions: await count(`pg_stat_activity WHERE ${busy} AND query LIKE '%${schema}%'`),
      leases: await count(`${schema}.outbox WHERE leased_until > now() AND published_at IS NULL`),
      claims: await count(`${schema}.processed_events WHERE leased_until > now()`),
    }).toEqual({ rejections: [], sessions: 0, leases: 0, claims: 0 });
  });

  it('is not in the way of its own: renewals and marks of the same rows take them in one order', async () => {
    const schema = await newSchema(postgres());
    const pool = postgres().newPool({ max: 6 });
    const store = postgresOutboxStore(pool, { schema });
    const keys = postgresIdempotencyStore(pool, { schema, consumer: 'reader' });
    const deadlocks = async (): Promise<number> => {
      await pause(1_200); // the server counts with a delay
      const [row] = await postgres().query<{ n: number }>(
        'SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = current_database()',
      );
      return row?.n ?? NaN;
    };
    const shuffled = <T>(list: readonly T[]): T[] =>
      list
        .map((each) => [Math.random(), each] as const)
        .sort(([a], [b]) => a - b)
        .map(([, each]) => each);
    const some = <T>(list: readonly T[]): T[][] => [shuffled(list), shuffled(list).slice(0, 30), shuffled(list)];
    const before = await deadlocks();
    for (let round = 0; round < 8; round++) {
      await postgres().query(
        `INSERT INTO ${schema}.outbox (topic, payload) SELECT 'out', 'x' FROM generate_series(1, 1000)`,
      );
      const rows = await answer(store.claim({ limit: 1000, perLane: 100, maxBytes: 1e9, leaseMs: 60_000 }));
      const renewals = some(rows).map((each) => answer(store.renew(each, 60_000)));
      await Promise.all([...renewals, answer(store.published(shuffled(rows)))]);
      const names = rows.map(() => crypto.randomUUID());
      const claims = await answer(keys.claim(names, 60_000));
      const held = claims.map((claim, n) => ({ key: names[n] as string, token: 'token' in claim ? claim.token : '' }));
      const prolongs = some(held).map((each) => answer(keys.renew(each, 60_000)));
      await Promise.all([...prolongs, answer(keys.confirm(shuffled(held)))]);
    }
    expect((await deadlocks()) - before).toBe(0);
  });
});
