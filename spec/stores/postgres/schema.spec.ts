import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { Migrator, type Kysely, type Migration } from 'kysely';
import { firstValueFrom } from 'rxjs';
import { postgresDoctor, postgresMigrations, postgresSchema } from '../../../lib/postgres.js';
import { noticeOf, snapshotsSql } from '../../../lib/stores/postgres/postgres-snapshots.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { refusal } from '../../support/options.js';

const GOLDEN = 'spec/stores/postgres/schema.golden.sql';

describe('postgresSchema', () => {
  it('is what the golden file says; RXSLUICE_GOLDEN=1 writes it anew', () => {
    if (process.env['RXSLUICE_GOLDEN'] === '1') writeFileSync(GOLDEN, postgresSchema());
    expect(postgresSchema()).toBe(readFileSync(GOLDEN, 'utf8'));
  });

  it('quotes the names that it is given', () => {
    const sql = postgresSchema({ schema: 'Sluice "x"', outbox: 'My outbox', tables: ['outbox'] });
    expect(sql).toContain('"Sluice ""x"""."My outbox"');
    expect(sql).toContain('"My outbox_pending"');
    expect(sql).not.toContain('processed_events');
  });

  it('refuses names that Postgres would cut or cannot hold, and tables that there are not', () => {
    expect(refusal(() => postgresSchema({ schema: '' }))).toMatch(/schema/);
    expect(refusal(() => postgresSchema({ outbox: 'x'.repeat(41) }))).toMatch(/outbox/);
    // Two bytes each: Postgres would cut the names of both indexes to the same one.
    expect(refusal(() => postgresSchema({ outbox: 'ж'.repeat(40) }))).toMatch(/outbox must be a name of 1 to 40 bytes/);
    expect(refusal(() => postgresSchema({ outbox: 'a\0b' }))).toMatch(/outbox/);
    expect(refusal(() => postgresSchema({ tables: ['inbox' as 'outbox'] }))).toMatch(/tables must be a list of/);
  });
});

describePostgres('the schema', (postgres) => {
  const doctor = async (schema: string) => firstValueFrom(postgresDoctor(postgres().newPool(), { schema }));

  it('may be made again, and again', async () => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    await postgres().query(postgresSchema({ schema }));
    await expect(doctor(schema)).resolves.toMatchObject({ healthy: true, problems: [], sql: '' });
  });

  it('makes its PostgreSQL schema too, where that is missing', async () => {
    const schema = `${await postgres().createSchema()}_x`;
    await postgres().query(postgresSchema({ schema }));
    await expect(doctor(schema)).resolves.toMatchObject({ healthy: true });
    await postgres().query(`DROP SCHEMA ${schema} CASCADE`);
  });

  it('is the same by the migrations of kysely, which go down again', async () => {
    const schema = await postgres().createSchema();
    const db: Kysely<unknown> = postgres().newKysely();
    const provider = {
      getMigrations: () => Promise.resolve(postgresMigrations({ schema }) as Record<string, Migration>),
    };
    const names = {
      migrationTableSchema: schema,
      migrationTableName: 'rxsluice_migration',
      migrationLockTableName: 'rxsluice_migration_lock',
    };
    const migrator = new Migrator({ db, provider, ...names });
    expect((await migrator.migrateToLatest()).error).toBeUndefined();
    await expect(doctor(schema)).resolves.toMatchObject({ healthy: true });
    while ((await migrator.migrateDown()).results?.length) {
      // one after another
    }
    const { problems } = await doctor(schema);
    expect(problems.map(({ kind }) => kind)).toEqual(['missing-table', 'missing-table', 'missing-table']);
  });
});

