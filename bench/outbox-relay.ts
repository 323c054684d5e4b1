import { setTimeout as pause } from 'node:timers/promises';
import { Logger, makeWorkerUtils, run, runMigrations } from 'graphile-worker';
import type { Pool } from 'pg';
import { DatabaseSetup, getDisabledLogger, initializePollingMessageListener } from 'pg-transactional-outbox';
import { filter, firstValueFrom, from, lastValueFrom, ReplaySubject, Subject, take } from 'rxjs';
import { ackEach, fromOutbox, handle, publish, withOutbox } from '../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher } from '../lib/memory.js';
import { laneSql } from '../lib/stores/postgres/postgres-schema.js';
import { postgresOutboxStore, type PostgresOutboxStoreOptions } from '../lib/postgres.js';

const BACKLOG_KEYS = 1_000;

/** Puts `count` rows into the outbox, with as many keys as there are, or 1,000. */
export async function fillOutbox(pool: Pool, schema: string, count: number): Promise<void> {
  await pool.query(`TRUNCATE ${schema}.outbox`);
  await pool.query(
    `INSERT INTO ${schema}.outbox (topic, key, lane, payload)
     SELECT 'out', key, ${laneSql("'out'", 'key')}, convert_to(repeat('x', 200) || n, 'UTF8')
     FROM generate_series(1, $1::int) AS n, convert_to('key ' || (n::bigint * 7919) % $2, 'UTF8') AS key`,
    [count, BACKLOG_KEYS],
  );
  await pool.query(`ANALYZE ${schema}.outbox`);
}

/** The relay to a handler that does nothing, until all of it is marked as published. */
export function relay(pool: Pool, schema: string, count: number): () => Promise<unknown> {
  const store = postgresOutboxStore(pool, { schema });
  return async () => {
    await lastValueFrom(
      fromOutbox(store).pipe(
        handle(() => null, { concurrency: 1_000 }),
        ackEach(),
        take(count),
      ),
    );
    while ((await firstValueFrom(from(store.lag()))).rows > 0) await pause(1);
  };
}

/** graphile-worker in its batched mode. */
export async function graphile(pool: Pool, count: number): Promise<() => Promise<unknown>> {
  const logger = new Logger(() => () => undefined);
  await runMigrations({ pgPool: pool, logger });
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  for (let from = 0; from < count; from += 1_000) {
    await utils.addJobs(
      Array.from({ length: 1_000 }, (_, n) => ({
        identifier: 'publish',
        payload: { text: 'x'.repeat(200) + (from + n) },
      })),
    );
  }
  await utils.release();
  await pool.query('ANALYZE graphile_worker._private_jobs');
  return async () => {
    const ended = new Subject<void>();
    const isOver = firstValueFrom(ended);
    let done = 0;
    const runner = await run({
      pgPool: pool,
      logger,
      noHandleSignals: true,
      preset: {
        worker: {
          concurrentJobs: 24,
          localQueue: { size: 500 },
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
          pollInterval: 100,
        },
      },
      taskList: {
        publish: () => {
          if (++done === count) ended.next();
        },
      },
    });
    await isOver;
    // Until what was done is marked.
    await runner.stop();
  };
}

/** pg-transactional-outbox, tuned: 100 rows a poll, every 10 ms. */
export async function transactionalOutbox(pool: Pool, url: string, count: number): Promise<() => Promise<unknown>> {
  const { username, password, hostname, port, pathname } = new URL(url);
  const database = pathname.slice(1);
  const setup = {
    outboxOrInbox: 'outbox',
    database,
    schema: 'public',
    table: 'rival_outbox',
    listenerRole: username,
    nextMessagesName: 'next_rival_messages',
  } as const;
  await pool.query(DatabaseSetup.dropAndCreateTable(setup));
  await pool.query(DatabaseSetup.createPollingFunction(setup));
  await pool.query(DatabaseSetup.setupPollingIndexes(setup));
  await pool.query(
    `INSERT INTO rival_outbox (id, aggregate_type, aggregate_id, message_type, payload, concurrency)
     SELECT gen_random_uuid(), 'order', n, 'created', json_build_object('text', repeat('x', 200)), 'parallel' FROM generate_series(1, $1::int) AS n`,
    [count],
  );
  await pool.query('ANALYZE rival_outbox');
  return async () => {
    const handled = new Subject<void>();
    let done = 0;
    const all = firstValueFrom(handled);
    const [shutdown] = initializePollingMessageListener(
      {
        outboxOrInbox: 'outbox',
        dbListenerConfig: { host: hostname, port: Number(port), user: username, password, database },
        settings: {
          dbSchema: 'public',
          dbTable: 'rival_outbox',
          enableMaxAttemptsProtection: false,
          enablePoisonousMessageProtection: false,
          nextMessagesBatchSize: 100,
          nextMessagesPollingIntervalInMs: 10,
          nextMessagesFunctionSchema: 'public',
          nextMessagesFunctionName: 'next_rival_messages',
        },
      },
      {
        handle: () => {
          if (++done === count) handled.next();
          return Promise.resolve();
        },
      },
      getDisabledLogger(),
    );
    await all;
    await shutdown();
  };
}

/** One message after another, each through a transaction and a relay in another store: milliseconds from publish to handler. */
export async function latencies(pool: Pool, schema: string, count: number, notify: boolean): Promise<number[]> {
  const options: PostgresOutboxStoreOptions = { schema, notify };
  await pool.query(`TRUNCATE ${schema}.outbox`);
  const broker = memoryBroker({ topics: { in: {} } });
  // Apart, as in two processes: the relay hears of commits by NOTIFY alone.
  const [writer, reader] = [postgresOutboxStore(pool, options), postgresOutboxStore(pool, options)];
  const got = new ReplaySubject<string>(1);
  const consuming = fromMemory(broker, { topics: ['in'], groupId: 'latency' })
    .pipe(
      withOutbox(writer, (value, { emit }) => emit({ topic: 'out', key: 'k', value }), {
        consumer: crypto.randomUUID(),
      }),
    )
    .subscribe();
  const relaying = fromOutbox(reader)
    .pipe(
      handle((message) => got.next(new TextDecoder().decode(message.value as Uint8Array))),
      ackEach(),
    )
    .subscribe();
  const times: number[] = [];
  for (let n = 0; n < count; n++) {
    await new Promise((resolve) => setTimeout(resolve, 20 + Math.random() * 100));
    const begun = performance.now();
    const arrived = firstValueFrom(got.pipe(filter((text) => text === `m${n}`)));
    await lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), [{ key: 'k', value: `m${n}` }]), {
      defaultValue: null,
    });
    await arrived;
    times.push(performance.now() - begun);
  }
  consuming.unsubscribe();
  relaying.unsubscribe();
  await new Promise((resolve) => setTimeout(resolve, 200));
  return times.sort((a, b) => a - b);
}
