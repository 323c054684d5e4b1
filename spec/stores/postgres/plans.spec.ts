import { expect, it } from '@jest/globals';
import { idempotencySql } from '../../../lib/stores/postgres/idempotency-sql.js';
import { leaseSql } from '../../../lib/stores/postgres/lease-sql.js';
import { outboxRelaySql } from '../../../lib/stores/postgres/outbox-relay-sql.js';
import { outboxWriteSql } from '../../../lib/stores/postgres/outbox-write-sql.js';
import { resolveNames } from '../../../lib/stores/postgres/postgres-names.js';
import { storedKeySql } from '../../../lib/stores/postgres/stored-key.js';
import { laneSql } from '../../../lib/stores/postgres/postgres-schema.js';
import { postgresSchema } from '../../../lib/postgres.js';
import { describePostgres } from '../../servers/describe-postgres.js';
import type { PostgresTestClient } from '../../servers/postgres-test-client.js';

const ROWS = 1_000_000;
const TOKEN = '00000000-0000-4000-8000-000000000000';

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly Plans?: readonly PlanNode[];
}

const nodesOf = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)];

/** How each statement finds its rows: the tables that it reads whole, and the indexes that it uses. */
async function planOf(postgres: PostgresTestClient, sql: string, parameters: readonly unknown[]) {
  const [row] = await postgres.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
    `EXPLAIN (FORMAT JSON) ${sql}`,
    parameters,
  );
  const nodes = nodesOf((row as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'][0].Plan);
  return {
    whole: nodes.filter((node) => node['Node Type'] === 'Seq Scan').map((node) => node['Relation Name']),
    indexes: [...new Set(nodes.flatMap((node) => node['Index Name'] ?? []))].sort(),
  };
}

/** A hot lane, many small ones and rows without a key. */
async function filled(postgres: PostgresTestClient): Promise<string> {
  const schema = await postgres.createSchema();
  await postgres.query(postgresSchema({ schema }));
  await postgres.query(`ALTER TABLE ${schema}.outbox SET (autovacuum_enabled = false);
    ALTER TABLE ${schema}.processed_events SET (autovacuum_enabled = false);
    ALTER TABLE ${schema}.shard_leases SET (autovacuum_enabled = false)`);
  await postgres.query(`INSERT INTO ${schema}.outbox (topic, key, lane, payload)
    SELECT 'out', key, ${laneSql("'out'", 'key')}, '\\x00' FROM (
      SELECT CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '\\x00'::bytea ELSE convert_to('key ' || n % 50000, 'UTF8') END AS key
      FROM generate_series(1, ${ROWS}) AS n
    ) AS keys`);
  await postgres.query(`INSERT INTO ${schema}.processed_events (consumer, event_id, processed_at)
    SELECT 'me', 'key ' || n, now() FROM generate_series(1, ${ROWS}) AS n`);
  await postgres.query(`INSERT INTO ${schema}.shard_leases (consumer, stream, shard, counter, checkpoint, acked, done_until_ms, parents)
    SELECT 'consumer ' || n % 1000, 'stream', 'key ' || n, 1, '', '', 0, '{}' FROM generate_series(1, ${ROWS / 10}) AS n`);
  return schema;
}

const analyze = (schema: string): string =>
  `ANALYZE ${schema}.outbox, ${schema}.processed_events, ${schema}.shard_leases`;
const publishNearlyAll = (schema: string): string =>
  `UPDATE ${schema}.outbox SET published_at = now() WHERE id < ${ROWS - 20}`;

async function expectIndexes(postgres: PostgresTestClient, schema: string): Promise<void> {
  const names = resolveNames('spec', { schema });
  const [relay, write, keys] = [
    outboxRelaySql(names),
    outboxWriteSql(names, null),
    idempotencySql(names, storedKeySql('key')),
  ];
  const leases = leaseSql(names);
  const ids = Array.from({ length: 1_000 }, (_, n) => String(ROWS - n));
  const tokens = ids.map(() => TOKEN);
  const texts = ids.map((id) => `key ${id}`);
  const plan = (sql: string, ...parameters: readonly unknown[]) => planOf(postgres, sql, parameters);
  const group = ['consumer 7', 'stream'];
  const counters = ids.map(() => 1);
  const rows = [texts, counters, texts, texts, texts, texts, counters, ids.map(() => '{}')];
  const oldest = [TOKEN, 30_000, 1_000, 100, 1e8, 2_000];
  const byLane = [TOKEN, 30_000, 1_000, 100, 1e8, '-9223372036854775808'];

  expect((await plan(relay.claimOldest, ...oldest)).indexes).toContain('outbox_pending');
  expect((await plan(relay.claimLanes, ...byLane)).indexes).toContain('outbox_lanes');
  const plans = {
    claimOldest: await plan(relay.claimOldest, ...oldest),
    claimLanes: await plan(relay.claimLanes, ...byLane),
    renew: await plan(relay.renew, ids, tokens, 30_000),
    published: await plan(relay.published, ids, tokens),
    dead: await plan(relay.dead, ids, tokens, texts),
    release: await plan(
      relay.release,
      ids,
      tokens,
      ids.map(() => 1),
    ),
    lag: await plan(relay.lag, 10_001),
    record: await plan(write.record, 'me', texts, TOKEN),
    recordOne: await plan(write.recordOne('me', 'key 7', TOKEN).text),
    forget: await plan(write.forget, 'me', texts),
    claim: await plan(keys.claim, 'me', texts, TOKEN, 30_000, []),
    renewKeys: await plan(keys.renew.oneToken, 'me', texts, tokens, 30_000),
    confirm: await plan(keys.confirm.oneToken, 'me', texts, tokens),
    releaseKeys: await plan(keys.release.oneToken, 'me', texts, tokens),
    renewAny: await plan(keys.renew.anyToken, 'me', texts, tokens, 30_000),
    confirmAny: await plan(keys.confirm.anyToken, 'me', texts, tokens),
    releaseAny: await plan(keys.release.anyToken, 'me', texts, tokens),
    listLeases: await plan(leases.list, ...group),
    addLeases: await plan(leases.add, ...group, ...rows),
    writeLeases: await plan(leases.write, ...group, ...rows),
    removeLeases: await plan(leases.remove, ...group, texts, counters),
  };
  expect(Object.entries(plans).filter(([, { whole }]) => whole.length > 0)).toEqual([]);
}

describePostgres(`on ${ROWS.toLocaleString('en')} rows no statement reads a table whole`, (postgres) => {
  it('without statistics: of a backlog, and of one that is published by now', async () => {
    const schema = await filled(postgres());
    await expectIndexes(postgres(), schema);
    await postgres().query(publishNearlyAll(schema));
    await expectIndexes(postgres(), schema);
    await postgres().query(analyze(schema));
    await expectIndexes(postgres(), schema);
  });

  it('with statistics: of a backlog, and after it was published', async () => {
    const schema = await filled(postgres());
    await postgres().query(analyze(schema));
    await expectIndexes(postgres(), schema);
    await postgres().query(publishNearlyAll(schema));
    await expectIndexes(postgres(), schema);
  });
});
