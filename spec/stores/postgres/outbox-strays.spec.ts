import { expect, it } from '@jest/globals';
import { setTimeout as pause } from 'node:timers/promises';
import { inspect } from 'node:util';
import type { SluiceError } from '../../../lib/index.js';
import { postgresOutboxStore } from '../../../lib/postgres.js';
import { withOutbox } from '../../../lib/index.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { namesOf, newBroker, newSchema, send, start, stored, textOf, writes } from '../../support/outbox-processing.js';
import { outboxRoad, roadOverPool, ROADS } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

describePostgres('withOutbox and handlers that leave something behind', (postgres) => {
  it.each(ROADS)(
    'loses nothing of a group whose handler commits it, though the pool has one connection (%s)',
    async (kind) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const names = namesOf(5);
      const { outbox } = outboxRoad(kind, postgres(), { schema, timeoutMs: 500 }, { max: 1 });
      await send(broker, names, 'other');
      const processing = start(
        broker,
        outbox,
        async (name, { run, emit }) => {
          await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
          emit({ topic: 'out', key: name, value: name });
          if (name === 'm0002') await run('COMMIT');
        },
        { group: 5, concurrency: 1, topics: ['other'], consumer: 'me', key: textOf },
      );
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      expect((await stored(postgres(), schema)).outbox).toEqual(names.filter((name) => name !== 'm0002'));
      expect(broker.messages('dlq').map(({ value }) => textOf(value))).toEqual(['m0002']);
    },
  );

  it.each(ROADS)('runs no statement of a handler that has failed, on no connection (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const { outbox } = outboxRoad(kind, postgres(), { schema }, { max: 1 });
    await send(broker, ['a']);
    let strays = 0;
    const processing = start(broker, outbox, async (_, { run }) => {
      const later = pause(50).then(() => run(`INSERT INTO ${schema}.effects VALUES ('stray')`));
      later.catch(() => strays++);
      await Promise.all([run('SELECT 1 / 0'), later]);
    });
    await until('it is settled', () => processing.settled() === 1);
    await until('all strays were refused', () => strays === 3);
    processing.stop();
    expect((await stored(postgres(), schema)).effects).toEqual([]);
  });

  it.each(ROADS)('refuses in the part of the next message what a handler has not awaited (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const { outbox } = outboxRoad(kind, postgres(), { schema });
    await send(broker, ['a', 'b', 'c'], 'other');
    const refusals: unknown[] = [];
    const processing = start(
      broker,
      outbox,
      async (name, { run }) => {
        await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
        const stray = async (): Promise<void> => {
          await pause(20);
          await run(`INSERT INTO ${schema}.effects VALUES ('stray')`);
        };
        if (name === 'a') stray().catch((error: SluiceError) => refusals.push(error.code));
        else await pause(50);
      },
      { group: 3, concurrency: 1, topics: ['other'] },
    );
    await until('all is settled', () => processing.settled() === 3);
    processing.stop();
    expect(refusals).toEqual(['transaction-ended']);
    expect((await stored(postgres(), schema)).effects).toEqual(['a', 'b', 'c']);
  });

  it.each(ROADS.flatMap((kind) => [1, 4].flatMap((group) => [0, 1, 2].map((emits) => [kind, group, emits] as const))))(
    'acks nothing that was not committed, though failing statements come while it commits (%s, group %i, %i emitted)',
    async (kind, group, emits) => {
      const schema = await newSchema(postgres());
      await postgres().query(`CREATE UNIQUE INDEX ON ${schema}.effects (name)`);
      const broker = newBroker();
      const names = namesOf(60);
      const { outbox } = outboxRoad(kind, postgres(), { schema });
      let strays = 0;
      const processing = start(
        broker,
        outbox,
        async (name, { run, emit }) => {
          const write = (): Promise<unknown> => run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
          await write();
          for (let n = 0; n < emits; n++) emit({ topic: 'out', key: name, value: name });
          void pause(0)
            .then(write)
            .catch(() => strays++);
        },
        { group, concurrency: 2 },
      );
      await send(broker, names);
      await until('all is settled', () => processing.settled() === names.length);
      await until('all strays have ended', () => strays === names.length);
      processing.stop();
      const { effects, outbox: emitted } = await stored(postgres(), schema);
      expect(effects).toEqual(names);
      expect(emitted).toEqual(names.flatMap((name) => Array.from({ length: emits }, () => name)));
      expect(broker.messages('dlq')).toEqual([]);
    },
  );

  it('never sends what waits in the queue of kysely when its handler ends', async () => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const { outbox } = outboxRoad('kysely', postgres(), { schema }, { max: 1 });
    await send(broker, ['a', 'b', 'c'], 'other');
    const refusals: unknown[] = [];
    const processing = start(
      broker,
      outbox,
      (name, { run }) => {
        const first = run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
        for (const stray of ['one', 'two', 'three']) {
          run(`INSERT INTO ${schema}.effects VALUES ($1)`, [`${name} ${stray}`]).catch((error: SluiceError) =>
            refusals.push(error.code),
          );
        }
        return name === 'b' ? Promise.reject(new Error('no')) : first;
      },
      { group: 3, concurrency: 1, topics: ['other'] },
    );
    await until('all is settled', () => processing.settled() === 3);
    await until('all strays were refused', () => refusals.length >= 9);
    processing.stop();
    expect(new Set(refusals)).toEqual(new Set(['transaction-ended']));
    const { effects } = await stored(postgres(), schema);
    expect(effects.filter((name) => name.startsWith('b'))).toEqual([]);
    expect(effects).toEqual(expect.arrayContaining(['a', 'c']));
  });

  it.each(ROADS.flatMap((kind) => [1, 3].map((group) => [kind, group] as const)))(
    'does not ack one whose statement was left behind and fails (%s, group %i)',
    async (kind, group) => {
      const schema = await newSchema(postgres());
      const broker = newBroker();
      const { outbox } = outboxRoad(kind, postgres(), { schema });
      await send(broker, ['a', 'bad', 'c'], 'other');
      const processing = start(
        broker,
        outbox,
        async (name, { run }) => {
          await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
          if (name === 'bad') run('SELECT 1 / 0').catch(() => undefined);
        },
        { group, concurrency: 1, topics: ['other'] },
      );
      await until('all is settled', () => processing.settled() === 3);
      processing.stop();
      expect((await stored(postgres(), schema)).effects).toEqual(['a', 'c']);
      expect(broker.messages('dlq').map(({ value }) => textOf(value))).toEqual(['bad']);
    },
  );

  it.each(ROADS)('gives no tx to who asks for it after the handler (%s)', async (kind) => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const { outbox } = outboxRoad(kind, postgres(), { schema }, { max: 1 });
    await send(broker, ['a', 'b'], 'other');
    const refusals: unknown[] = [];
    const processing = start(
      broker,
      outbox,
      async (name, { run }) => {
        const late = async (): Promise<void> => {
          await pause(20);
          await run(`INSERT INTO ${schema}.effects VALUES ('stray')`);
        };
        if (name === 'a') late().catch((error: SluiceError) => refusals.push([error.code, error.details]));
        else await until('the late one was refused', () => refusals.length > 0);
      },
      { group: 2, concurrency: 1, topics: ['other'] },
    );
    await until('all is settled', () => processing.settled() === 2);
    processing.stop();
    expect(refusals).toEqual([['transaction-ended', { id: 'other/0/0' }]]);
    expect((await stored(postgres(), schema)).effects).toEqual([]);
  });

  it('does not ack where Postgres answers COMMIT with ROLLBACK', async () => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const pool = postgres().newPool({ max: 1 });
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (text: string, values?: unknown[]) => Promise<unknown>;
      const failing = async (text: string, values?: unknown[]): Promise<unknown> => {
        // As from somewhere that the lock does not see.
        if (text === 'COMMIT') await query('SELECT 1 / 0').catch(() => undefined);
        return query(text, values);
      };
      Object.assign(client, { query: failing });
    });
    const { outbox } = roadOverPool(postgresOutboxStore(pool, { schema }));
    await send(broker, ['a']);
    const processing = start(broker, outbox, async (name, { run, emit }) => {
      await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
      // Two: they are stored by a statement of their own, and COMMIT goes alone.
      emit({ topic: 'out', value: name });
      emit({ topic: 'out', value: name });
    });
    await until('it is settled', () => processing.settled() === 1);
    processing.stop();
    expect(processing.eventsOf('dead-lettered')).toMatchObject([{ reason: { code: 'transaction-ended' } }]);
    expect(await stored(postgres(), schema)).toEqual({ effects: [], outbox: [] });
  });

  it('keeps its client from a handler that releases it', async () => {
    const schema = await newSchema(postgres());
    const broker = newBroker();
    const pool = postgres().newPool({ max: 1 });
    const store = postgresOutboxStore(pool, { schema });
    await send(broker, ['a']);
    const processing = start(
      broker,
      () => withOutbox(store, async (_, { tx }) => (await tx.query('SELECT 1'), tx.release())),
      () => Promise.resolve(),
    );
    await until('it is settled', () => processing.settled() === 1);
    processing.stop();
    expect(processing.eventsOf('dead-lettered')).toMatchObject([{ reason: { code: 'transaction-ended' } }]);
    expect(pool.idleCount).toBe(1);
  });

  it('tells of a failed statement of its own nothing that is in the rows', async () => {
    const schema = await newSchema(postgres());
    await postgres().query(`ALTER TABLE ${schema}.outbox ADD CHECK (octet_length(payload) < 3)`);
    const broker = newBroker();
    const { outbox } = outboxRoad('pg', postgres(), { schema });
    await send(broker, ['topsecret']);
    const processing = start(broker, outbox, writes(schema));
    await until('it is settled', () => processing.settled() === 1);
    processing.stop();
    const [{ reason } = { reason: null }] = processing.eventsOf('dead-lettered');
    expect(reason).toMatchObject({ code: 'store-failed', cause: { code: '23514', table: 'outbox' } });
    const told = inspect(processing.events, { depth: 20, showHidden: true });
    expect(told).not.toContain('topsecret');
    expect(told).not.toContain(Buffer.from('topsecret').toString('hex'));
  });
});
