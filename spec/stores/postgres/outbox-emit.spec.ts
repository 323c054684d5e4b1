import { expect, it } from '@jest/globals';
import { CompiledQuery, type Kysely, type Transaction } from 'kysely';
import type { Client, Pool, PoolClient } from 'pg';
import { ackEach, fromOutbox, withOutbox, type OutboxMessage } from 'rxsluice';
import { fromMemory } from 'rxsluice/memory';
import { postgresOutboxStore, type PostgresOutboxStore } from 'rxsluice/postgres';
import { describePostgres } from '../../servers/describe-postgres.js';
import { newBroker, newSchema, relay, send, textOf } from '../../support/outbox-processing.js';
import { REFUSED_MESSAGES } from '../../support/refused-messages.js';
import { until } from '../../support/until.js';

/** A transaction of the application's own. */
interface Own {
  run(sql: string): Promise<unknown>;
  emit(messages: OutboxMessage | readonly OutboxMessage[]): Promise<void>;
}

interface Application {
  readonly store: PostgresOutboxStore;
  readonly schema: string;
  /** Commits once `work` is done, rolls back where it fails. */
  transaction(work: (own: Own) => Promise<unknown>): Promise<unknown>;
  /** Objects that an application might give by mistake. */
  readonly wrong: readonly unknown[];
}

const said = (message: string): OutboxMessage => ({ topic: 'out', key: 'k', value: message });

