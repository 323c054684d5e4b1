import type { Pool } from 'pg';
import { lastValueFrom, mergeMap, tap } from 'rxjs';
import {
  ackEach,
  dedupe,
  publish,
  settling,
  withOutbox,
  type Delivery,
  type IdempotencyStore,
  type OutboxHandler,
} from '../lib/index.js';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryBroker } from '../lib/memory.js';
import { postgresIdempotencyStore, postgresOutboxStore } from '../lib/postgres.js';
import type { PoolClient } from 'pg';

export const POOL = 10;
// The default of a source.
const MAX_IN_FLIGHT = 1_000;

let rounds = 0;

async function brokerWith(count: number): Promise<MemoryBroker> {
  const broker = memoryBroker({ topics: { in: { partitions: 4 } } });
  const messages = Array.from({ length: count }, (_, n) => ({ key: `k${n % 100}`, value: `value ${n}` }));
  await lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), messages), { defaultValue: null });
  return broker;
}

export type Work = 'one statement' | 'one message';

/** `withOutbox` over a memory broker. */
export async function throughOutbox(
  pool: Pool,
  schema: string,
  count: number,
  work: Work,
  group: number,
): Promise<() => Promise<unknown>> {
  const broker = await brokerWith(count);
  const store = postgresOutboxStore(pool, { schema });
  const handler: OutboxHandler<Uint8Array | null, unknown, PoolClient> =
    work === 'one statement'
      ? (value, { tx }) => tx.query(`INSERT INTO ${schema}.effects (value) VALUES ($1)`, [String(value?.length)])
      : (value, { emit }) => emit({ topic: 'out', key: 'k', value });
  const consumer = `bench ${++rounds}`;
  return () =>
    lastValueFrom(
      fromMemory(broker, { topics: ['in'], groupId: 'bench', until: 'end' }).pipe(
        withOutbox(store, handler, { group, consumer, concurrency: POOL }),
      ),
      { defaultValue: null },
    );
}

/** What people write: one transaction a message, ten at once, over the same source. */
export async function byHand(pool: Pool, schema: string, count: number, work: Work): Promise<() => Promise<unknown>> {
  const broker = await brokerWith(count);
  const consumer = `by hand ${++rounds}`;
  const one = async ({ id, value }: Delivery<Uint8Array | null>): Promise<void> => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      const recorded = await client.query(
        `INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING`,
        [consumer, id],
      );
      if (recorded.rowCount === 1) {
        if (work === 'one statement')
          await client.query(`INSERT INTO ${schema}.effects (value) VALUES ($1)`, [String(value?.length)]);
        else {
          await client.query(`INSERT INTO ${schema}.outbox (topic, key, lane, payload) VALUES ($1, $2, 1, $3)`, [
            'out',
            Buffer.from('k'),
            value,
          ]);
        }
      }
      await client.query('COMMIT');
    } finally {
      client.release();
    }
  };
  return () =>
    lastValueFrom(
      fromMemory(broker, { topics: ['in'], groupId: 'bench', until: 'end' }).pipe(
        mergeMap((delivery) => settling(delivery, () => one(delivery)), POOL),
        ackEach(),
      ),
      { defaultValue: null },
    );
}

/** `dedupe` over a memory broker; `sizes` hears of each call. */
export async function throughDedupe(
  pool: Pool,
  schema: string,
  count: number,
  sizes: { readonly call: 'claim' | 'confirm'; readonly size: number }[],
): Promise<() => Promise<unknown>> {
  const broker = await brokerWith(count);
  const inner = postgresIdempotencyStore(pool, { schema, consumer: `dedupe ${++rounds}` });
  const store: IdempotencyStore = {
    ...inner,
    claim: (keys, leaseMs) => {
      sizes.push({ call: 'claim', size: keys.length });
      return inner.claim(keys, leaseMs);
    },
    confirm: (claims) => {
      sizes.push({ call: 'confirm', size: claims.length });
      return inner.confirm(claims);
    },
  };
  return () =>
    lastValueFrom(
      fromMemory(broker, { topics: ['in'], groupId: 'bench', until: 'end' }).pipe(
        dedupe({ key: (_, delivery) => delivery.id, store }),
        tap(() => undefined),
        ackEach(),
      ),
      { defaultValue: null },
    );
}

/** The same two statements, in the same sizes: claims on one connection, confirms on another beside it. */
export function dedupeByHand(
  pool: Pool,
  schema: string,
  sizes: readonly { readonly call: 'claim' | 'confirm'; readonly size: number }[],
): () => Promise<unknown> {
  const consumer = `by hand ${++rounds}`;
  const token = crypto.randomUUID();
  const claimSql = `INSERT INTO ${schema}.processed_events (consumer, event_id, token, leased_until)
    SELECT $1, key, $3, now() + interval '30 s' FROM unnest($2::text[]) AS key ON CONFLICT DO NOTHING RETURNING event_id`;
  const confirmSql = `UPDATE ${schema}.processed_events SET processed_at = now(), leased_until = NULL
    WHERE consumer = $1 AND event_id = ANY ($2) AND token = $3 RETURNING event_id`;
  return async () => {
    const [claims, confirms] = [await pool.connect(), await pool.connect()];
    let claimed = 0;
    let confirmed = 0;
    const wake: (() => void)[] = [];
    const run = async (call: 'claim' | 'confirm'): Promise<void> => {
      for (const { size } of sizes.filter((each) => each.call === call)) {
        const from = call === 'claim' ? claimed : confirmed;
        // Within the same bound: what is claimed and not confirmed is in flight.
        const waits = (): boolean =>
          call === 'confirm' ? claimed < from + size : claimed + size - confirmed > MAX_IN_FLIGHT;
        while (waits()) await new Promise<void>((resolve) => wake.push(resolve));
        const keys = Array.from({ length: size }, (_, n) => `in/${(from + n) % 4}/${from + n}`);
        await (call === 'claim' ? claims : confirms).query(call === 'claim' ? claimSql : confirmSql, [
          consumer,
          keys,
          token,
        ]);
        if (call === 'claim') claimed += size;
        else confirmed += size;
        for (const resolve of wake.splice(0)) resolve();
      }
    };
    await Promise.all([run('claim'), run('confirm')]);
    claims.release();
    confirms.release();
  };
}

/** One `unnest` insert after another: what one connection can take. */
export function rawInsert(pool: Pool, schema: string, count: number, size: number): () => Promise<unknown> {
  const consumer = `raw ${++rounds}`;
  return async () => {
    for (let from = 0; from < count; from += size) {
      const keys = Array.from({ length: Math.min(size, count - from) }, (_, n) => `in/${(from + n) % 4}/${from + n}`);
      await pool.query(
        `INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at) SELECT $1, key, now() FROM unnest($2::text[]) AS key`,
        [consumer, keys],
      );
    }
  };
}
