import { afterAll, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { Pool } from 'pg';
import { firstValueFrom, from, lastValueFrom, take, toArray } from 'rxjs';
import { ackEach, fromOutbox, type TelemetryEvent } from '../../../lib/index.js';
import {
  postgresDoctor,
  postgresLeaseStore,
  postgresOutboxStore,
  postgresPurge,
  type PostgresReport,
} from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import type { PostgresTestClient } from '../../servers/postgres-test-client.js';
import { namesOf, newBroker, newSchema, send, start, textOf, type RoadTask } from '../../support/outbox-processing.js';
import { outboxRoad, ROADS } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';

const CHANGES = [
  'SET LOCAL ROLE tenant',
  `SELECT set_config('role', 'tenant', true)`,
  'SET LOCAL SESSION AUTHORIZATION tenant',
  // It would stay on the connection, where none of our statements is allowed any more.
  'SET ROLE tenant',
] as const;

describePostgres('withOutbox and users of the database', (postgres) => {
  const made: string[] = [];
  const newRole = async (schema: string, ...rights: readonly string[]): Promise<string> => {
    const role = `spec_${randomBytes(6).toString('hex')}`;
    made.push(role);
    await postgres().query(`CREATE ROLE ${role} LOGIN PASSWORD 'spec'`);
    await postgres().query(`GRANT USAGE ON SCHEMA ${schema} TO ${role}`);
    for (const right of rights) await postgres().query(`GRANT ${right} TO ${role}`);
    return role;
  };
  // By then the schemas are dropped, and the pools of the client ended.
  afterAll(async () => {
    const pool = new Pool({ connectionString: postgres().url, max: 1 });
    for (const role of made) await pool.query(`DROP ROLE ${role}`);
    await pool.end();
  });

  /** Effects tell who made them, for which tenant. */
  const withUsers = async (): Promise<string> => {
    const schema = await newSchema(postgres());
    await postgres().query(
      `ALTER TABLE ${schema}.effects ADD who text DEFAULT current_user, ADD tenant text DEFAULT current_setting('app.tenant', true)`,
    );
    return schema;
  };
  const effects = (schema: string) =>
    postgres().query<{ name: string; who: string; tenant: string | null }>(
      `SELECT name, who, nullif(tenant, '') AS tenant FROM ${schema}.effects ORDER BY name`,
    );
  const own = async (): Promise<string> =>
    (await postgres().query<{ who: string }>('SELECT current_user AS who'))[0]?.who ?? '';
  const counted = async (schema: string, table: string): Promise<number> =>
    (await postgres().query<{ n: number }>(`SELECT count(*)::int AS n FROM ${schema}.${table}`))[0]?.n ?? NaN;

  it.each(ROADS.flatMap((kind) => [1, 6].flatMap((group) => CHANGES.map((change) => [kind, group, change] as const))))(
    'is the user of the pool again for its own statements and for the next message (%s, group %i, %s)',
    async (kind, group, change) => {
      const schema = await withUsers();
      const tenant = await newRole(schema, `INSERT ON ${schema}.effects`);
      const broker = newBroker();
      const names = namesOf(6);
      await send(broker, names, 'other');
      const { outbox } = outboxRoad(kind, postgres(), { schema });
      const processing = start(
        broker,
        outbox,
        async (name, { run, emit }) => {
          const number = Number(name.slice(1));
          if (number % 2 === 0) await run(change.replace('tenant', tenant));
          await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
          for (let n = 0; n < number % 3; n++) emit({ topic: 'out', value: name });
        },
        { group, concurrency: 1, topics: ['other'] },
      );
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      const user = await own();
      expect((await effects(schema)).map(({ who }) => who)).toEqual([tenant, user, tenant, user, tenant, user]);
      expect(await counted(schema, 'outbox')).toBe(6);
      expect(processing.eventsOf('unavailable')).toEqual([]);
      expect(broker.messages('dlq')).toEqual([]);
    },
  );

  it.each(ROADS)(
    'keeps what a handler sends at once in its order, and queues no more than pg likes (%s)',
    async (kind) => {
      const warnings: string[] = [];
      const hear = ({ name, message }: Error): void => void (name === 'DeprecationWarning' && warnings.push(message));
      process.on('warning', hear);
      const schema = await withUsers();
      const tenant = await newRole(schema, `INSERT ON ${schema}.effects`);
      const broker = newBroker();
      await send(broker, ['a', 'b'], 'other');
      const { outbox } = outboxRoad(kind, postgres(), { schema });
      const processing = start(
        broker,
        outbox,
        async (name, { run }) => {
          const insert = (): Promise<unknown> => run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
          if (name === 'a') await Promise.all([run(`SET LOCAL ROLE ${tenant}`), insert()]);
          else await run(`SET LOCAL ROLE ${tenant}`).then(insert);
        },
        { group: 2, concurrency: 1, topics: ['other'] },
      );
      await until('all is settled', () => processing.settled() === 2);
      processing.stop();
      process.removeListener('warning', hear);
      expect((await effects(schema)).map(({ who }) => who)).toEqual([tenant, tenant]);
      expect(warnings).toEqual([]);
    },
  );

  it.each(ROADS)('is that user also after a part that was rolled back, or that has ended it all (%s)', async (kind) => {
    const schema = await withUsers();
    const tenant = await newRole(schema, `INSERT ON ${schema}.effects`);
    const broker = newBroker();
    await send(broker, ['a', 'failing', 'c', 'ending', 'e'], 'other');
    const { outbox } = outboxRoad(kind, postgres(), { schema });
    const task: RoadTask = async (name, { run, emit }) => {
      if (name.endsWith('ing')) await run(`SET LOCAL ROLE ${tenant}`);
      if (name === 'failing') throw new Error('no');
      await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
      emit({ topic: 'out', value: name });
      if (name === 'ending') await run('ROLLBACK');
    };
    const processing = start(broker, outbox, task, { group: 5, concurrency: 1, topics: ['other'] });
    await until('all is settled', () => processing.settled() === 5);
    processing.stop();
    const user = await own();
    expect((await effects(schema)).map(({ name, who }) => [name, who])).toEqual(['a', 'c', 'e'].map((n) => [n, user]));
    expect(
      broker
        .messages('dlq')
        .map(({ value }) => textOf(value))
        .sort(),
    ).toEqual(['ending', 'failing']);
    const reasons = processing.eventsOf('dead-lettered').map(({ reason }) => (reason as { code?: string }).code);
    expect(reasons).toContain('transaction-ended');
  });

  it.each(ROADS)('keeps a user that the pool has set for the session (%s)', async (kind) => {
    const schema = await withUsers();
    const [app, tenant] = [await newRole(schema), await newRole(schema, `INSERT ON ${schema}.effects`)];
    await postgres().query(`GRANT ALL ON ALL TABLES IN SCHEMA ${schema} TO ${app}; GRANT ${tenant} TO ${app}`);
    const broker = newBroker();
    const names = namesOf(4);
    const config = { max: 1, options: `-c role=${app}` };
    const { outbox } = outboxRoad(kind, postgres(), { schema }, config);
    await send(broker, names, 'other');
    const processing = start(
      broker,
      outbox,
      async (name, { run, emit }) => {
        if (name === 'm0001') await run(`SET LOCAL ROLE ${tenant}`);
        await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
        emit({ topic: 'out', value: name });
      },
      { group: 3, concurrency: 1, topics: ['other'] },
    );
    await until('all is settled', () => processing.settled() === names.length);
    processing.stop();
    expect((await effects(schema)).map(({ who }) => who)).toEqual([app, tenant, app, app]);
  });

  it.each(ROADS.flatMap((kind) => [1, 6].map((group) => [kind, group] as const)))(
    'has setUp prepare each message of its tenant, with what it is about (%s, group %i)',
    async (kind, group) => {
      const schema = await withUsers();
      const tenant = await newRole(schema, `INSERT ON ${schema}.effects`);
      const broker = newBroker();
      const names = namesOf(6);
      await send(broker, names, 'other');
      const { outbox } = outboxRoad(kind, postgres(), { schema });
      const processing = start(
        broker,
        outbox,
        async (name, { run, emit }) => {
          await run(`INSERT INTO ${schema}.effects VALUES ($1)`, [name]);
          emit({ topic: 'out', value: name });
        },
        {
          group,
          concurrency: 1,
          topics: ['other'],
          setUp: async (value, { run, delivery }) => {
            await run(`SELECT set_config('app.tenant', $1, true)`, [`${textOf(value)} at ${delivery.id}`]);
            await run(`SET LOCAL ROLE ${tenant}`);
          },
        },
      );
      await until('all is settled', () => processing.settled() === names.length);
      processing.stop();
      expect(await effects(schema)).toEqual(
        names.map((name, n) => ({ name, who: tenant, tenant: `${name} at other/0/${n}` })),
      );
      expect(await counted(schema, 'outbox')).toBe(6);
    },
  );

  const withPolicies = async (
    ...policies: readonly string[]
  ): Promise<{ schema: string; pool: Pool; report: () => Promise<PostgresReport> }> => {
    const schema = await newSchema(postgres());
    const app = await newRole(schema, `ALL ON ALL TABLES IN SCHEMA ${schema}`);
    await postgres().query(`INSERT INTO ${schema}.outbox (topic, payload) VALUES ('out', 'a'), ('out', 'b')`);
    for (const table of ['outbox', 'shard_leases']) {
      await postgres().query(`ALTER TABLE ${schema}.${table} ENABLE ROW LEVEL SECURITY`);
      for (const [n, policy] of policies.entries()) {
        await postgres().query(`CREATE POLICY p${n} ON ${schema}.${table} ${policy}`);
      }
    }
    const pool = poolOf(postgres(), app);
    return { schema, pool, report: () => firstValueFrom(postgresDoctor(pool, { schema })) };
  };
  const poolOf = (client: PostgresTestClient, user: string): Pool => {
    const url = new URL(client.url);
    url.username = user;
    url.password = 'spec';
    return client.newPool({ connectionString: url.toString(), max: 3 });
  };

  it.each([
    ['none at all', []],
    ['one for inserts', ['FOR INSERT WITH CHECK (true)']],
    ['one for some rows', [`USING (current_setting('app.tenant', true) = 'a') WITH CHECK (true)`]],
    ['one for others', ['TO postgres USING (true) WITH CHECK (true)']],
    ['one that restricts', ['USING (true) WITH CHECK (true)', 'AS RESTRICTIVE USING (false)']],
  ])('tells of rows that policies hide: the doctor, the relay and the lease store (%s)', async (_, policies) => {
    const { schema, pool, report } = await withPolicies(...policies);
    const { healthy, problems, sql } = await report();
    expect({ healthy, sql, kinds: problems.map(({ kind }) => kind) }).toEqual({
      healthy: false,
      sql: '',
      kinds: ['hidden-rows', 'hidden-rows'],
    });
    const events: TelemetryEvent[] = [];
    const relaying = fromOutbox(postgresOutboxStore(pool, { schema }), {
      telemetry: (event) => void events.push(event),
    }).subscribe();
    await until('the relay says so', () => events.some(({ type }) => type === 'unavailable'));
    relaying.unsubscribe();
    const told = events.find(({ type }) => type === 'unavailable');
    expect(told).toMatchObject({ error: { code: 'not-authorized' } });
    expect(String((told as { error?: Error }).error?.message)).toContain('row-level security');
    const leases = postgresLeaseStore(pool, { schema });
    await expect(lastValueFrom(from(leases.list({ consumer: 'c', stream: 's' })))).rejects.toMatchObject({
      code: 'not-authorized',
    });
  });

  it('works with a policy that hides nothing, and is healthy', async () => {
    const { schema, pool, report } = await withPolicies('TO public USING (true) WITH CHECK (true)');
    expect(await report()).toMatchObject({ healthy: true, problems: [] });
    const published = await lastValueFrom(
      fromOutbox(postgresOutboxStore(pool, { schema })).pipe(ackEach(), take(2), toArray()),
    );
    expect(published).toHaveLength(2);
    await lastValueFrom(postgresPurge(pool, { schema, publishedMs: 0 }));
  });
});
