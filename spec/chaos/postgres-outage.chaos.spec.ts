import { expect, it } from '@jest/globals';
import { lastValueFrom, mergeMap, tap, type Observable } from 'rxjs';
import {
  ackEach,
  dedupe,
  fromOutbox,
  handle,
  ordered,
  publish,
  retryToDlq,
  withOutbox,
  type Delivery,
  type TelemetryEvent,
} from '../../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher } from '../../lib/memory.js';
import { postgresIdempotencyStore, postgresOutboxStore, postgresSchema } from '../../lib/postgres.js';
import { describeOwnPostgres } from '../servers/describe-own-postgres.js';
import { postgresTestClient } from '../servers/postgres-test-client.js';

const OUTAGE_MS = process.env['RXSLUICE_SOAK'] === '1' ? 20_000 : 5_000;
const MESSAGES = 6_000;
const MAX_IN_FLIGHT = 500;
// Of withOutbox: so many may be in transactions.
const GROUP = 16;
const CONCURRENCY = 4;

describeOwnPostgres('an outage of Postgres', (server) => {
  const run = async (how: 'immediate' | 'fast', road: 'withOutbox' | 'dedupe') => {
    const postgres = postgresTestClient(server());
    const schema = await postgres.createSchema();
    await postgres.query(postgresSchema({ schema }));
    await postgres.query(`CREATE TABLE ${schema}.effects (id text NOT NULL)`);
    const pool = postgres.newPool({ max: 10, connectionTimeoutMillis: 2_000 });
    const broker = memoryBroker({ topics: { in: { partitions: 4 }, dlq: {} } });
    const events: TelemetryEvent[] = [];
    let emitted = 0;
    let done = 0;
    let skipped = 0;
    let attempts = 1;
    let resumedAt = 0;
    let backAt = 0;
    const count = <V>(delivery: Delivery<V>): Delivery<V> => {
      emitted++;
      attempts = Math.max(attempts, delivery.attempt);
      return delivery;
    };
    const progress = (): void => {
      done++;
      if (backAt > 0 && resumedAt === 0) resumedAt = performance.now();
    };
    const store = postgresOutboxStore(pool, { schema, timeoutMs: 2_000 });
    const source = fromMemory(broker, {
      topics: ['in'],
      groupId: 'outage',
      maxInFlight: MAX_IN_FLIGHT,
      telemetry: (event) => {
        events.push(event);
        // Of a transaction whose commit was done and not answered there is no result.
        if (event.type === 'settled' && event.outcome === 'skipped') {
          skipped++;
          progress();
        }
      },
    }).pipe(
      tap((delivery) => void count(delivery)),
      ordered({ by: 'key' }),
      retryToDlq({ deadLetters: memoryPublisher(broker, { topic: 'dlq' }), maxRetries: 3 }),
    ) as Observable<Delivery<Uint8Array | null>>;
    const idOf = (value: Uint8Array | null): string => new TextDecoder().decode(value ?? undefined);
    const pipeline: Observable<unknown> =
      road === 'withOutbox'
        ? source.pipe(
            withOutbox(
              store,
              async (value, { tx, emit }) => {
                await tx.query(`INSERT INTO ${schema}.effects VALUES ($1)`, [idOf(value)]);
                emit({ topic: 'out', key: 'k', value });
              },
              { group: GROUP, concurrency: CONCURRENCY, consumer: 'outage' },
            ),
          )
        : source.pipe(
            dedupe({
              key: idOf,
              store: postgresIdempotencyStore(pool, { schema, consumer: 'outage', timeoutMs: 2_000 }),
            }),
            handle(() => new Promise((resolve) => setTimeout(resolve, 5)), { concurrency: 64 }),
            ackEach(),
          );
    const subscription = pipeline.subscribe(progress);
    const messages = Array.from({ length: MESSAGES }, (_, n) => ({ key: `k${n % 100}`, value: String(n) }));
    await lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), messages), { defaultValue: null });
    await until(() => done > 1_000);
    await server().end(how);
    await pause(1_000);
    const [doneAtOutage, emittedAtOutage] = [done, emitted];
    await pause(OUTAGE_MS - 1_000);
    const mostHeld = emitted - done;
    const emittedMeanwhile = emitted - emittedAtOutage;
    await server().restart(how);
    backAt = performance.now();
    await until(() => done >= MESSAGES);
    await pause(100);
    subscription.unsubscribe();
    const rows = await postgres.query<{ id: string }>(`SELECT id FROM ${schema}.effects`);
    const outbox = await postgres.query<{ n: number }>(`SELECT count(*)::int AS n FROM ${schema}.outbox`);
    const dead = broker.messages('dlq').length;
    let relayed = 0;
    if (road === 'withOutbox') {
      await lastValueFrom(
        fromOutbox(store, { until: 'end' }).pipe(
          mergeMap((delivery) => {
            relayed++;
            return [delivery];
          }),
          ackEach(),
        ),
        { defaultValue: null },
      );
    }
    await postgres.close();
    const what = events.flatMap((event) =>
      event.type === 'unavailable' || event.type === 'recovered' ? [event.type] : [],
    );
    return {
      done,
      skipped,
      dead,
      attempts,
      mostHeld,
      emittedMeanwhile,
      doneMeanwhile: done - doneAtOutage,
      resumedMs: Math.round(resumedAt - backAt),
      effects: rows.length,
      distinct: new Set(rows.map(({ id }) => id)).size,
      outbox: outbox[0]?.n,
      relayed,
      what: [...new Set(what)],
    };
  };

  for (const how of ['immediate', 'fast'] as const) {
    it(`of ${OUTAGE_MS / 1_000} s (${how}) holds withOutbox at its bound; every effect once, no dead letter`, async () => {
      const { skipped, mostHeld, emittedMeanwhile, doneMeanwhile, resumedMs, ...rest } = await run(how, 'withOutbox');
      expect(rest).toEqual({
        done: MESSAGES,
        dead: 0,
        attempts: 1,
        effects: MESSAGES,
        distinct: MESSAGES,
        outbox: MESSAGES,
        relayed: MESSAGES,
        what: ['unavailable', 'recovered'],
      });
      expect(skipped).toBeLessThanOrEqual(GROUP * CONCURRENCY);
      expect(mostHeld).toBeLessThanOrEqual(MAX_IN_FLIGHT);
      expect(emittedMeanwhile).toBe(0);
      console.log(
        `withOutbox, ${how}: ${mostHeld} held, again after ${resumedMs} ms, ${doneMeanwhile} done after it, ` +
          `${skipped} of them without an answer to their commit`,
      );
    });
  }

  it(`of ${OUTAGE_MS / 1_000} s holds dedupe at its bound; nothing lost, no dead letter`, async () => {
    const { mostHeld, emittedMeanwhile, resumedMs, done, skipped, dead, attempts, what } = await run(
      'immediate',
      'dedupe',
    );
    expect({ done, skipped, dead, attempts, what }).toEqual({
      done: MESSAGES,
      skipped: 0,
      dead: 0,
      attempts: 1,
      what: ['unavailable', 'recovered'],
    });
    expect(mostHeld).toBeLessThanOrEqual(MAX_IN_FLIGHT);
    expect(emittedMeanwhile).toBe(0);
    console.log(`dedupe: ${mostHeld} held, again after ${resumedMs} ms`);
  });
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function until(holds: () => boolean): Promise<void> {
  const limit = performance.now() + 60_000;
  while (!holds() && performance.now() < limit) await pause(20);
}
