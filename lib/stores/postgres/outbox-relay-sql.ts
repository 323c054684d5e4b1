import { qualified, quoted, type ResolvedNames } from './postgres-names.js';

/**
 * The statements of the relay. None is prepared under a name: each is planned for the table as it is.
 * @internal
 */
export interface OutboxRelaySql {
  /** `$1` the token, `$2` the lease in ms, `$3` the most rows, `$4` those of a lane, `$5` bytes, `$6` how many of the oldest it looks at. */
  readonly claimOldest: string;
  /** `$6` is the lane behind which it begins to go from lane to lane. → `last`, the lane where it stopped, or null. */
  readonly claimLanes: string;
  /** `$1` the ids, `$2` their tokens, each → the numbers `n`, from 1, of those that it did not act on. `$3` the lease in ms. */
  readonly renew: string;
  readonly published: string;
  /** `$3` the errors. */
  readonly dead: string;
  /** `$3` the attempts made. */
  readonly release: string;
  /** → `rows`, of which it counts at most `$1`, and `oldest` in ms. */
  readonly lag: string;
}

const PENDING = 'published_at IS NULL AND dead_at IS NULL';
const LEASED = 'coalesce(leased_until > clock_timestamp(), false)';
// None of these reads what is stored out of line.
const SIZE = 'coalesce(octet_length(payload), 0) + coalesce(octet_length(key), 0) + pg_column_size(headers)';
const MAX_LANES = 250;

/** @internal */
export function outboxRelaySql(names: ResolvedNames): OutboxRelaySql {
  const table = qualified(names, 'outbox');
  const until = (parameter: string): string => `clock_timestamp() + ${parameter}::float8 * interval '1 millisecond'`;
  const row = `id, lane, ${LEASED} AS leased, ${SIZE} AS size`;

  // A run begins with the oldest row of its lane, or others could have that: it stops at the first row that is leased. What
  // another claim has locked meanwhile cuts it off as well. Lists of ids leave the planner no choice but the primary key.
  const claim = (seen: string, told: string): string => `${seen}, numbered AS (
      SELECT id, lane, size, CASE WHEN lane IS NULL THEN NOT leased ELSE row_number() OVER run <= $4 AND NOT bool_or(leased) OVER run END AS free
      FROM seen WINDOW run AS (PARTITION BY lane ORDER BY id)
    ), counted AS (
      SELECT id, lane, row_number() OVER (ORDER BY id) AS place, sum(size) OVER (ORDER BY id) AS bytes FROM numbered WHERE free
    ), picked AS MATERIALIZED (
      SELECT id, lane, row_number() OVER (PARTITION BY lane ORDER BY id) AS place FROM counted
      WHERE place <= $3 AND (bytes <= $5 OR place = 1)
    ), locked AS MATERIALIZED (
      SELECT id FROM ${table} WHERE id = ANY (ARRAY(SELECT id FROM picked)) AND ${PENDING} AND NOT ${LEASED}
      ORDER BY id FOR UPDATE SKIP LOCKED
    ), ours AS (
      SELECT id FROM (
        SELECT id, lane, place, row_number() OVER (PARTITION BY lane ORDER BY id) AS kept FROM picked JOIN locked USING (id)
      ) AS both_of WHERE lane IS NULL OR place = kept
    ), claimed AS (
      UPDATE ${table} SET token = $1::uuid, leased_until = ${until('$2')}, attempts = attempts + 1
      WHERE id = ANY (ARRAY(SELECT id FROM ours))
      RETURNING id, message_id::text AS message_id, topic, key, lane::text AS lane, payload, headers::text AS headers,
        ${quoted('partition')} AS part, timestamp_ms::float8 AS timestamp_ms, attempts,
        (extract(epoch FROM created_at) * 1000)::float8 AS stored_at
    )
    SELECT told.*, claimed.*, claimed.id::text AS id FROM (SELECT ${told}) AS told LEFT JOIN claimed ON true ORDER BY claimed.id`;

  // What is done already is done again by the same token: the answer to the first may have been lost.
  const asked = (given: string): string => `WITH asked AS MATERIALIZED (
      SELECT id, token, n${given === '' ? '' : ', given'} FROM unnest($1::bigint[], $2::uuid[]${given === '' ? '' : `, $3::${given}[]`})
        WITH ORDINALITY AS asked (id, token${given === '' ? '' : ', given'}, n)
    )`;
  const rest = 'SELECT n::int AS n FROM asked WHERE NOT EXISTS (SELECT FROM acted WHERE acted.n = asked.n)';
  const ours = 'o.id = ANY ($1::bigint[]) AND o.id = asked.id AND o.token = asked.token';
  const mark = (set: string, where: string, given = ''): string => `${asked(given)}, acted AS (
      UPDATE ${table} AS o SET ${set} FROM asked WHERE ${ours} AND ${where} RETURNING asked.n
    ) ${rest}`;

  return {
    claimOldest: claim(
      `WITH seen AS MATERIALIZED (SELECT ${row} FROM ${table} WHERE ${PENDING} ORDER BY id LIMIT $6)`,
      '(SELECT count(*)::int FROM seen) AS seen',
    ),
    claimLanes: claim(
      `WITH RECURSIVE heads AS (
          (SELECT lane, 1 AS place FROM ${table} WHERE ${PENDING} AND lane > $6 ORDER BY lane, id LIMIT 1)
        UNION ALL
          SELECT next.lane, heads.place + 1 FROM heads, LATERAL (
            SELECT lane FROM ${table} WHERE ${PENDING} AND lane > heads.lane ORDER BY lane, id LIMIT 1
          ) AS next WHERE heads.place < ${MAX_LANES}
        ), seen AS MATERIALIZED (
          SELECT run.* FROM heads, LATERAL (
            SELECT ${row} FROM ${table} WHERE ${PENDING} AND lane = heads.lane ORDER BY id LIMIT $4
          ) AS run
        UNION ALL
          (SELECT ${row} FROM ${table} WHERE ${PENDING} AND lane IS NULL AND NOT ${LEASED} ORDER BY id LIMIT $3)
        )`,
      `(SELECT lane::text FROM heads WHERE place = ${MAX_LANES}) AS last`,
    ),
    renew: mark(`leased_until = ${until('$3')}`, PENDING),
    published: mark(
      'published_at = coalesce(o.published_at, clock_timestamp()), leased_until = NULL',
      'o.dead_at IS NULL',
    ),
    dead: mark(
      'dead_at = coalesce(o.dead_at, clock_timestamp()), leased_until = NULL, last_error = asked.given',
      'o.published_at IS NULL',
      'text',
    ),
    release: mark('leased_until = NULL, token = NULL, attempts = asked.given', PENDING, 'int'),
    lag: `SELECT (SELECT count(*)::int FROM (SELECT id FROM ${table} WHERE ${PENDING} ORDER BY id LIMIT $1) AS counted) AS rows,
      coalesce((
        SELECT (extract(epoch FROM clock_timestamp() - created_at) * 1000)::float8 FROM ${table} WHERE ${PENDING} ORDER BY id LIMIT 1
      ), 0) AS oldest`,
  };
}
