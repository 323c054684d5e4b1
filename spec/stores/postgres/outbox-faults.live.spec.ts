import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { CompiledQuery, Kysely, PostgresDialect, type Transaction } from 'kysely';
import type { PoolClient, PoolConfig } from 'pg';
import { lastValueFrom, tap, type OperatorFunction } from 'rxjs';
import {
  ackEach,
  fromOutbox,
  publish,
  publishTo,
  retryToDlq,
  topicPublisher,
  withOutbox,
  type Delivery,
  type OutboxContext,
  type OutboxStore,
  type SluiceError,
  type TelemetryEvent,
  type WithOutboxOptions,
} from '../../../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryBroker } from '../../../lib/memory.js';
import { postgresOutboxStore, postgresSchema, type PostgresOutboxStoreOptions } from '../../../lib/postgres.js';
import { describeOwnPostgres } from '../../servers/describe-own-postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { postgresTestClient, type PostgresTestClient } from '../../servers/postgres-test-client.js';

type Rows = readonly Readonly<Record<string, unknown>>[];
type Run = (text: string, values?: readonly unknown[]) => Promise<Rows>;
type Context = Pick<OutboxContext<unknown>, 'emit' | 'delivery'> & { readonly run: Run };
type Handler = (name: string, context: Context) => Promise<unknown>;
type Options = WithOutboxOptions<Uint8Array | null>;
type Outbox = (handler: Handler, options?: Options) => OperatorFunction<Delivery<Uint8Array | null>, unknown>;

interface Road {
  readonly store: OutboxStore<unknown>;
  readonly outbox: Outbox;
}

const textOf = (value: Uint8Array | null): string => new TextDecoder().decode(value ?? undefined);
const namesOf = (count: number): string[] => Array.from({ length: count }, (_, n) => `m${String(n).padStart(4, '0')}`);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 40_000): Promise<void> {
  const limit = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > limit) throw new Error(`not within ${ms} ms: ${what}`);
    await pause(20);
  }
}

function roadOf<Tx>(store: OutboxStore<Tx>, runOf: (tx: Tx) => Run): Road {
  return {
    store: store,
    outbox: (handler, options) =>
      withOutbox(
        store,
        (value, context) =>
          handler(textOf(value), {
            emit: context.emit,
            delivery: context.delivery,
            run: (text, values) => runOf(context.tx)(text, values),
          }),
        options,
      ),
  };
}

const ROADS = ['pg', 'kysely'] as const;

function openRoad(
  kind: (typeof ROADS)[number],
  postgres: PostgresTestClient,
  options: PostgresOutboxStoreOptions,
  config: PoolConfig = {},
): Road {
  const pool = postgres.newPool({ max: 10, connectionTimeoutMillis: 2_000, ...config });
  if (kind === 'pg') {
    const store = postgresOutboxStore(pool, options);
    return roadOf<PoolClient>(
      store,
      (tx) =>
        async (text, values = []) =>
          (await tx.query(text, [...values])).rows,
    );
  }
  pool.on('connect', (client) => client.on('error', () => undefined));
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  const store = postgresOutboxStore<Transaction<unknown>>(db, options);
  return roadOf(store, (tx) => async (text, values = []) => {
    const { rows } = await tx.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text, [...values]));
    return rows;
  });
}

