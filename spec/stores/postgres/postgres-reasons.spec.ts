import { describe, expect, it } from '@jest/globals';
import type { PoolClient } from 'pg';
import { firstValueFrom, from, lastValueFrom } from 'rxjs';
import type { OutboxTransaction, SluiceError } from 'rxsluice';
import { postgresIdempotencyStore, postgresOutboxStore } from 'rxsluice/postgres';
import { postgresError, type PostgresCall } from '../../../lib/stores/postgres/postgres-errors.js';
import { resolveNames } from '../../../lib/stores/postgres/postgres-names.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import { freePorts } from '../../servers/free-ports.js';
import { newBroker, newSchema, send, start, textOf, writes } from '../../support/outbox-processing.js';
import { outboxRoad, ROADS } from '../../support/outbox-road.js';
import { until } from '../../support/until.js';
import { Pool } from 'pg';

const CALL: PostgresCall = { owner: 'store', names: resolveNames('store', {}), table: 'outbox' };

const serverError = (code: string, more: object = {}): Error =>
  Object.assign(new Error('value "card 4111" is odd'), { code, severity: 'ERROR', ...more });

describe('an error of Postgres', () => {
  it.each([
    [
      '25P03',
      'connection-failed',
      'Postgres says 25P03 (idle_in_transaction_session_timeout). Postgres ended the connection',
    ],
    ['25P04', 'connection-failed', 'took longer than transaction_timeout'],
    [
      '57P01',
      'connection-failed',
      'Postgres says 57P01 (admin_shutdown). The server shuts down, or somebody has ended',
    ],
    ['57P02', 'connection-failed', 'The server has crashed'],
    ['57P03', 'connection-failed', 'takes no connections meanwhile'],
    ['57P05', 'connection-failed', 'idle_session_timeout'],
    ['53300', 'connection-failed', 'too_many_connections'],
    ['53100', 'connection-failed', 'disk_full'],
    ['25006', 'connection-failed', 'it is a standby'],
    [
      '08006',
      'connection-failed',
      'Postgres says 08006 (connection_exception). There is no connection to Postgres, or it was lost.',
    ],
    ['28P01', 'authentication-failed', 'refused the credentials'],
    ['42P01', 'schema-mismatch', 'run the migration rxsluice_0002_outbox'],
    ['42501', 'not-authorized', 'Grant SELECT'],
    ['55P03', 'store-failed', 'lock_timeout'],
    ['57014', 'store-failed', 'statement_timeout'],
    ['54000', 'store-failed', 'program_limit_exceeded'],
    ['XX001', 'store-failed', 'look at its log'],
    ['0A000', 'store-failed', 'Postgres says 0A000. Look at the log of the server'],
  ])('of state %s is %s, and says why', (state, code, why) => {
    const { message, ...error } = postgresError(CALL, serverError(state));
    expect(error.code).toBe(code);
    expect(message).toMatch(/^store: Postgres says .*[^.]\.$/);
    expect(message).toContain(why);
    expect(message).not.toContain('4111');
  });

  it('names constraint, column and table, and no row', () => {
    const given = serverError('23505', {
      constraint: 'one_topic',
      table: 'outbox',
      column: '',
      detail: 'Key (topic)=(card 4111) already exists.',
      where: 'card 4111',
    });
    const error = postgresError(CALL, given);
    expect(error.message).toBe(
      'store: Postgres says 23505 (unique_violation), constraint "one_topic", table "outbox". A constraint of your own on the ' +
        'table, or a trigger, does not take what we write.',
    );
    expect(JSON.stringify(error.cause)).not.toContain('4111');
  });

  it.each([
    [
      'of the driver',
      new Error('Connection terminated unexpectedly'),
      'store: Connection terminated unexpectedly. There is',
    ],
    [
      'of the pool',
      new Error('timeout exceeded when trying to connect'),
      'store: timeout exceeded when trying to connect. ',
    ],
    [
      'of its sign-in',
      new Error('SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string'),
      'store: SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string. ',
    ],
    ['of anybody else', new TypeError('card 4111'), 'store: TypeError. There is no connection'],
    [
      'that begins as one of the driver',
      new Error('Connection string postgres://a:4111@b/c is none'),
      'store: Error. ',
    ],
    [
      'of a pool that wraps what the server says',
      new Error('timeout', {
        cause: serverError('22P02', { message: 'invalid input: "card 4111"', table: 'card 4111' }),
      }),
      'store: Error. Before that Postgres says 22P02 (invalid_text_representation). ',
    ],
  ])('%s says what it may', (_, given, told) => {
    const { code, message } = postgresError(CALL, given);
    expect([code, message.slice(0, told.length)]).toEqual(['connection-failed', told]);
    expect(message).not.toContain('4111');
  });

  it('names the address where nobody listens', async () => {
    const [port] = (await freePorts(1)) as [number];
    const pool = new Pool({ host: '127.0.0.1', port });
    const store = postgresIdempotencyStore(pool, { consumer: 'c' });
    const error = await lastValueFrom(from(store.claim(['a'], 1_000))).catch((failure: SluiceError) => failure);
    expect(error).toMatchObject({ code: 'connection-failed' });
    expect((error as SluiceError).message).toContain(`connect ECONNREFUSED 127.0.0.1:${port}. There is no connection`);
    await pool.end();
  });
});

