import { expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { lastValueFrom, tap } from 'rxjs';
import {
  ackEach,
  fromOutbox,
  publish,
  retryToDlq,
  type OutboxMessage,
  type SluiceError,
  type TelemetryEvent,
} from '../../../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryBroker } from '../../../lib/memory.js';
import { postgresSchema } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import type { PostgresTestClient } from '../../servers/postgres-test-client.js';
import {
  outboxRoad,
  ROADS,
  type OutboxRoad,
  type RoadContext,
  type RoadHandler,
  type RoadOptions,
} from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

const textOf = (value: Uint8Array | null | undefined): string => new TextDecoder().decode(value ?? undefined);
async function newSchema(postgres: PostgresTestClient): Promise<string> {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.effects (name text NOT NULL)`);
  return schema;
}

const newBroker = (): MemoryBroker => memoryBroker({ topics: { in: {}, dlq: {} } });

const send = (broker: MemoryBroker, messages: readonly { key?: Uint8Array | string; value: Uint8Array | string }[]) =>
  lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), messages), { defaultValue: null });

const NAMES = ['before0', 'before1', 'bad', 'after0', 'after1'] as const;
const OTHERS = NAMES.filter((name) => name !== 'bad');

/** Writes, spoils its transaction where it is the bad one, and emits. */
const writes =
  (schema: string, spoil: (context: RoadContext) => Promise<unknown>): RoadHandler =>
  async (value, context) => {
    const name = textOf(value);
    await context.run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
    context.emit({ topic: 'out', key: name, value: name });
    if (name === 'bad') await spoil(context);
  };

function start(broker: MemoryBroker, { outbox }: OutboxRoad, handler: RoadHandler, options: RoadOptions = {}) {
  const events: TelemetryEvent[] = [];
  const errors: unknown[] = [];
  const subscription = fromMemory(broker, {
    topics: ['in'],
    groupId: 'readers',
    telemetry: (event) => void events.push(event),
  })
    .pipe(
      retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), maxRetries: 1, backoff: () => 10 }),
      outbox(handler, { key: textOf, consumer: 'billing', ...options }),
    )
    .subscribe({ error: (error) => void errors.push(error) });
  return {
    events,
    errors,
    settled: () => events.filter(({ type }) => type === 'settled').length,
    done: () => events.filter((event) => event.type === 'settled' && event.outcome === 'done').length,
    buried: () =>
      events.flatMap((event) =>
        event.type === 'dead-lettered'
          ? [{ id: event.message.id, attempt: event.message.attempt, reason: event.reason as SluiceError }]
          : [],
      ),
    stop: () => subscription.unsubscribe(),
  };
}

async function stored(postgres: PostgresTestClient, schema: string) {
  const column = async (sql: string): Promise<string[]> =>
    (await postgres.query<{ name: string }>(sql)).map(({ name }) => name).sort();
  return {
    effects: await column(`SELECT name FROM ${schema}.effects`),
    outbox: await column(`SELECT convert_from(payload, 'UTF8') AS name FROM ${schema}.outbox`),
    recorded: await column(`SELECT event_id AS name FROM ${schema}.processed_events WHERE processed_at IS NOT NULL`),
  };
}

/** Those are the ones of a group that starts at once: all were published before. */
async function runFive(
  postgres: PostgresTestClient,
  road: OutboxRoad,
  schema: string,
  spoil: (context: RoadContext) => Promise<unknown>,
  options: RoadOptions = {},
) {
  const broker = newBroker();
  await send(
    broker,
    NAMES.map((name) => ({ key: name, value: name })),
  );
  const running = start(broker, road, writes(schema, spoil), options);
  try {
    await until('all is settled', () => running.settled() === NAMES.length, 10_000);
  } finally {
    running.stop();
  }
  expect(running.errors).toEqual([]);
  const dead = broker.messages('dlq').map(({ value }) => textOf(value));
  return { ...(await stored(postgres, schema)), dead, buried: running.buried(), events: running.events };
}

const sorted = (names: readonly string[]): string[] => [...names].sort();

describePostgres('withOutbox and handlers that spoil their transaction', (postgres) => {
  const ENDS = ['COMMIT', 'ROLLBACK'] as const;

  it.each(ROADS.flatMap((kind) => ENDS.map((end) => [kind, end] as const)))(
    'fails the one for good that ends its transaction itself (%s, %s)',
    async (kind, end) => {
      const schema = await newSchema(postgres());
      const { effects, outbox, recorded, dead, buried } = await runFive(
        postgres(),
        outboxRoad(kind, postgres(), { schema }),
        schema,
        ({ run }) => run(end),
      );
      expect(dead).toEqual(['bad']);
      expect(buried).toMatchObject([{ attempt: 1, reason: { code: 'transaction-ended' } }]);
      expect({ outbox, recorded }).toEqual({ outbox: sorted(OTHERS), recorded: sorted(OTHERS) });
      expect(effects).toEqual(sorted(end === 'COMMIT' ? NAMES : OTHERS));
    },
  );

  it.each(ENDS)('finds out too where the pool has one connection and nothing is emitted (%s)', async (end) => {
    const schema = await newSchema(postgres());
    const road = outboxRoad('pg', postgres(), { schema }, { max: 1 });
    const broker = newBroker();
    await send(broker, [{ key: 'bad', value: 'bad' }]);
    const running = start(broker, road, async (_, { run }) => {
      await run(`INSERT INTO ${schema}.effects VALUES ('bad')`);
      await run(end);
    });
    await until('it is settled', () => running.settled() === 1);
    running.stop();
    expect(running.buried()).toMatchObject([{ reason: { code: 'transaction-ended' } }]);
    expect(await stored(postgres(), schema)).toMatchObject({ outbox: [], recorded: [] });
  });

  it.each(ENDS)('finds out where a transaction of its own is begun after it (%s)', async (end) => {
    const schema = await newSchema(postgres());
    const { outbox, recorded, dead, buried } = await runFive(
      postgres(),
      outboxRoad('pg', postgres(), { schema }),
      schema,
      async ({ run }) => {
        await run(end);
        await run('BEGIN');
      },
    );
    expect(dead).toEqual(['bad']);
    expect(buried).toMatchObject([{ reason: { code: 'transaction-ended' } }]);
    expect({ outbox, recorded }).toEqual({ outbox: sorted(OTHERS), recorded: sorted(OTHERS) });
  });

  it.each(ROADS.flatMap((kind) => ENDS.map((end) => [kind, end] as const)))(
    'fails it alone among those of a group, stores and records the others (%s, %s)',
    async (kind, end) => {
      const schema = await newSchema(postgres());
      const road = outboxRoad(kind, postgres(), { schema });
      const { outbox, recorded, dead } = await runFive(postgres(), road, schema, ({ run }) => run(end), {
        group: 5,
        concurrency: 1,
      });
      expect({ dead, outbox, recorded }).toEqual({ dead: ['bad'], outbox: sorted(OTHERS), recorded: sorted(OTHERS) });
    },
  );

  it.each(ROADS.flatMap((kind) => ENDS.map((end) => [kind, end] as const)))(
    'lose nothing of the others of its group (%s, %s)',
    async (kind, end) => {
      const schema = await newSchema(postgres());
      const road = outboxRoad(kind, postgres(), { schema });
      const { effects, outbox } = await runFive(postgres(), road, schema, ({ run }) => run(end), {
        group: 5,
        concurrency: 1,
      });
      // What it has committed for those before it is committed; they run again, so that what they emit is not lost.
      expect(sorted([...new Set(effects.filter((name) => name !== 'bad'))])).toEqual(sorted(OTHERS));
      if (end !== 'COMMIT') expect(effects.filter((name) => name !== 'bad')).toEqual(sorted(OTHERS));
      expect(outbox).toEqual(sorted(OTHERS));
    },
  );

  const swallows = ({ run }: RoadContext): Promise<unknown> => run('SELECT 1 / 0').catch(() => null);

  it.each(ROADS.flatMap((kind) => [1, 5].map((group) => [kind, group] as const)))(
    'fails only the one that swallows an SQL error (%s, group %i)',
    async (kind, group) => {
      const schema = await newSchema(postgres());
      const road = outboxRoad(kind, postgres(), { schema });
      const { buried, events, ...rest } = await runFive(postgres(), road, schema, swallows, { group, concurrency: 1 });
      expect(rest).toEqual({
        dead: ['bad'],
        effects: sorted(OTHERS),
        outbox: sorted(OTHERS),
        recorded: sorted(OTHERS),
      });
      expect(buried).toHaveLength(1);
      // The others are not tried again.
      const retried = events.flatMap((event) => (event.type === 'retried' ? [event.message.id] : []));
      expect(new Set(retried)).toEqual(new Set(['in/0/2']));
    },
  );

  it.each(ROADS)(
    'fails only the one that swallows an SQL error where it is the last of its group (%s)',
    async (kind) => {
      const schema = await newSchema(postgres());
      const road = outboxRoad(kind, postgres(), { schema });
      const { dead, effects, outbox } = await runFive(postgres(), road, schema, swallows, { group: 3, concurrency: 1 });
      expect({ dead, effects, outbox }).toEqual({ dead: ['bad'], effects: sorted(OTHERS), outbox: sorted(OTHERS) });
    },
  );

  it.each(ROADS)('fails only the one that fails with its SQL error (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const road = outboxRoad(kind, postgres(), { schema });
    const spoil = ({ run }: RoadContext): Promise<unknown> => run('SELECT 1 / 0');
    const { dead, effects, outbox, recorded } = await runFive(postgres(), road, schema, spoil, {
      group: 5,
      concurrency: 1,
    });
    const others = sorted(OTHERS);
    expect({ dead, effects, outbox, recorded }).toEqual({
      dead: ['bad'],
      effects: others,
      outbox: others,
      recorded: others,
    });
  });

  it.each(ROADS.flatMap((kind) => [1, 5].map((group) => [kind, group] as const)))(
    'does not hold the others for one that idles until the server ends its session (%s, group %i)',
    async (kind, group) => {
      const schema = await newSchema(postgres());
      const road = outboxRoad(kind, postgres(), { schema });
      const idles = async ({ run }: RoadContext): Promise<void> => {
        await run("SET LOCAL idle_in_transaction_session_timeout = '100ms'");
        await pause(400);
      };
      const { dead, effects, outbox } = await runFive(postgres(), road, schema, idles, { group, concurrency: 2 });
      expect({ dead, effects, outbox }).toEqual({ dead: ['bad'], effects: sorted(OTHERS), outbox: sorted(OTHERS) });
    },
  );

  // kysely gives no connection back while its statement runs, so a pool of 2 has none left to cancel by.
  it.each([
    ['pg', 4],
    ['pg', 2],
    ['kysely', 4],
  ] as const)(
    'does not hold the others for two that are cut off in a stuck statement (%s, a pool of %i)',
    async (kind, max) => {
      const schema = await newSchema(postgres());
      const road = outboxRoad(kind, postgres(), { schema, timeoutMs: 1_000 }, { max });
      const broker = newBroker();
      const stuck = ['stuck0', 'stuck1'];
      const sleeps = `SELECT pg_sleep(60) /* ${schema} */`;
      await send(
        broker,
        [...stuck, ...OTHERS].map((name) => ({ key: name, value: name })),
      );
      const handler: RoadHandler = async (value, context) => {
        await writes(schema, () => Promise.resolve())(value, context);
        if (stuck.includes(textOf(value))) await context.run(sleeps);
      };
      const running = start(broker, road, handler, { concurrency: 2, timeoutMs: 300 });
      try {
        await until('the others are done', () => running.done() === OTHERS.length, 8_000);
        // By now the two are tried again, and the server may not have heard of the end of their transactions.
        await pause(1_500);
        await send(broker, [{ key: 'late', value: 'late' }]);
        await until('one that came later is done', () => running.done() === OTHERS.length + 1, 8_000);
      } finally {
        running.stop();
        await postgres().query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1', [sleeps]);
      }
      const done = sorted([...OTHERS, 'late']);
      expect(await stored(postgres(), schema)).toMatchObject({ effects: done, outbox: done });
    },
  );
});

describePostgres('withOutbox and fromOutbox on extreme messages', (postgres) => {
  it.each(ROADS.flatMap((kind) => [1, 3].map((group) => [kind, group] as const)))(
    'carry payloads of 0 bytes and 5 MB, and any bytes as a key (%s, group %i)',
    async (kind, group) => {
      const schema = await newSchema(postgres());
      const road = outboxRoad(kind, postgres(), { schema });
      const broker = newBroker();
      const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
      const large = Uint8Array.from({ length: 5 * 1024 * 1024 }, (_, n) => (n * 31 + (n >> 8)) % 256);
      const bytes = [new Uint8Array(0), large, every, Uint8Array.of(0), Uint8Array.of(0xff, 0xfe, 0x5c, 0x27)];
      const inputs = bytes.flatMap((value) =>
        [every, Uint8Array.of(0), new Uint8Array(0)].map((key) => ({ key, value })),
      );
      await send(broker, inputs);
      const running = start(
        broker,
        road,
        async (value, { run, emit, delivery }) => {
          await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [delivery.id]);
          emit({ topic: 'out', key: delivery.key, value });
          if (value?.length === 0) emit({ topic: 'out', key: null, value: null });
        },
        { group, concurrency: 1, key: (_, { id }) => id },
      );
      await until('all is settled', () => running.settled() === inputs.length);
      running.stop();
      const relayed: OutboxMessage[] = [];
      await lastValueFrom(
        fromOutbox(road.store, { until: 'end' }).pipe(
          tap(({ value }) => void relayed.push(value)),
          ackEach(),
        ),
        { defaultValue: null },
      );
      const textOfMessage = ({ key, value }: { key?: unknown; value: unknown }): string =>
        [key, value]
          .map((each) => (each === null ? 'null' : Buffer.from(each as Uint8Array).toString('hex')))
          .join(' ');
      const nulls = [0, 1, 2].map(() => ({ key: null, value: null }));
      const got = relayed.map(textOfMessage).sort();
      const expected = [...inputs, ...nulls].map(textOfMessage).sort();
      expect(got.length).toBe(expected.length);
      expect(got.every((text, index) => text === expected[index])).toBe(true);
      const effects = await postgres().query(`SELECT DISTINCT name FROM ${schema}.effects`);
      expect(effects).toHaveLength(inputs.length);
      expect(broker.messages('dlq')).toHaveLength(0);
    },
  );
});
