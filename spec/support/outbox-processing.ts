import { expect } from '@jest/globals';
import { lastValueFrom, tap } from 'rxjs';
import { ackEach, fromOutbox, publish, retryToDlq, type OutboxStore, type TelemetryEvent } from '../../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryBroker } from '../../lib/memory.js';
import { postgresSchema } from '../../lib/postgres.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';
import type { OutboxRoad, RoadContext, RoadOptions } from './outbox-road.js';

export const textOf = (value: Uint8Array | null): string => new TextDecoder().decode(value ?? undefined);
export const namesOf = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => `m${String(n).padStart(4, '0')}`);

export type RoadTask = (name: string, context: RoadContext) => Promise<unknown>;

export async function newSchema(postgres: PostgresTestClient, migrated = true): Promise<string> {
  const schema = await postgres.createSchema();
  if (migrated) await postgres.query(postgresSchema({ schema }));
  await postgres.query(`CREATE TABLE ${schema}.effects (name text NOT NULL)`);
  await postgres.query(`CREATE TABLE ${schema}.counters (name text PRIMARY KEY, n int NOT NULL)`);
  return schema;
}

export const newBroker = (): MemoryBroker =>
  memoryBroker({ topics: { in: { partitions: 4 }, other: {}, dlq: {}, out: {} } });

export const send = (broker: MemoryBroker, names: readonly string[], topic = 'in'): Promise<unknown> =>
  lastValueFrom(
    publish(
      memoryPublisher(broker, { topic }),
      names.map((name) => ({ key: name, value: name })),
    ),
    { defaultValue: null },
  );

/** The usual handler: its effect, and a message about it. */
export const writes =
  (schema: string, before: RoadTask = () => Promise.resolve()): RoadTask =>
  async (name, context) => {
    await before(name, context);
    await context.run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
    context.emit({ topic: 'out', key: name, value: name });
  };

export interface Processing {
  settled(): number;
  readonly events: readonly TelemetryEvent[];
  eventsOf<K extends TelemetryEvent['type']>(type: K): Extract<TelemetryEvent, { type: K }>[];
  /** The attempts that handlers saw. */
  readonly attempts: Set<number>;
  readonly errors: readonly unknown[];
  stop(): void;
}

export function start(
  broker: MemoryBroker,
  outbox: OutboxRoad['outbox'],
  handler: RoadTask,
  { groupId = 'readers', topics = ['in'], ...options }: RoadOptions & { groupId?: string; topics?: string[] } = {},
): Processing {
  const events: TelemetryEvent[] = [];
  const attempts = new Set<number>();
  const errors: unknown[] = [];
  const subscription = fromMemory(broker, { topics, groupId, telemetry: (event) => void events.push(event) })
    .pipe(
      retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), maxRetries: 2 }),
      outbox((value, context) => {
        attempts.add(context.delivery.attempt);
        return handler(textOf(value), context);
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

export const stored = async (postgres: PostgresTestClient, schema: string) => ({
  effects: (await postgres.query<{ name: string }>(`SELECT name FROM ${schema}.effects ORDER BY 1`)).map((r) => r.name),
  outbox: (
    await postgres.query<{ name: string }>(
      `SELECT convert_from(payload, 'UTF8') AS name FROM ${schema}.outbox ORDER BY 1`,
    )
  ).map((r) => r.name),
});

/** Each effect once, each message once, no failure, no second attempt. */
export async function expectAllOnce(
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
    expect([...each.attempts].filter((attempt) => attempt > 1)).toEqual([]);
    expect(each.eventsOf('retried')).toEqual([]);
  }
}

export async function relay(store: OutboxStore): Promise<string[]> {
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
