import { qualified, type ResolvedNames } from './postgres-names.js';

/**
 * The statements of the lease store. `$1` is the consumer, `$2` the stream, `$3` the shards, none of them twice.
 * @internal
 */
export interface LeaseSql {
  /** Without `$3` → the rows; numbers as text, for they exceed 32 bits, and `parents` as JSON. */
  readonly list: string;
  /** `$4` to `$10`: `counter`, `owner`, `wanted_by`, `checkpoint`, `acked`, `done_until_ms`, `parents` of each shard. */
  readonly add: string;
  /** The same → the shards that it replaced. */
  readonly write: string;
  /** `$4` the counters. */
  readonly remove: string;
}

const COLUMNS = ['counter', 'owner', 'wanted_by', 'checkpoint', 'acked', 'done_until_ms', 'parents'] as const;
// No array of arrays: those are rectangular. Each row's parents are the text of an array.
const GIVEN = `unnest($3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::text[])
    AS given (shard, ${COLUMNS.join(', ')})`;

/**
 * Each takes its rows by the primary key and in the order of their shards, so that two of them cannot wait for each other in
 * a circle, and judges a row as it is once locked.
 * @internal
 */
export function leaseSql(names: ResolvedNames): LeaseSql {
  const table = qualified(names, 'shardLeases');
  const values = COLUMNS.map((column) => (column === 'parents' ? 'given.parents::text[]' : `given.${column}`));
  const locked = `WITH locked AS MATERIALIZED (
      SELECT shard FROM ${table} WHERE consumer = $1 AND stream = $2 AND shard = ANY ($3::text[]) ORDER BY shard FOR UPDATE
    )`;
  const row = `l.consumer = $1 AND l.stream = $2 AND l.shard = ANY (ARRAY(SELECT shard FROM locked)) AND l.shard = given.shard`;

  return {
    list: `SELECT shard, counter::text AS counter, owner, wanted_by, checkpoint, acked, done_until_ms::text AS done_until_ms,
      to_json(parents)::text AS parents FROM ${table} WHERE consumer = $1 AND stream = $2`,

    add: `INSERT INTO ${table} (consumer, stream, shard, ${COLUMNS.join(', ')})
    SELECT $1, $2, given.shard, ${values.join(', ')} FROM ${GIVEN} ORDER BY given.shard COLLATE "C"
    ON CONFLICT (consumer, stream, shard) DO NOTHING`,

    write: `${locked} UPDATE ${table} AS l SET (${COLUMNS.join(', ')}, updated_at) = ROW (${values.join(', ')}, clock_timestamp())
    FROM ${GIVEN} WHERE ${row} AND l.counter = given.counter - 1 RETURNING l.shard`,

    remove: `${locked} DELETE FROM ${table} AS l USING unnest($3::text[], $4::bigint[]) AS given (shard, counter)
    WHERE ${row} AND l.counter = given.counter`,
  };
}
