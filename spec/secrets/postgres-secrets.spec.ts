import { afterEach, expect, it } from '@jest/globals';
import { defer, lastValueFrom, type ObservableInput } from 'rxjs';
import { ackEach, dedupe, fromOutbox, handle, permanent, publish, withOutbox } from '../../lib/index.js';
import { fromMemory, memoryPublisher } from '../../lib/memory.js';
import {
  postgresIdempotencyStore,
  postgresLeaseStore,
  postgresOutboxStore,
  type PostgresLike,
} from '../../lib/postgres.js';
import { describePostgres } from '../servers/describe-postgres.js';
import { freePorts } from '../servers/free-ports.js';
import { newBroker, newSchema, send, start, textOf, type RoadTask } from '../support/outbox-processing.js';
import { outboxRoad } from '../support/outbox-road.js';
import { until } from '../support/until.js';
import { printedBy, textsOfError, textsOfEvent } from './our-texts.js';

const PASSWORD = 'hunter2-of-the-pool';
const ROW = 'canary 4111 of a row';
const SECRETS = [PASSWORD, '4111', 'canary'];

const expectClean = (texts: readonly string[]): void => {
  for (const text of texts) for (const secret of SECRETS) expect(text).not.toContain(secret);
};

describePostgres('no text of ours shows a password or a row of Postgres', (postgres) => {
  const ended: (() => void)[] = [];
  afterEach(() => ended.splice(0).forEach((end) => end()));

  const urlOf = (changes: Partial<Pick<URL, 'hostname' | 'port' | 'username' | 'pathname'>>): string =>
    Object.assign(new URL(postgres().url), { password: PASSWORD, ...changes }).href;

  it.each([
    ['the password is wrong', () => Promise.resolve(urlOf({})), 'authentication-failed', '28P01'],
    [
      'nobody listens',
      async () => urlOf({ port: String((await freePorts(1))[0]) }),
      'connection-failed',
      'ECONNREFUSED',
    ],
    // By a resolver that does not answer it is another word.
    [
      'there is no such host',
      () => Promise.resolve(urlOf({ hostname: 'none.invalid' })),
      'connection-failed',
      'invalid',
    ],
    ['there is no such user', () => Promise.resolve(urlOf({ username: 'nobody' })), 'authentication-failed', '28P01'],
  ] as const)('where %s', async (_, url, code, word) => {
    const pool = postgres().newPool({ connectionString: await url(), connectionTimeoutMillis: 20_000 });
    const failures: unknown[] = [];
    const failed = (call: () => ObservableInput<unknown>): Promise<unknown> =>
      lastValueFrom(defer(call)).catch((error: unknown) => failures.push(error));
    const printed = await printedBy(async () => {
      await failed(() => postgresIdempotencyStore(pool, { consumer: 'c' }).claim([ROW], 1_000));
      await failed(() => postgresLeaseStore(pool).list({ stream: 's', consumer: 'c' }));
      await failed(() => fromOutbox(postgresOutboxStore(pool), { refusalTimeoutMs: 0, pollMs: 10 }).pipe(ackEach()));
    });
    expect(failures).toHaveLength(3);
    for (const error of failures) {
      expect(error).toMatchObject({ code });
      expect((error as Error).message).toContain(word);
      expectClean(textsOfError(error));
    }
    expectClean(printed);
  });

  it('in a process warning of what holds: a store of keys and a relay', async () => {
    const pool: PostgresLike = postgres().newPool({ connectionString: urlOf({}) });
    const broker = newBroker();
    await lastValueFrom(publish(memoryPublisher(broker, { topic: 'in' }), [{ key: ROW, value: ROW }]));
    const warnings = await printedBy(async () => {
      const seen: string[] = [];
      const store = postgresIdempotencyStore(pool, { consumer: 'c' });
      const claims = {
        ...store,
        claim: (...call: Parameters<typeof store.claim>) => (seen.push('claim'), store.claim(...call)),
      };
      const subscriptions = [
        fromMemory(broker, { groupId: 'g', topics: ['in'] })
          .pipe(dedupe({ key: () => ROW, store: claims }), ackEach())
          .subscribe(),
        fromOutbox(postgresOutboxStore(pool), { pollMs: 10 })
          .pipe(ackEach())
          .subscribe({ error: () => undefined }),
      ];
      // The second try comes after the first was told.
      await until('it has tried twice', () => seen.length > 1);
      for (const each of subscriptions) each.unsubscribe();
    });
    expect(warnings.join('\n')).toContain('28P01');
    expectClean(warnings);
  });

  const outcomes = async (kind: 'pg' | 'kysely', prepare: (schema: string) => string, handler: RoadTask) => {
    const schema = await newSchema(postgres());
    await postgres().query(prepare(schema));
    const broker = newBroker();
    await send(broker, [ROW]);
    const { outbox } = outboxRoad(kind, postgres(), { schema });
    let texts: string[] = [];
    const printed = await printedBy(async () => {
      const processing = start(broker, outbox, handler);
      await until('it is settled', () => processing.settled() === 1);
      texts = processing.events.flatMap(textsOfEvent);
      processing.stop();
    });
    const [letter] = broker.messages('dlq');
    const added = Object.entries(letter?.headers ?? {}).filter(([name]) => name.startsWith('dead-letter-'));
    return { texts, printed, added: added.map(([name, value]) => `${name}: ${String(value)}`) };
  };

  // Each of them fails with the row in its detail, its hint or its message.
  const REFUSING: readonly (readonly [string, (schema: string) => string, string])[] = [
    ['a unique index', (schema) => `CREATE UNIQUE INDEX ON ${schema}.outbox (payload)`, '23505 (unique_violation)'],
    ['a check', (schema) => `ALTER TABLE ${schema}.outbox ADD CHECK (payload IS NULL)`, '23514 (check_violation)'],
    [
      'a trigger that quotes the row wherever it can',
      (schema) => `
        CREATE FUNCTION ${schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          RAISE EXCEPTION '%', convert_from(NEW.payload, 'UTF8') USING DETAIL = convert_from(NEW.payload, 'UTF8'),
            HINT = convert_from(NEW.payload, 'UTF8'), COLUMN = convert_from(NEW.payload, 'UTF8'),
            TABLE = convert_from(NEW.payload, 'UTF8'), CONSTRAINT = convert_from(NEW.payload, 'UTF8');
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON ${schema}.outbox FOR EACH ROW EXECUTE FUNCTION ${schema}.refuse()`,
      'P0001 (plpgsql_error)',
    ],
  ];

  it.each((['pg', 'kysely'] as const).flatMap((kind) => REFUSING.map((refusing) => [kind, ...refusing] as const)))(
    'over %s, where %s refuses what a handler emits',
    async (kind, _, prepare, word) => {
      const { texts, printed, added } = await outcomes(kind, prepare, (name, { emit }) => {
        for (const key of ['a', 'b']) emit({ topic: 'out', key, value: name });
        return Promise.resolve();
      });
      expect(texts.join('\n')).toContain(`Postgres says ${word}`);
      expect(added.join('\n')).toContain(`Postgres says ${word}`);
      expectClean([...texts, ...printed, ...added]);
    },
  );

  it.each([
    [
      'a key that is taken',
      'duplicate key',
      (name: string) => `INSERT INTO counters VALUES ('${name}', 1), ('${name}', 2)`,
    ],
    ['a value of another type', 'invalid input syntax', (name: string) => `SELECT '${name}'::int`],
  ] as const)('where a statement of a handler fails: %s', async (_, said, sql) => {
    const { texts, printed, added } = await outcomes(
      'pg',
      () => 'SELECT 1',
      async (name, { run }) => {
        const [row] = await run(
          "SELECT nspname FROM pg_namespace WHERE oid = (SELECT relnamespace FROM pg_class WHERE relname = 'counters' ORDER BY oid DESC LIMIT 1)",
        );
        await run(`SET LOCAL search_path = ${String(row?.['nspname'])}`);
        await run(sql(name));
      },
    );
    expectClean([...texts, ...printed, ...added]);
    // The handler's own error: it is told, but for the row.
    expect(added.join('\n')).toContain(said);
  });

  it('a dead row keeps the message that was thrown, within its bound and without credentials', async () => {
    const schema = await newSchema(postgres());
    const store = postgresOutboxStore(postgres().newPool(), { schema });
    const broker = newBroker();
    await send(broker, ['a']);
    await lastValueFrom(
      fromMemory(broker, { groupId: 'g', topics: ['in'], until: 'end' }).pipe(
        withOutbox(store, (value, { emit }) => emit({ topic: 'out', value: `${textOf(value)} ${ROW}` })),
      ),
      { defaultValue: null },
    );
    const error = new Error(
      `no\0 account: postgres://app:${PASSWORD}@db/x refused, password="${PASSWORD}" ${'é'.repeat(9_000)}`,
    );
    await lastValueFrom(
      fromOutbox(store, { until: 'end', pollMs: 10 }).pipe(
        handle(() => {
          throw permanent(error);
        }),
        ackEach(),
      ),
      { defaultValue: null },
    );
    const [row] = await postgres().query<{ last_error: string }>(`SELECT last_error FROM ${schema}.outbox`);
    expect(row?.last_error).toMatch(/^Error: no account: postgres:\/\/\*\*\*@db\/x refused, password=\*\*\* é+$/);
    expect(Buffer.byteLength(row?.last_error ?? '')).toBeLessThanOrEqual(2_048);
    expectClean([row?.last_error ?? '']);
  });
});
