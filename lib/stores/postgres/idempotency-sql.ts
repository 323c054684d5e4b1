import { qualified, type ResolvedNames } from './postgres-names.js';

/**
 * The statements of the idempotency store. `$1` is the consumer, `$2` the keys in order, `$3` the token of a claim or the
 * tokens of the keys. Each answers with the numbers `n`, from 1, of what it did *not* act on: mostly nothing.
 * @internal
 */
export interface IdempotencySql {
  /** `$4` the lease in ms, `$5` our own tokens of unknown fate. Says `done` of each `n` too. */
  readonly claim: string;
  /** `$4` the lease in ms. */
  readonly renew: OnClaims;
  readonly confirm: OnClaims;
  readonly release: OnClaims;
}

/** The same for keys that were claimed by one call, the first token, and for any: matching pairs takes a third longer. @internal */
export interface OnClaims {
  readonly oneToken: string;
  readonly anyToken: string;
}

/**
 * Each finds its rows one by one in the primary key: an upsert by its nature, the others since no planner reads a table whole for a
 * list of keys that it does not know. The keys come in one order, so that two statements rarely wait for each other in a
 * circle; and a row is judged as it is once locked, by the server's clock at that moment. `keySql`: what is stored of `key`.
 * @internal
 */
export function idempotencySql(names: ResolvedNames, keySql: string): IdempotencySql {
  const table = qualified(names, 'processedEvents');
  const until = `clock_timestamp() + $4::float8 * interval '1 millisecond'`;
  const keys = `ARRAY(SELECT ${keySql} FROM unnest($2::text[]) AS key)`;
  // Mostly it acted on all, and nobody looks which they are.
  const rest = `FROM unnest($2::text[]) WITH ORDINALITY AS asked (key, n)
    WHERE (SELECT count(*) FROM acted) < cardinality($2::text[]) AND NOT EXISTS (SELECT FROM acted WHERE acted.event_id = ${keySql})`;
  // What is no longer there is not made anew.
  const onClaims = (set: string, where: string): OnClaims => ({
    oneToken: `WITH acted AS (
        UPDATE ${table} AS p SET ${set}
        WHERE p.consumer = $1 AND p.event_id = ANY (${keys}) AND p.token = ($3::uuid[])[1] AND ${where}
        RETURNING p.event_id
      ) SELECT n::int AS n ${rest}`,
    anyToken: `WITH asked AS MATERIALIZED (
        SELECT ${keySql} AS event_id, token, n FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS asked (key, token, n)
      ), acted AS (
        UPDATE ${table} AS p SET ${set} FROM asked
        WHERE p.consumer = $1 AND p.event_id = ANY (ARRAY(SELECT event_id FROM asked))
          AND p.event_id = asked.event_id AND p.token = asked.token AND ${where}
        RETURNING asked.n
      )
      SELECT n::int AS n FROM asked
      WHERE (SELECT count(*) FROM acted) < cardinality($2::text[]) AND NOT EXISTS (SELECT FROM acted WHERE acted.n = asked.n)`,
  });

  return {
    claim: `WITH acted AS (
        INSERT INTO ${table} AS p (consumer, event_id, token, leased_until)
        SELECT $1, ${keySql}, $3::uuid, ${until} FROM unnest($2::text[]) AS key
        ON CONFLICT (consumer, event_id) DO UPDATE SET token = excluded.token, leased_until = ${until}
        WHERE p.processed_at IS NULL AND (p.leased_until <= clock_timestamp() OR p.token = ANY ($5::uuid[]))
        RETURNING event_id
      )
      SELECT n::int AS n, coalesce((
        SELECT p.processed_at IS NOT NULL FROM ${table} AS p WHERE p.consumer = $1 AND p.event_id = ${keySql}
      ), false) AS done ${rest}`,

    renew: onClaims(`leased_until = ${until}`, 'p.processed_at IS NULL'),

    // What is processed by this token already is confirmed again: the answer to its confirm may have been lost.
    confirm: onClaims('leased_until = NULL, processed_at = coalesce(p.processed_at, clock_timestamp())', 'true'),

    // The row stays: most often it is claimed again in a moment.
    release: onClaims("token = NULL, leased_until = '-infinity'", 'p.processed_at IS NULL'),
  };
}
