import { concat, concatMap, defer, EMPTY, expand, map, of, type Observable } from 'rxjs';
import { checkNames, checkOptions } from '../../core/options.js';
import { CALL_RULES } from './postgres-call-options.js';
import type { PostgresLike } from './postgres-client.js';
import { connectionsOf, type Connections } from './postgres-connection.js';
import { NAME_OPTIONS, qualified, resolveNames, type PostgresNames, type ResolvedNames } from './postgres-names.js';
import { runStatement } from './postgres-statement.js';

/** What is purged, and when. @public */
export interface PostgresPurgeOptions extends PostgresNames {
  /**
   * How long a processed key is kept, in milliseconds, at least 0. It must exceed the longest time after
   * which a message can come again: the retention of the topic, all retries, a redrive of dead letters. Default: 14 days.
   */
  readonly processedMs?: number;
  /** How long a published row of the outbox is kept, in milliseconds, at least 0. Default: 1 day. */
  readonly publishedMs?: number;
  /** Which tables. Default: both. */
  readonly tables?: readonly PostgresPurged['table'][];
  /** How many pages of 8 kB one statement looks at, a whole number from 1 to 10,000; of a partition at least one. Default: 128. */
  readonly pages?: number;
  /** How long one statement may take, the wait for a connection included, in milliseconds, at least 100. Default: 10,000. */
  readonly timeoutMs?: number;
}

/** One statement of a purge. @public */
export interface PostgresPurged {
  /** Which table. */
  readonly table: 'processedEvents' | 'outbox';
  /** How many rows it removed. */
  readonly removed: number;
  /** How far through the table it is, up to 1. */
  readonly progress: number;
}

type Purged = PostgresPurged['table'];

const OWNER = 'postgresPurge';
const DAY_MS = 86_400_000;
const PURGED: readonly Purged[] = ['processedEvents', 'outbox'];

// `$1` is the age in ms. A claim that nobody confirmed goes with what was processed at that time.
const OLD: Readonly<Record<Purged, string>> = {
  processedEvents: 'coalesce(processed_at, leased_until) < AGE',
  outbox: 'published_at < AGE',
};

/**
 * Removes what is older than its time: walks each table once, a few pages a statement, emits after each of them, and
 * completes. It needs no index, holds no lock for longer than a statement and waits for none: a row that somebody works on
 * stays until the next time. Dead rows of the outbox are never removed. A table may be partitioned: its partitions are walked side by side.
 *
 * Nothing purges by itself; run it as often as the table may grow:
 *
 * ```ts
 * timer(0, 3_600_000).pipe(exhaustMap(() => postgresPurge(db).pipe(retry({ delay: 60_000 })))).subscribe();
 * ```
 * @public
 */
export function postgresPurge(db: PostgresLike, options: PostgresPurgeOptions = {}): Observable<PostgresPurged> {
  checkNames(OWNER, options, ['processedMs', 'publishedMs', 'tables', 'pages', 'timeoutMs', ...NAME_OPTIONS]);
  const { processedMs = 14 * DAY_MS, publishedMs = DAY_MS, tables = PURGED, pages = 128, timeoutMs = 10_000 } = options;
  checkOptions(
    OWNER,
    { db, processedMs, publishedMs, tables, pages, timeoutMs },
    {
      ...CALL_RULES,
      processedMs: { min: 0 },
      publishedMs: { min: 0 },
      tables: {
        that: {
          be: "a list of 'processedEvents' and 'outbox'",
          holds: (value) => Array.isArray(value) && value.every((table) => PURGED.includes(table as Purged)),
        },
      },
      pages: { integer: true, min: 1, max: 10_000 },
    },
  );
  const names = resolveNames(OWNER, options);
  return defer(() => {
    const walk = { connections: connectionsOf(db), names, pages, timeoutMs };
    const ages = { processedEvents: processedMs, outbox: publishedMs };
    return concat(...tables.map((table) => purgeTable(walk, table, ages[table])));
  });
}

interface Walk {
  readonly connections: Connections;
  readonly names: ResolvedNames;
  readonly pages: number;
  readonly timeoutMs: number;
}

function purgeTable(
  { connections, names, pages, timeoutMs }: Walk,
  table: Purged,
  ageMs: number,
): Observable<PostgresPurged> {
  const call = { owner: OWNER, names, table };
  const { size, removeOfOne, removeOfMany } = purgeSql(qualified(names, table), OLD[table]);

  const walkFrom = (first: number, extent: Extent): Observable<PostgresPurged & { readonly next: number }> => {
    const { tables, end } = extent;
    // The same pages of each partition: together as many as are asked for.
    const next = Math.min(first + Math.max(1, Math.floor(pages / tables)), end);
    const remove = tables === 1 ? removeOfOne : removeOfMany;
    return runStatement(connections, call, timeoutMs, remove, [ageMs, `(${first},0)`, `(${next},0)`]).pipe(
      map(([row]) => ({ table, removed: Number((row as { removed: number }).removed), progress: next / end, next })),
    );
  };

  return runStatement(connections, call, timeoutMs, size, [qualified(names, table)]).pipe(
    concatMap(([row]) => {
      const { tables, pages: end } = row as { readonly tables: number; readonly pages: number };
      const extent: Extent = { tables: Math.max(1, Number(tables)), end: Number(end) };
      if (extent.end === 0) return of({ table, removed: 0, progress: 1, next: 0 });
      return walkFrom(0, extent).pipe(expand(({ next }) => (next < extent.end ? walkFrom(next, extent) : EMPTY)));
    }),
    map(({ removed, progress }) => ({ table, removed, progress })),
  );
}

interface Extent {
  /** How many tables have the rows: 1, or the partitions. */
  readonly tables: number;
  /** The pages of the largest. */
  readonly end: number;
}

interface PurgeSql {
  /** `$1` the table → `tables` that have rows, `pages` of the largest. */
  readonly size: string;
  /** `$1` the age in ms, from page `$2` to `$3` → `removed`. */
  readonly removeOfOne: string;
  readonly removeOfMany: string;
}

function purgeSql(where: string, isOld: string): PurgeSql {
  const age = `clock_timestamp() - $1::float8 * interval '1 millisecond'`;
  const old = `${where} WHERE ctid >= $2::tid AND ctid < $3::tid AND ${isOld.replace('AGE', age)} FOR UPDATE SKIP LOCKED`;
  return {
    // A table that is partitioned has no page itself; partitions are told apart by nothing but this tree.
    size: `WITH RECURSIVE tree AS (
        SELECT $1::regclass::oid AS id UNION SELECT inhrelid FROM pg_inherits JOIN tree ON inhparent = tree.id
      )
      SELECT count(*) FILTER (WHERE relkind <> 'p')::int AS tables,
        ceil(coalesce(max(pg_relation_size(tree.id)), 0) / current_setting('block_size')::float8)::int AS pages
      FROM tree JOIN pg_class ON pg_class.oid = tree.id`,
    removeOfOne: `WITH removed AS (
        DELETE FROM ${where} WHERE ctid = ANY (ARRAY(SELECT ctid FROM ${old})) RETURNING 1
      ) SELECT count(*)::int AS removed FROM removed`,
    // The place of a row is its own within its partition alone.
    removeOfMany: `WITH old AS MATERIALIZED (SELECT tableoid AS part, ctid AS place FROM ${old}), removed AS (
        DELETE FROM ${where} WHERE ctid = ANY (ARRAY(SELECT place FROM old)) AND (tableoid, ctid) IN (SELECT part, place FROM old)
        RETURNING 1
      ) SELECT count(*)::int AS removed FROM removed`,
  };
}
