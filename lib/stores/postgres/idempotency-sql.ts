import { qualified, type ResolvedNames } from './postgres-names.js';
import { storedKeySql } from './stored-key.js';

/**
 * The statements of the idempotency store. `$1` is the consumer, `$2` the keys, `$3` the token of a claim or the tokens
 * of the keys; nothing comes twice. Each answers with the numbers `n`, from 1, of what it did *not* act on: mostly nothing.
 * @internal
 */
export interface IdempotencySql {
  /** `$4` the lease in ms, `$5` our own tokens of unknown fate. Says `done` of each `n` too. */
  readonly claim: string;
  /** `$4` the lease in ms. */
  readonly renew: string;
  readonly confirm: string;
  readonly release: string;
}

/**
 * Every one is an upsert. It finds its rows one by one in the primary key, so no planner can choose to read the table,
 * not even a large one without statistics; it takes them in the order of their keys, so two of them cannot wait for each
 * other in a circle; and it judges a row as it is once locked, by the server's clock at that moment.
 * @internal
 */
export function idempotencySql(names: ResolvedNames): IdempotencySql {
  const table = qualified(names, 'processedEvents');
  const until = `clock_timestamp() + $4::float8 * interval '1 millisecond'`;
  const row = `${table} AS p WHERE p.consumer = $1 AND p.event_id = asked.event_id`;
  const upsert = (given: string, rows: string, onConflict: string): string => `WITH asked AS (
      SELECT ${storedKeySql('key')} AS event_id, ${given}
    ), acted AS (
      INSERT INTO ${table} AS p (consumer, event_id, token, leased_until, processed_at)
      SELECT $1, asked.event_id, ${rows} ORDER BY asked.event_id
      ON CONFLICT (consumer, event_id) DO UPDATE SET ${onConflict}
      RETURNING event_id
    )`;
  const rest = 'FROM asked WHERE NOT EXISTS (SELECT FROM acted WHERE acted.event_id = asked.event_id)';
  // What is no longer there is not made anew; what is there is judged under its lock.
  const onClaims = (leasedUntil: string, processedAt: string, set: string): string =>
    `${upsert(
      'token, n FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS asked (key, token, n)',
      `asked.token, ${leasedUntil}, ${processedAt} FROM asked WHERE (SELECT p.token FROM ${row}) = asked.token`,
      `${set} AND p.token = excluded.token`,
    )} SELECT n::int AS n ${rest}`;

  return {
    claim: `${upsert(
      'n FROM unnest($2::text[]) WITH ORDINALITY AS asked (key, n)',
      `$3::uuid, ${until}, NULL FROM asked`,
      `token = excluded.token, leased_until = ${until}
      WHERE p.processed_at IS NULL AND (p.leased_until <= clock_timestamp() OR p.token = ANY ($5::uuid[]))`,
    )} SELECT n::int AS n, coalesce((SELECT p.processed_at IS NOT NULL FROM ${row}), false) AS done ${rest}`,

    renew: onClaims(until, 'NULL::timestamptz', `leased_until = ${until} WHERE p.processed_at IS NULL`),

    // What is processed by this token already is confirmed again: the answer to its confirm may have been lost.
    confirm: onClaims(
      'NULL::timestamptz',
      'clock_timestamp()',
      'leased_until = NULL, processed_at = coalesce(p.processed_at, excluded.processed_at) WHERE true',
    ),

    // The row stays: most often it is claimed again in a moment.
    release: onClaims(
      "'-infinity'::timestamptz",
      'NULL::timestamptz',
      "token = NULL, leased_until = '-infinity' WHERE p.processed_at IS NULL",
    ),
  };
}