describePostgres('postgresDoctor', (postgres) => {
  const sick = async (harm: (schema: string) => string) => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    await postgres().query(harm(schema));
    const pool = postgres().newPool();
    const report = await firstValueFrom(postgresDoctor(pool, { schema }));
    if (report.sql !== '') await postgres().query(report.sql);
    const after = await firstValueFrom(postgresDoctor(pool, { schema }));
    return {
      kinds: report.problems.map(({ kind }) => kind),
      migrations: report.problems.map(({ migration }) => migration),
      healthyAfter: after.healthy,
    };
  };
  const OUTBOX = 'rxsluice_0002_outbox';

  it.each([
    ['a missing table', (s: string) => `DROP TABLE ${s}.outbox`, ['missing-table'], [OUTBOX], true],
    [
      'a missing column',
      (s: string) => `ALTER TABLE ${s}.outbox DROP COLUMN last_error`,
      ['missing-column'],
      [OUTBOX],
      true,
    ],
    ['a missing index', (s: string) => `DROP INDEX ${s}.outbox_lanes`, ['missing-index'], [OUTBOX], true],
    [
      'an index of another kind',
      (s: string) => `DROP INDEX ${s}.outbox_pending; CREATE INDEX outbox_pending ON ${s}.outbox (topic)`,
      ['missing-index'],
      [OUTBOX],
      true,
    ],
    [
      'a column of another type',
      (s: string) => `ALTER TABLE ${s}.processed_events ALTER COLUMN event_id TYPE varchar(100)`,
      ['different-column'],
      [null],
      false,
    ],
    [
      'a missing table of leases',
      (s: string) => `DROP TABLE ${s}.shard_leases`,
      ['missing-table'],
      ['rxsluice_0003_shard_leases'],
      true,
    ],
    [
      'leases whose counter is too small',
      (s: string) => `ALTER TABLE ${s}.shard_leases ALTER COLUMN counter TYPE integer`,
      ['different-column'],
      [null],
      false,
    ],
    [
      'a column that nobody knows and that must not be null',
      (s: string) => `ALTER TABLE ${s}.outbox ADD COLUMN extra text NOT NULL`,
      ['unknown-column'],
      [null],
      false,
    ],
  ])('finds %s, and says what mends it', async (_name, harm, kinds, migrations, healthyAfter) => {
    await expect(sick(harm)).resolves.toEqual({ kinds, migrations, healthyAfter });
  });

  it('finds nothing where names are odd', async () => {
    const names = { schema: `"i'\\d $rxsluice$ ${Math.random()}`, outbox: `o"'\\$1`, processedEvents: 'Sel ect;--' };
    await postgres().query(postgresSchema(names));
    await postgres().query(postgresSchema(names));
    const report = await firstValueFrom(postgresDoctor(postgres().newPool(), names));
    await postgres().query(`DROP SCHEMA "${names.schema.replaceAll('"', '""')}" CASCADE`);
    expect(report.problems).toEqual([]);
  });

  it('notices a transaction that is open for long, which makes nothing unhealthy', async () => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    expect(noticeOf({ who: 'process 7 (idle in transaction)', seconds: 601 })).toEqual({
      kind: 'open-snapshot',
      message: expect.stringContaining(
        'A transaction of process 7 (idle in transaction) has been open for 10 minutes.',
      ),
    });
    // The same statement, of transactions of any age.
    const sql = snapshotsSql.replace('> 300', '>= 0').replace('LIMIT 5', '');
    const pool = postgres().newPool();
    const holder = await pool.connect();
    await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    const { rows } = await holder.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const seen = await postgres().query<{ who: string }>(sql);
    await holder.query('ROLLBACK');
    const after = await postgres().query<{ who: string }>(sql);
    holder.release();
    const who = `process ${rows[0]?.pid} (idle in transaction)`;
    expect(seen.map((each) => each.who)).toContain(who);
    expect(after.map((each) => each.who)).not.toContain(who);
    const { healthy, notices } = await firstValueFrom(postgresDoctor(pool, { schema }));
    expect([healthy, Array.isArray(notices)]).toEqual([true, true]);
  });

  it('finds that the schema may not be used', async () => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    const role = `${schema}_stranger`;
    await postgres().query(`CREATE ROLE ${role};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ${schema} TO ${role}`);
    const pool = postgres().newPool({ options: `-c role=${role}` });
    const { problems } = await firstValueFrom(postgresDoctor(pool, { schema }));
    await pool.end();
    await postgres().query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    expect(problems.map(({ kind, message }) => [kind, message])).toEqual([
      ['missing-right', `The user of this connection has no right to USAGE of the schema "${schema}".`],
    ]);
  });

  it('finds rights that are missing', async () => {
    const schema = await postgres().createSchema();
    await postgres().query(postgresSchema({ schema }));
    const role = `${schema}_reader`;
    await postgres().query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT USAGE ON SCHEMA ${schema} TO ${role};
      GRANT SELECT, INSERT, UPDATE, DELETE ON ${schema}.processed_events, ${schema}.shard_leases TO ${role};
      GRANT SELECT, INSERT ON ${schema}.outbox TO ${role}`);
    const url = new URL(postgres().url);
    [url.username, url.password] = [role, 'x'];
    const pool = postgres().newPool({ connectionString: url.href });
    const { problems } = await firstValueFrom(postgresDoctor(pool, { schema }));
    await pool.end();
    await postgres().query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    expect(problems.map(({ kind, message }) => [kind, message.includes('outbox')])).toEqual([
      ['missing-right', true],
      ['missing-right', true],
    ]);
  });
});
