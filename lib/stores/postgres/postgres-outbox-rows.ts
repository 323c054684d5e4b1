import { concatMap, defer, map, of, type Observable } from 'rxjs';
import { environment } from '../../core/environment.js';
import type { OutboxLease, OutboxRow } from '../../core/outbox-row.js';
import type { OutboxClaim, OutboxStore } from '../../core/outbox-store.js';
import { headersOf } from './outbox-headers.js';
import type { OutboxRelaySql } from './outbox-relay-sql.js';
import { UUID } from './uuid.js';

/** The half of the store that relays use. @internal */
export type PostgresOutboxRows = Pick<OutboxStore, 'claim' | 'renew' | 'published' | 'dead' | 'release' | 'lag'>;

/** @internal */
export type RunStatement = <R>(sql: string, parameters: readonly unknown[]) => Observable<readonly R[]>;

interface ClaimedRow {
  /** null where nothing was claimed. */
  readonly id: string | null;
  readonly message_id: string;
  readonly topic: string;
  readonly key: Uint8Array | null;
  readonly lane: string | null;
  readonly payload: Uint8Array | null;
  readonly headers: string;
  readonly part: number | null;
  readonly timestamp_ms: number | null;
  readonly attempts: number;
  readonly stored_at: number;
  readonly seen?: number;
  readonly last?: string | null;
}

const MAX_COUNT = 10_000;
const LEAST_SEEN = 200;
const MOST_SEEN = 16_384;
const LOWEST_LANE = '-9223372036854775808';
// Looking far costs the server up to 50 ms.
const LOOK_FAR_EVERY_MS = 500;

/** @internal */
export function postgresOutboxRows(sql: OutboxRelaySql, run: RunStatement): PostgresOutboxRows {
  let farAfter = 0;
  let lane = LOWEST_LANE;

  const claimBy = (statement: string, { limit, perLane, maxBytes, leaseMs }: OutboxClaim, from: unknown) => {
    const token = crypto.randomUUID();
    return run<ClaimedRow>(statement, [token, leaseMs, limit, perLane, maxBytes, from]).pipe(
      map((rows) => ({
        rows: rows.filter(({ id }) => id !== null).map((row) => outboxRow(row, token)),
        seen: rows[0]?.seen ?? 0,
        last: rows[0]?.last ?? null,
      })),
    );
  };

  // The oldest rows may all be leased, or belong to a few lanes; then others are found further on, at last lane by lane.
  const claimFrom = (claim: OutboxClaim, look: number): Observable<readonly OutboxRow[]> =>
    claimBy(sql.claimOldest, claim, look).pipe(
      concatMap(({ rows, seen }) => {
        if (rows.length > 0 || seen < look) return of(rows);
        if (environment.now() < farAfter) return of(rows);
        return look < MOST_SEEN ? claimFrom(claim, look * 4) : claimLanes(claim);
      }),
    );

  const claimLanes = (claim: OutboxClaim): Observable<readonly OutboxRow[]> => {
    farAfter = environment.now() + LOOK_FAR_EVERY_MS;
    return claimBy(sql.claimLanes, claim, lane).pipe(
      map(({ rows, last }) => {
        lane = last ?? LOWEST_LANE;
        return rows;
      }),
    );
  };

  const mark = (
    statement: string,
    leases: readonly OutboxLease[],
    given: readonly unknown[] = [],
  ): Observable<readonly boolean[]> =>
    defer(() => {
      if (leases.length === 0) return of([]);
      const ids = leases.map(({ id }) => id);
      const tokens = leases.map(({ token }) => (UUID.test(token) ? token : null));
      return run<{ readonly n: number }>(statement, [ids, tokens, ...given]).pipe(
        map((rows) => {
          const lost = new Set(rows.map(({ n }) => n));
          return ids.map((_, index) => !lost.has(index + 1));
        }),
      );
    });

  return {
    claim: (claim) => defer(() => claimFrom(claim, Math.max(LEAST_SEEN, 2 * claim.limit))),
    renew: (leases, leaseMs) => mark(sql.renew, leases, [leaseMs]),
    published: (leases) => mark(sql.published, leases),
    dead: (burials) => mark(sql.dead, burials, [burials.map(({ error }) => textOf(error))]),
    release: (leases) => mark(sql.release, leases),
    lag: () =>
      run<{ readonly rows: number; readonly oldest: number }>(sql.lag, [MAX_COUNT + 1]).pipe(
        map(([found]) => {
          const { rows, oldest } = found as { readonly rows: number; readonly oldest: number };
          return { rows: Math.min(rows, MAX_COUNT), more: rows > MAX_COUNT, oldestMs: Math.max(0, oldest) };
        }),
      ),
  };
}

function outboxRow(row: ClaimedRow, token: string): OutboxRow {
  const { id, message_id, topic, key, lane, payload, headers, part, timestamp_ms, attempts, stored_at } = row;
  return {
    id: id as string,
    token,
    attempt: attempts,
    messageId: message_id,
    topic,
    lane,
    key,
    value: payload,
    headers: headersOf(headers),
    partition: part,
    timestamp: timestamp_ms,
    storedAt: stored_at,
  };
}

function textOf(error: string): string {
  return error.replaceAll('\0', '').slice(0, 1_000);
}
