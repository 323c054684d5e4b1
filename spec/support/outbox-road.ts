import { CompiledQuery, Kysely, PostgresDialect, type Transaction } from 'kysely';
import type { PoolClient, PoolConfig } from 'pg';
import type { OperatorFunction } from 'rxjs';
import {
  withOutbox,
  type Delivery,
  type OutboxContext,
  type OutboxStore,
  type WithOutboxOptions,
} from '../../lib/index.js';
import { postgresOutboxStore, type PostgresOutboxStoreOptions } from '../../lib/postgres.js';
import type { PostgresTestClient } from '../servers/postgres-test-client.js';

export type Rows = readonly Readonly<Record<string, unknown>>[];
export type Run = (text: string, values?: readonly unknown[]) => Promise<Rows>;
export type RoadContext = Pick<OutboxContext<unknown>, 'emit' | 'delivery'> & { readonly run: Run };
export type RoadHandler = (value: Uint8Array | null, context: RoadContext) => Promise<unknown>;
export interface RoadOptions extends Omit<WithOutboxOptions<Uint8Array | null>, 'setUp'> {
  readonly setUp?: (value: Uint8Array | null, context: Omit<RoadContext, 'emit'>) => Promise<unknown>;
}

/** `withOutbox` on a store whose handlers run SQL the same way, whoever lends the connection. */
export interface OutboxRoad {
  readonly store: OutboxStore<unknown>;
  readonly outbox: (
    handler: RoadHandler,
    options?: RoadOptions,
  ) => OperatorFunction<Delivery<Uint8Array | null>, unknown>;
}

export const ROADS = ['pg', 'kysely'] as const;

export function outboxRoad(
  kind: (typeof ROADS)[number],
  postgres: PostgresTestClient,
  options: PostgresOutboxStoreOptions,
  config: PoolConfig = {},
): OutboxRoad {
  const pool = postgres.newPool({ max: 10, ...config });
  if (kind === 'pg') return roadOverPool(postgresOutboxStore(pool, options));
  pool.on('connect', (client) => client.on('error', () => undefined));
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  return roadOverKysely(postgresOutboxStore<Transaction<unknown>>(db, options));
}

export function roadOverKysely(store: OutboxStore<Transaction<unknown>>): OutboxRoad {
  return roadOf(store, (tx) => async (text, values = []) => {
    const { rows } = await tx.executeQuery<Record<string, unknown>>(CompiledQuery.raw(text, [...values]));
    return rows;
  });
}

export function roadOverPool(store: OutboxStore<PoolClient>): OutboxRoad {
  return roadOf(
    store,
    (tx) =>
      async (text, values = []) =>
        (await tx.query(text, [...values])).rows as Rows,
  );
}

function roadOf<Tx>(store: OutboxStore<Tx>, runOf: (tx: Tx) => Run): OutboxRoad {
  return {
    store: store,
    outbox: (handler, { setUp, ...options } = {}) =>
      withOutbox(
        store,
        (value, context) =>
          handler(value, {
            emit: context.emit,
            delivery: context.delivery,
            run: (text, values) => runOf(context.tx)(text, values),
          }),
        {
          ...options,
          ...(setUp && {
            setUp: (value, { tx, delivery }) =>
              setUp(value, { delivery, run: (text, values) => runOf(tx)(text, values) }),
          }),
        },
      ),
  };
}
