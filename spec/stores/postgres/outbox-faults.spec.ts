import { expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { tap } from 'rxjs';
import { hashOf } from '../../../lib/core/hash.js';
import { ackEach, fromOutbox, type SluiceError, type TelemetryEvent } from '../../../lib/index.js';
import { postgresOutboxStore, postgresSchema } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import {
  expectAllOnce,
  namesOf,
  newBroker,
  newSchema,
  relay,
  send,
  start,
  stored,
  textOf,
  writes,
  type RoadTask,
} from '../../support/outbox-processing.js';
import { outboxRoad, roadOverPool, ROADS, type Rows } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

describePostgres('withOutbox on a Postgres that gives trouble', (postgres) => {
  it.each(ROADS)('processes the others of a group whose connection was killed, and its own once (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(40);
    const { outbox, store } = outboxRoad(kind, postgres(), { schema });
    let kills = 0;
    const kill: RoadTask = async (name, { run }) => {
      if (name !== 'm0020' || kills > 0) return;
      const [row] = await run('SELECT pg_backend_pid() AS pid');
      kills++;
      await postgres().query('SELECT pg_terminate_backend($1)', [row?.['pid']]);
    };
    const processing = start(broker, outbox, writes(schema, kill), { group: 8, concurrency: 2 });
    await send(broker, names);
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    expect(kills).toBe(1);
    await expectAllOnce(postgres(), schema, broker, [processing], names);
    expect(await relay(store)).toEqual(names);
  });

  it('skips a group whose commit was done and not answered: all of it once, and none without an end', async () => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(40);
    const pool = postgres().newPool({ max: 10 });
    let lost = 0;
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<unknown>;
      const losing = async (text: string, values?: unknown[]): Promise<unknown> => {
        const answer = await query(text, values);
        if (!/COMMIT$/.test(text) || lost++ > 0) return answer;
        throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
      };
      Object.assign(client, { query: losing });
    });
    const { outbox } = roadOverPool(postgresOutboxStore(pool, { schema }));
    const processing = start(broker, outbox, writes(schema), { group: 8, concurrency: 2 });
    await send(broker, names);
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    expect(lost).toBeGreaterThan(0);
    const outcomes = processing.eventsOf('settled').map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === 'skipped')).not.toEqual([]);
    await expectAllOnce(postgres(), schema, broker, [processing], names);
  });

  it.each(ROADS)('gives up one that loses each connection, and processes the others (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(40);
    const others = names.filter((name) => name !== 'm0020');
    const { outbox } = outboxRoad(kind, postgres(), { schema });
    const kill: RoadTask = async (name, { run }) => {
      if (name !== 'm0020') return;
      const [row] = await run('SELECT pg_backend_pid() AS pid');
      await postgres().query('SELECT pg_terminate_backend($1)', [row?.['pid']]);
    };
    const processing = start(broker, outbox, writes(schema, kill), { group: 8, concurrency: 2 });
    await send(broker, names);
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    expect(await stored(postgres(), schema)).toEqual({ effects: others, outbox: others });
    expect(broker.messages('dlq').map(({ value }) => textOf(value))).toEqual(['m0020']);
  });

  it.each(ROADS.flatMap((kind) => [1, 4].map((group) => [kind, group] as const)))(
    'repeats conflicting serializable transactions without counting an attempt (%s, group %i)',
    async (kind, group) => {
      const schema = await newSchema(postgres());
      await postgres().query(`INSERT INTO ${schema}.counters VALUES ('shared', 0)`);
      const broker = newBroker();
      const names = namesOf(120);
      const { outbox } = outboxRoad(kind, postgres(), { schema, isolation: 'serializable' });
      let conflicts = 0;
      const counts: RoadTask = async (_, { run }) => {
        try {
          const [row] = await run(`SELECT n FROM ${schema}.counters WHERE name = 'shared'`);
          await run(`UPDATE ${schema}.counters SET n = $1 WHERE name = 'shared'`, [(row?.['n'] as number) + 1]);
        } catch (error) {
          if ((error as { code?: string }).code === '40001') conflicts++;
          throw error;
        }
      };
      const processing = start(broker, outbox, writes(schema, counts), { group, concurrency: 8 });
      await send(broker, names);
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      expect(conflicts).toBeGreaterThan(0);
      expect(await postgres().query(`SELECT n FROM ${schema}.counters`)).toEqual([{ n: names.length }]);
      await expectAllOnce(postgres(), schema, broker, [processing], names);
    },
  );

  it.each(ROADS)('repeats what a deadlock of two groups rolled back (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    await postgres().query(`INSERT INTO ${schema}.counters VALUES ('a', 0), ('b', 0)`);
    const broker = newBroker();
    const { outbox } = outboxRoad(kind, postgres(), { schema });
    let [waiting, deadlocks] = [0, 0];
    const crosses =
      (...order: readonly [string, string]): RoadTask =>
      async (name, { run }) => {
        if (!name.endsWith('cross')) return;
        const add = (row: string): Promise<Rows> =>
          run(`UPDATE ${schema}.counters SET n = n + 1 WHERE name = $1`, [row]);
        try {
          await add(order[0]);
          waiting++;
          await until('both have their first row', () => waiting >= 2);
          await add(order[1]);
        } catch (error) {
          if ((error as { code?: string }).code === '40P01') deadlocks++;
          throw error;
        }
      };
    const here = ['here0', 'here1', 'herecross', 'here3'];
    const there = ['there0', 'there1', 'therecross', 'there3'];
    // Published first, so that they come at once.
    await send(broker, here, 'in');
    await send(broker, there, 'other');
    const both = [
      start(broker, outbox, writes(schema, crosses('a', 'b')), { group: 4, topics: ['in'], concurrency: 1 }),
      start(broker, outbox, writes(schema, crosses('b', 'a')), {
        group: 4,
        topics: ['other'],
        concurrency: 1,
        groupId: 'others',
      }),
    ];
    await until('all is settled', () => both.every((each) => each.settled() === 4));
    for (const each of both) each.stop();
    expect(deadlocks).toBeGreaterThan(0);
    expect(await postgres().query(`SELECT n FROM ${schema}.counters`)).toEqual([{ n: 2 }, { n: 2 }]);
    await expectAllOnce(postgres(), schema, broker, both, [...here, ...there]);
  });

  it.each(ROADS)('has the groups that run at once deadlock on a few rows, and none after them (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    await postgres().query(`INSERT INTO ${schema}.counters SELECT n::text, 0 FROM generate_series(0, 9) AS n`);
    const broker = newBroker();
    // Fewer groups after the first eight than it takes to widen them again.
    const names = namesOf(180);
    const { outbox } = outboxRoad(kind, postgres(), { schema });
    const deadlocked: number[] = [];
    let begun = 0;
    let begunAtFirst = 0;
    const counts: RoadTask = async (name, { run }) => {
      // In an order that differs from group to group.
      const row = hashOf(name) >>> 0;
      const number = names.indexOf(name);
      begun = Math.max(begun, number);
      try {
        await run(`UPDATE ${schema}.counters SET n = n + 1 WHERE name = $1`, [String(row % 10)]);
      } catch (error) {
        if ((error as { code?: string }).code === '40P01') {
          if (deadlocked.length === 0) begunAtFirst = begun;
          deadlocked.push(number);
        }
        throw error;
      }
    };
    const processing = start(broker, outbox, writes(schema, counts), {
      group: 8,
      concurrency: 8,
      topics: ['other'],
    });
    await send(broker, names, 'other');
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    expect(deadlocked).not.toEqual([]);
    // Those that had begun by the first, and one that begins before it is heard of; then one group runs at a time.
    expect(deadlocked.filter((number) => number > begunAtFirst + 16)).toEqual([]);
    expect(await postgres().query(`SELECT sum(n)::int AS n FROM ${schema}.counters`)).toEqual([{ n: names.length }]);
    await expectAllOnce(postgres(), schema, broker, [processing], names);
  });

  it.each(ROADS)('needs but one connection, whatever its concurrency (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(150);
    const { outbox } = outboxRoad(kind, postgres(), { schema }, { max: 1, connectionTimeoutMillis: 0 });
    const processing = start(
      broker,
      outbox,
      writes(schema, () => pause(5)),
      { concurrency: 8 },
    );
    await send(broker, names);
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    await expectAllOnce(postgres(), schema, broker, [processing], names);
  });

  it('waits for a connection that somebody else holds for longer than its time-out', async () => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(50);
    const pool = postgres().newPool({ max: 1 });
    const store = postgresOutboxStore(pool, { schema, timeoutMs: 500 });
    const { outbox } = roadOverPool(store);
    const held = await pool.connect();
    const processing = start(broker, outbox, writes(schema), { concurrency: 8 });
    await send(broker, names);
    await pause(2_000);
    expect(processing.settled()).toBe(0);
    expect(processing.eventsOf('unavailable')[0]).toMatchObject({ error: { code: 'connection-failed' } });
    held.release();
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    expect(processing.eventsOf('recovered')).not.toEqual([]);
    await expectAllOnce(postgres(), schema, broker, [processing], names);
    await until('the pool has it all back', () => pool.idleCount === pool.totalCount && pool.waitingCount === 0);
  });

  it.each(ROADS)('waits for a migration that is missing, and says so (%s)', async (kind) => {
    const schema = await newSchema(postgres(), false);
    const broker = newBroker();
    const names = namesOf(50);
    const { outbox, store } = outboxRoad(kind, postgres(), { schema });
    const relayEvents: TelemetryEvent[] = [];
    const relayed: string[] = [];
    const relaying = fromOutbox(store, { telemetry: (event) => void relayEvents.push(event) })
      .pipe(
        tap(({ value }) => void relayed.push(textOf(value.value as Uint8Array))),
        ackEach(),
      )
      .subscribe();
    const processing = start(broker, outbox, writes(schema), { group: 4 });
    await send(broker, names);
    const codesOf = (events: readonly TelemetryEvent[]): unknown[] =>
      events.flatMap((event) => (event.type === 'unavailable' ? [(event.error as SluiceError).code] : []));
    await until('both are told', () => codesOf(processing.events).length > 0 && codesOf(relayEvents).length > 0);
    expect(new Set([...codesOf(processing.events), ...codesOf(relayEvents)])).toEqual(new Set(['schema-mismatch']));
    expect(processing.settled()).toBe(0);
    await postgres().query(postgresSchema({ schema }));
    await until('all is settled', () => processing.settled() === names.length);
    await until('all is relayed', () => relayed.length === names.length);
    processing.stop();
    relaying.unsubscribe();
    await expectAllOnce(postgres(), schema, broker, [processing], names);
    expect(relayed.sort()).toEqual(names);
  });

  it.each(ROADS)('does each message once for two groups of one consumer (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(400);
    await send(broker, names);
    const both = ['one', 'two'].map((groupId) => {
      const { outbox } = outboxRoad(kind, postgres(), { schema });
      return start(broker, outbox, writes(schema), { groupId, consumer: 'shared', group: 8, concurrency: 4 });
    });
    await until('all is settled', () => both.every((each) => each.settled() === names.length));
    for (const each of both) each.stop();
    await expectAllOnce(postgres(), schema, broker, both, names);
    const outcomes = both.flatMap((each) => each.eventsOf('settled').map(({ outcome }) => outcome));
    expect(outcomes.filter((outcome) => outcome === 'done')).toHaveLength(names.length);
    expect(outcomes.filter((outcome) => outcome === 'skipped')).toHaveLength(names.length);
  });
});