async function newSchema(postgres: PostgresTestClient, migrated = true): Promise<string> {
  const schema = await postgres.createSchema();
  if (migrated) await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.effects (name text NOT NULL)`);
  await postgres.query(`CREATE TABLE ${schema}.counters (name text PRIMARY KEY, n int NOT NULL)`);
  return schema;
}

const newBroker = (): MemoryBroker => memoryBroker({ topics: { in: { partitions: 4 }, other: {}, dlq: {}, out: {} } });

const send = (broker: MemoryBroker, names: readonly string[], topic = 'in'): Promise<unknown> =>
  lastValueFrom(
    publish(
      memoryPublisher(broker, { topic }),
      names.map((name) => ({ key: name, value: name })),
    ),
    { defaultValue: null },
  );

/** The usual handler: its effect, and a message about it. */
const writes =
  (schema: string, before: Handler = () => Promise.resolve()): Handler =>
  async (name, context) => {
    await before(name, context);
    await context.run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
    context.emit({ topic: 'out', key: name, value: name });
  };

interface Processing {
  settled(): number;
  readonly events: readonly TelemetryEvent[];
  eventsOf<K extends TelemetryEvent['type']>(type: K): Extract<TelemetryEvent, { type: K }>[];
  /** The attempts that handlers saw. */
  readonly attempts: Set<number>;
  readonly errors: readonly unknown[];
  stop(): void;
}

function start(
  broker: MemoryBroker,
  outbox: Outbox,
  handler: Handler,
  { groupId = 'readers', topics = ['in'], ...options }: Options & { groupId?: string; topics?: string[] } = {},
): Processing {
  const events: TelemetryEvent[] = [];
  const attempts = new Set<number>();
  const errors: unknown[] = [];
  const subscription = fromMemory(broker, { topics, groupId, telemetry: (event) => void events.push(event) })
    .pipe(
      retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), maxRetries: 2 }),
      outbox((name, context) => {
        attempts.add(context.delivery.attempt);
        return handler(name, context);
      }, options),
    )
    .subscribe({ error: (error) => void errors.push(error) });
  const eventsOf = <K extends TelemetryEvent['type']>(type: K) =>
    events.filter((event): event is Extract<TelemetryEvent, { type: K }> => event.type === type);
  return {
    settled: () => eventsOf('settled').length,
    events,
    eventsOf,
    attempts,
    errors,
    stop: () => subscription.unsubscribe(),
  };
}

const stored = async (postgres: PostgresTestClient, schema: string) => ({
  effects: (await postgres.query<{ name: string }>(`SELECT name FROM ${schema}.effects ORDER BY 1`)).map((r) => r.name),
  outbox: (
    await postgres.query<{ name: string }>(
      `SELECT convert_from(payload, 'UTF8') AS name FROM ${schema}.outbox ORDER BY 1`,
    )
  ).map((r) => r.name),
});

/** Each effect once, each message once, no failure, no second attempt. */
async function expectAllOnce(
  postgres: PostgresTestClient,
  schema: string,
  broker: MemoryBroker,
  processing: readonly Processing[],
  names: readonly string[],
): Promise<void> {
  const sorted = [...names].sort();
  expect(await stored(postgres, schema)).toEqual({ effects: sorted, outbox: sorted });
  expect(broker.messages('dlq')).toHaveLength(0);
  for (const each of processing) {
    expect(each.errors).toEqual([]);
    expect([...each.attempts]).toEqual([1]);
    expect(each.eventsOf('retried')).toEqual([]);
  }
}

async function relay(store: OutboxStore): Promise<string[]> {
  const seen: string[] = [];
  await lastValueFrom(
    fromOutbox(store, { until: 'end' }).pipe(
      tap(({ value }) => void seen.push(textOf(value.value as Uint8Array))),
      ackEach(),
    ),
    { defaultValue: null },
  );
  return seen.sort();
}

describeOwnPostgres('withOutbox and fromOutbox on a Postgres that comes and goes', (server) => {
  let postgres: PostgresTestClient;
  beforeAll(() => void (postgres = postgresTestClient(server())));
  afterAll(() => postgres?.close());

  it.each(ROADS)('wait for a Postgres that is down at their start (%s)', async (kind) => {
    const schema = await newSchema(postgres);
    const broker = newBroker();
    const names = namesOf(200);
    await server().end('fast');
    const { outbox, store } = openRoad(kind, postgres, { schema });
    const processing = start(broker, outbox, writes(schema), { group: 4 });
    const relayed: string[] = [];
    const relaying = fromOutbox(store)
      .pipe(
        tap(({ value, attempt }) => void relayed.push(`${textOf(value.value as Uint8Array)} ${attempt}`)),
        ackEach(),
      )
      .subscribe();
    await send(broker, names);
    await until('it is told', () => processing.eventsOf('unavailable').length > 0);
    expect(processing.settled()).toBe(0);
    await server().restart('fast');
    await until('all is settled', () => processing.settled() === names.length);
    await until('all is relayed', () => relayed.length === names.length);
    processing.stop();
    relaying.unsubscribe();
    await expectAllOnce(postgres, schema, broker, [processing], names);
    expect(relayed.sort()).toEqual(names.map((name) => `${name} 1`));
    expect(processing.eventsOf('recovered')).not.toEqual([]);
  });

  it.each(ROADS.flatMap((kind) => (['immediate', 'fast'] as const).map((how) => [kind, how] as const)))(
    'go on after a restart under load (%s, %s)',
    async (kind, how) => {
      const schema = await newSchema(postgres);
      const broker = newBroker();
      const names = namesOf(2_000);
      const { outbox, store } = openRoad(kind, postgres, { schema, timeoutMs: 3_000 });
      const processing = start(
        broker,
        outbox,
        writes(schema, () => pause(1)),
        { group: 4 },
      );
      await send(broker, names);
      await until('it is in the middle', () => processing.settled() > 300);
      await server().restart(how);
      expect(processing.settled()).toBeLessThan(names.length);
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      await expectAllOnce(postgres, schema, broker, [processing], names);
      expect(await relay(store)).toEqual(names);
    },
    90_000,
  );

  it('publish all rows over a restart of Postgres, those of a key in order, and mark them', async () => {
    const schema = await newSchema(postgres);
    const [keys, count] = [20, 2_000];
    await postgres.query(
      `INSERT INTO ${schema}.outbox (topic, key, payload)
       SELECT 'out', convert_to('k' || n % $1, 'UTF8'), convert_to(n::text, 'UTF8') FROM generate_series(0, $2 - 1) AS n ORDER BY n`,
      [keys, count],
    );
    const broker = newBroker();
    const { store } = openRoad('pg', postgres, { schema, timeoutMs: 3_000 });
    const events: TelemetryEvent[] = [];
    const errors: unknown[] = [];
    const publishing = fromOutbox(store, {
      leaseMs: 4_000,
      maxInFlight: 100,
      telemetry: (event) => void events.push(event),
    })
      .pipe(publishTo(topicPublisher((topic) => memoryPublisher(broker, { topic }))), ackEach())
      .subscribe({ error: (error) => void errors.push(error) });
    await until('it is in the middle', () => broker.messages('out').length > 300);
    await server().restart('immediate');
    const pending = async (): Promise<number> =>
      (
        await postgres.query<{ n: number }>(
          `SELECT count(*)::int AS n FROM ${schema}.outbox WHERE published_at IS NULL`,
        )
      )[0]!.n;
    await until('all rows are marked', async () => (await pending().catch(() => 1)) === 0);
    publishing.unsubscribe();
    expect(errors).toEqual([]);
    expect(events.some(({ type }) => type === 'unavailable')).toBe(true);
    const first = [...new Set(broker.messages('out').map(({ value }) => Number(textOf(value))))];
    expect(first).toHaveLength(count);
    for (let key = 0; key < keys; key++) {
      const ofKey = first.filter((n) => n % keys === key);
      expect(ofKey).toEqual([...ofKey].sort((a, b) => a - b));
    }
    const dead = await postgres.query(`SELECT id FROM ${schema}.outbox WHERE dead_at IS NOT NULL`);
    expect(dead).toEqual([]);
  }, 90_000);
});

describePostgres('withOutbox on a Postgres that gives trouble', (postgres) => {
  it.each(ROADS)('processes the others of a group whose connection was killed, and its own once (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(40);
    const { outbox, store } = openRoad(kind, postgres(), { schema });
    let kills = 0;
    const kill: Handler = async (name, { run }) => {
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

  it.each(ROADS)('gives up one that loses each connection, and processes the others (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(40);
    const others = names.filter((name) => name !== 'm0020');
    const { outbox } = openRoad(kind, postgres(), { schema });
    const kill: Handler = async (name, { run }) => {
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
      const { outbox } = openRoad(kind, postgres(), { schema, isolation: 'serializable' });
      let conflicts = 0;
      const counts: Handler = async (_, { run }) => {
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
    const { outbox } = openRoad(kind, postgres(), { schema });
    let [waiting, deadlocks] = [0, 0];
    const crosses =
      (...order: readonly [string, string]): Handler =>
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

  it.each(ROADS)('needs but one connection, whatever its concurrency (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const names = namesOf(150);
    const { outbox } = openRoad(kind, postgres(), { schema }, { max: 1, connectionTimeoutMillis: 0 });
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
    const { outbox } = roadOf<PoolClient>(
      store,
      (tx) =>
        async (text, values = []) =>
          (await tx.query(text, [...values])).rows as Rows,
    );
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
    const { outbox, store } = openRoad(kind, postgres(), { schema });
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
      const { outbox } = openRoad(kind, postgres(), { schema });
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