describePostgres('an error of a transaction', (postgres) => {
  const deadLetters = async (
    kind: (typeof ROADS)[number],
    handler: Parameters<typeof start>[2],
    options: object = {},
  ) => {
    const schema = await newSchema(postgres());
    await postgres().query(`INSERT INTO ${schema}.counters VALUES ('taken', 1)`);
    const broker = newBroker();
    await send(broker, ['a', 'bad', 'c']);
    const { outbox } = outboxRoad(kind, postgres(), { schema });
    const processing = start(
      broker,
      outbox,
      async (name, context) => {
        await writes(schema)(name, context);
        if (name !== 'bad') return;
        await context.run(`SET LOCAL search_path = ${schema}`);
        await handler(name, context);
      },
      { concurrency: 1, ...options },
    );
    await until('all are settled', () => processing.settled() === 3);
    processing.stop();
    return broker.messages('dlq').map(({ value, headers }) => ({
      value: textOf(value),
      message: String(headers['dead-letter-error-message']),
      causes: String(headers['dead-letter-error-causes']),
    }));
  };

  const swallows =
    (more: Parameters<typeof start>[2] = () => Promise.resolve()): Parameters<typeof start>[2] =>
    async (name, context) => {
      await context.run("INSERT INTO counters VALUES ('taken', 2)").catch(() => undefined);
      await more(name, context);
    };

  it.each(ROADS.flatMap((kind) => [1, 8].map((group) => [kind, group] as const)))(
    'over %s names the first failure where the handler passed over it, in a group of %d',
    async (kind, group) => {
      const letters = await deadLetters(kind, swallows(), { group });
      expect(letters).toEqual([
        {
          value: 'bad',
          message: expect.stringContaining(
            'Postgres says 25P02 (in_failed_sql_transaction). Before that Postgres says 23505 (unique_violation), ' +
              'constraint "counters_pkey", table "counters". A statement of the transaction failed before',
          ),
          causes: expect.stringContaining('23505'),
        },
      ]);
      expect(JSON.stringify(letters)).not.toContain('taken');
    },
  );

  it('names it as a cause of what the handler meets next', async () => {
    const [letter] = await deadLetters(
      'kysely',
      swallows((_, { run }) => run('SELECT 1')),
    );
    expect(letter).toMatchObject({
      message: expect.stringContaining('current transaction is aborted'),
      causes: 'Error 23505: Postgres says 23505 (unique_violation), constraint "counters_pkey", table "counters".',
    });
  });

  it('does not name one that the handler has undone by a savepoint of its own', async () => {
    const [letter] = await deadLetters('pg', async (_, { run }) => {
      await run('SAVEPOINT mine');
      await run("INSERT INTO counters VALUES ('taken', 2)").catch(() => undefined);
      await run('ROLLBACK TO mine');
      await run('SELECT 1 / 0').catch(() => undefined);
    });
    expect(letter?.message).toContain('Before that Postgres says 22012 (data_exception). ');
  });

  const begun = async (pool: Pool): Promise<OutboxTransaction<PoolClient>> => {
    const schema = await newSchema(postgres());
    const transaction = await firstValueFrom(postgresOutboxStore(pool, { schema }).transaction('c'));
    await lastValueFrom(from(transaction.record(['key'])));
    return transaction;
  };

  const failureOf = (input: Promise<unknown>): Promise<SluiceError> =>
    input.then(
      () => {
        throw new Error('it worked');
      },
      (error: SluiceError) => error,
    );

  it('says what the server said as it ended a connection that was idle: an administrator, a time-out', async () => {
    const ended = async (
      config: object,
      end: (pid: number) => Promise<unknown>,
      ...states: string[]
    ): Promise<void> => {
      const pool = postgres().newPool(config);
      const transaction = await begun(pool);
      const { tx } = transaction.begin(true);
      const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const gone = new Promise((resolve) => tx.once('error', resolve));
      await end(rows[0]?.pid as number);
      await gone;
      expect(await failureOf(tx.query('SELECT 1'))).toMatchObject({ code: states[0] });
      const done = lastValueFrom(from(transaction.commit({ messages: [], forget: [] })));
      const { code, message } = await failureOf(done);
      expect(code).toBe('connection-failed');
      for (const state of states) expect(message).toContain(state);
    };
    const nothing = (): Promise<void> => Promise.resolve();
    await ended({}, (pid) => postgres().query('SELECT pg_terminate_backend($1)', [pid]), '57P01', 'admin_shutdown');
    await ended(
      { options: '-c idle_in_transaction_session_timeout=200' },
      nothing,
      '25P03',
      'idle for longer than idle_in_transaction_session_timeout',
    );
  });

  it('is kept with a row that is dead', async () => {
    const schema = await newSchema(postgres());
    const { store } = outboxRoad('pg', postgres(), { schema });
    await postgres().query(`INSERT INTO ${schema}.outbox (topic, payload) VALUES ('out', 'x')`);
    const [row] = await lastValueFrom(from(store.claim({ limit: 1, perLane: 1, maxBytes: 1e6, leaseMs: 60_000 })));
    const error = `a\0b ${'é'.repeat(1_000)}`;
    await lastValueFrom(from(store.dead([{ id: row?.id ?? '', token: row?.token ?? '', error }])));
    const [kept] = await postgres().query<{ last_error: string }>(`SELECT last_error FROM ${schema}.outbox`);
    expect(kept?.last_error).toBe(error.replace('\0', ''));
  });
});