describePostgres('emit of postgresOutboxStore', (postgres) => {
  const overPool = async (options: object = {}): Promise<Application> => {
    const schema = await newSchema(postgres());
    const pool = postgres().newPool();
    const store = postgresOutboxStore(pool, { schema, ...options });
    const idle = await pool.connect();
    idle.release();
    return {
      store,
      schema,
      wrong: [pool, idle],
      transaction: async (work) => {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          await work({ run: (sql) => client.query(sql), emit: (messages) => store.emit(client, messages) });
          await client.query('COMMIT');
        } catch (error) {
          await client.query('ROLLBACK');
          throw error;
        } finally {
          client.release();
        }
      },
    };
  };

  const overKysely = async (options: object = {}): Promise<Application> => {
    const schema = await newSchema(postgres());
    const db = postgres().newKysely<unknown>();
    const store = postgresOutboxStore(db, { schema, ...options });
    return {
      store: store,
      schema,
      wrong: [db],
      transaction: (work) =>
        db.transaction().execute((tx) =>
          work({
            run: (sql) => tx.executeQuery(CompiledQuery.raw(sql)),
            emit: (messages) => store.emit(tx, messages),
          }),
        ),
    };
  };

  const roads = [
    ['a pool', overPool],
    ['a kysely', overKysely],
  ] as const;

  const effects = async (schema: string): Promise<string[]> =>
    (await postgres().query<{ name: string }>(`SELECT name FROM ${schema}.effects ORDER BY 1`)).map(({ name }) => name);

  it.each(roads)(
    'over %s has messages published with what the application committed beside them, and none that it rolled back',
    async (_, open) => {
      const { store, schema, transaction } = await open();
      await transaction(async ({ run, emit }) => {
        await run(`INSERT INTO ${schema}.effects VALUES ('kept')`);
        await emit(said('kept'));
      });
      const undone = transaction(async ({ run, emit }) => {
        await run(`INSERT INTO ${schema}.effects VALUES ('undone')`);
        await emit([said('undone'), said('undone too')]);
        throw new Error('no');
      });
      await expect(undone).rejects.toThrow('no');
      // Also where it is the first statement, and where nothing else is written at all.
      await transaction(({ emit }) => emit([said('alone'), { topic: 'out', value: null }]));
      await transaction(({ emit }) => emit([]));
      expect(await effects(schema)).toEqual(['kept']);
      expect(await relay(store)).toEqual(['', 'alone', 'kept']);
      expect(await postgres().query(`SELECT * FROM ${schema}.processed_events`)).toEqual([]);
    },
  );

  it.each(roads)(
    'over %s keeps the order of a key, in a call and from call to call, and all of a message',
    async (_, open) => {
      const { store, transaction } = await open();
      const headers = { trace: 't', many: ['a', Uint8Array.of(0, 255)] };
      await transaction(async ({ emit }) => {
        await emit([said('1'), said('2')]);
        await emit({ ...said('3'), headers, partition: 7, timestamp: 1_700_000_000_123 });
      });
      await transaction(({ emit }) => emit(said('4')));
      const seen: OutboxMessage[] = [];
      await new Promise<void>((complete, error) => {
        fromOutbox(store, { until: 'end' })
          .pipe(ackEach())
          .subscribe({ next: (message) => void seen.push(message), error, complete });
      });
      expect(seen.map(({ value }) => textOf(value as Uint8Array))).toEqual(['1', '2', '3', '4']);
      expect(seen[2]).toMatchObject({ topic: 'out', headers, partition: 7, timestamp: 1_700_000_000_123 });
    },
  );

  it.each(roads)('over %s wakes relays once it is committed, where it notifies', async (_, open) => {
    const listen = postgres().newPool({ max: 1 });
    const { schema, transaction } = await open({ notify: true, listen });
    // As in another process, and it would not poll for a long time.
    const other = postgresOutboxStore(postgres().newPool(), { schema, listen: postgres().newPool({ max: 1 }) });
    const seen: string[] = [];
    let ready = 0;
    const waking = other.wakeUps?.subscribe(() => ready++);
    const relaying = fromOutbox(other, { pollMs: 600_000 })
      .pipe(ackEach())
      .subscribe(({ value }) => seen.push(textOf(value as Uint8Array)));
    await until('it listens', () => ready > 0);
    await transaction(async ({ emit }) => {
      await emit(said('first'));
      expect(seen).toEqual([]);
    });
    await until('the relay is woken', () => seen.length === 1);
    await transaction(({ emit }) => emit([said('second'), said('third')]));
    await until('it is woken again', () => seen.length === 3);
    expect(seen).toEqual(['first', 'second', 'third']);
    relaying.unsubscribe();
    waking?.unsubscribe();
  });

  it.each(roads)('over %s stores nothing where no transaction is open, and says so', async (_, open) => {
    const { store, schema, wrong } = await open();
    for (const each of wrong) {
      await expect(store.emit(each, said('lost'))).rejects.toMatchObject({
        code: 'transaction-ended',
        message: expect.stringContaining('there is no open transaction on this connection, so nothing is stored'),
      });
    }
    for (const each of [null, undefined, {}, 'tx']) {
      await expect(store.emit(each, said('lost'))).rejects.toMatchObject({ code: 'invalid-options' });
    }
    expect(await postgres().query(`SELECT * FROM ${schema}.outbox`)).toEqual([]);
  });

  it.each(roads)('over %s takes several calls at once, also where nothing was written before', async (_, open) => {
    const { store, transaction } = await open();
    await transaction(({ emit }) => Promise.all([emit(said('a')), emit([said('b'), said('c')]), emit(said('d'))]));
    expect((await relay(store)).sort()).toEqual(['a', 'b', 'c', 'd']);
  });

  it('says of a transaction of kysely that has ended just that', async () => {
    const schema = await newSchema(postgres());
    const db = postgres().newKysely<unknown>();
    const store = postgresOutboxStore(db, { schema });
    for (const end of ['commit', 'rollback'] as const) {
      const tx = await db.startTransaction().execute();
      await tx[end]().execute();
      await expect(store.emit(tx, said('lost'))).rejects.toMatchObject({ code: 'transaction-ended' });
    }
  });

  it.each(roads)(
    'over %s refuses a bad message before anything is sent, and the transaction goes on',
    async (_, open) => {
      const { store, transaction } = await open();
      await transaction(async ({ emit }) => {
        for (const [, message, why] of REFUSED_MESSAGES) {
          await expect(emit([said('not stored'), message as OutboxMessage])).rejects.toMatchObject({
            code: 'invalid-emit',
            message: expect.stringMatching(/^postgresOutboxStore: emit, for message 1: .*\.$/),
          });
          await expect(emit(message as OutboxMessage)).rejects.toThrow(why);
        }
        await emit(said('good'));
      });
      expect(await relay(store)).toEqual(['good']);
    },
  );

  it.each(roads)('over %s passes on why a statement failed', async (_, open) => {
    const { schema, transaction } = await open();
    const readOnly = transaction(async ({ run, emit }) => {
      await run('SET TRANSACTION READ ONLY');
      await emit(said('lost'));
    });
    await expect(readOnly).rejects.toMatchObject({
      message: expect.stringContaining('Postgres says 25006 (read_only_sql_transaction). The server takes no writes'),
    });
    const spoilt = transaction(async ({ run, emit }) => {
      await run('SELECT 1 / 0').catch(() => undefined);
      await emit(said('lost'));
    });
    await expect(spoilt).rejects.toThrow('25P02 (in_failed_sql_transaction). A statement of the transaction failed');
    const missing = transaction(async ({ run, emit }) => {
      await run(`DROP TABLE ${schema}.outbox`);
      await emit(said('lost'));
    });
    await expect(missing).rejects.toMatchObject({ code: 'schema-mismatch' });
    const late = transaction(async ({ run, emit }) => {
      await run('COMMIT');
      await emit(said('lost'));
    });
    await expect(late).rejects.toMatchObject({ code: expect.stringMatching(/transaction-ended|schema-mismatch/) });
  });

  it('stores with the tx of a handler of withOutbox too, beside what the handler emits', async () => {
    const { store, schema } = await overPool();
    const broker = newBroker();
    await send(broker, ['a', 'b', 'c']);
    const settled: unknown[] = [];
    await new Promise<void>((complete, error) => {
      fromMemory(broker, { groupId: 'g', topics: ['in'], until: 'end' })
        .pipe(
          withOutbox(
            store,
            async (value, { tx, emit, delivery }) => {
              await store.emit(tx, { topic: 'out', value });
              emit({ topic: 'out', value: `${textOf(value)} emitted` });
              if (textOf(value) === 'b' && delivery.attempt === 1) throw new Error('no');
            },
            { group: 3, concurrency: 1 },
          ),
        )
        .subscribe({ next: (each) => settled.push(each), error, complete });
    });
    expect(settled).toHaveLength(3);
    expect(await relay(store)).toEqual(['a', 'a emitted', 'b', 'b emitted', 'c', 'c emitted']);
    expect(await postgres().query(`SELECT * FROM ${schema}.processed_events`)).toHaveLength(3);
  });
});

/** Compiled, never run. */
export function types(
  pool: Pool,
  client: Client,
  lent: PoolClient,
  db: Kysely<unknown>,
  tx: Transaction<unknown>,
): void {
  const overPool = postgresOutboxStore(pool);
  const overKysely = postgresOutboxStore<Transaction<unknown>>(db);
  const message = { topic: 'out', value: 'x' } as const;
  void overPool.emit(client, message);
  void overPool.emit(lent, [message]);
  void overKysely.emit(tx, message);
  void overKysely.emit(client, message);
  // @ts-expect-error statements of a pool are in no transaction
  void overPool.emit(pool, message);
  // @ts-expect-error nor are those of a kysely
  void overKysely.emit(db, message);
  // @ts-expect-error a message needs a topic
  void overKysely.emit(tx, { value: 'x' });
}
