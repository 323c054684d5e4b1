import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { tap } from 'rxjs';
import { ackEach, fromOutbox, publishTo, topicPublisher, type TelemetryEvent } from '../../../lib/index.js';
import { memoryPublisher } from '../../../lib/memory.js';
import { describeOwnPostgres } from '../../servers/describe-own-postgres.js';
import { laneSql } from '../../../lib/stores/postgres/postgres-schema.js';
import { postgresTestClient, type PostgresTestClient } from '../../servers/postgres-test-client.js';
import {
  expectAllOnce,
  namesOf,
  newBroker,
  newSchema,
  relay,
  send,
  start,
  textOf,
  writes,
} from '../../support/outbox-processing.js';
import { outboxRoad, ROADS } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

describeOwnPostgres('withOutbox and fromOutbox on a Postgres that comes and goes', (server) => {
  let postgres: PostgresTestClient;
  beforeAll(() => void (postgres = postgresTestClient(server())));
  afterAll(() => postgres?.close());

  it.each(ROADS)('wait for a Postgres that is down at their start (%s)', async (kind) => {
    const schema = await newSchema(postgres);
    const broker = newBroker();
    const names = namesOf(200);
    await server().end('fast');
    const { outbox, store } = outboxRoad(kind, postgres, { schema });
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
      const { outbox, store } = outboxRoad(kind, postgres, { schema, timeoutMs: 3_000 });
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
      `INSERT INTO ${schema}.outbox (topic, key, lane, payload)
       SELECT 'out', key, ${laneSql("'out'", 'key')}, convert_to(n::text, 'UTF8')
       FROM generate_series(0, $2 - 1) AS n, convert_to('k' || n % $1, 'UTF8') AS key ORDER BY n`,
      [keys, count],
    );
    const broker = newBroker();
    const { store } = outboxRoad('pg', postgres, { schema, timeoutMs: 3_000 });
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
  });
});
