import { expect, it } from '@jest/globals';
import type { Pool, PoolClient } from 'pg';
import { postgresOutboxStore } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { expectAllOnce, namesOf, newBroker, newSchema, send, start, writes } from '../../support/outbox-processing.js';
import { roadOverPool, type RoadContext } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

const NAMES = 'SELECT name FROM pg_prepared_statements ORDER BY name';

describePostgres('withOutbox on a connection of pg', (postgres) => {
  const process = async (pool: Pool, before: (name: string, context: RoadContext) => Promise<unknown>) => {
    const schema = await newSchema(postgres());
    const [broker, names] = [newBroker(), namesOf(6)];
    await send(broker, names, 'other');
    const processing = start(
      broker,
      roadOverPool(postgresOutboxStore(pool, { schema })).outbox,
      writes(schema, before),
      {
        concurrency: 1,
        topics: ['other'],
      },
    );
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    await expectAllOnce(postgres(), schema, broker, [processing], names);
  };

  it('plans its statements once for a connection that leads to one process of the server', async () => {
    const pool = postgres().newPool({ max: 1 });
    const prepared: unknown[][] = [];
    await process(pool, async (_, { run }) => {
      prepared.push((await run(NAMES)).map(({ name }) => name));
    });
    expect(prepared[0]).toEqual([]);
    expect(prepared[5]).toEqual([
      expect.stringMatching(/^rxsluice_append_[0-9a-f]+$/),
      expect.stringMatching(/^rxsluice_record_[0-9a-f]+$/),
    ]);
  });

  it('keeps nothing in the session behind a pooler, which tells a number of its own', async () => {
    const pool = postgres().newPool({ max: 1 });
    const disguised = new Proxy(pool, {
      get: (target, name) =>
        name === 'connect'
          ? async () => Object.defineProperty(await target.connect(), 'processID', { value: 1, configurable: true })
          : (Reflect.get(target, name, target) as unknown),
    });
    const prepared: unknown[] = [];
    await process(disguised, async (_, { run }) => {
      prepared.push(...(await run(NAMES)));
    });
    expect(prepared).toEqual([]);
  });

  it('goes on without them where somebody discards them, and counts no attempt', async () => {
    const pool = postgres().newPool({ max: 1 });
    const discard = async (client: PoolClient): Promise<void> => {
      await client.query('DEALLOCATE ALL');
    };
    let discarded = 0;
    const forgetful = new Proxy(pool, {
      get: (target, name) =>
        name === 'connect'
          ? async () => {
              const client = await target.connect();
              if (++discarded > 3) await discard(client);
              return client;
            }
          : (Reflect.get(target, name, target) as unknown),
    });
    await process(forgetful, () => Promise.resolve());
    expect(discarded).toBeGreaterThan(3);
  });
});
