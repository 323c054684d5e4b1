import { concatMap, defer, map, of, type Observable } from 'rxjs';
import { environment } from '../../core/environment.js';
import type { OutboxLease, OutboxRow } from '../../core/outbox-row.js';
import type { OutboxClaim, OutboxStore } from '../../core/outbox-store.js';
import { headersOf } from './outbox-headers.js';
import type { OutboxRelaySql } from './outbox-relay-sql.js';
import { bytesOf } from './postgres-values.js';
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

/** `visible` errors where rows are hidden, which would not be claimed. @internal */
export function postgresOutboxRows(
  sql: OutboxRelaySql,
  run: RunStatement,
  visible: Observable<unknown>,
): PostgresOutboxRows {
  let farAfter = 0;
  // How far it had to look, behind what other relays have.
  let usual = 0;
  let lane = LOWEST_LANE;

  const claimBy = (statement: string, { limit, perLane, maxBytes, leaseMs }: OutboxClaim, from: unknown) => {
    const token = crypto.randomUUID();
    return run<ClaimedRow>(statement, [token, leaseMs, limit, perLane, maxBytes, from]).pipe(
      map((rows) => ({
        rows: rows.filter(({ id }) => id !== null).map((row) => outboxRow(row, token)),
        seen: Number(rows[0]?.seen ?? 0),
        last: rows[0]?.last ?? null,
      })),
    );
  };

  // The oldest rows may all be leased, or belong to a few lanes; then others are found further on, at last lane by lane.
  const claimFrom = (claim: OutboxClaim, look: number): Observable<readonly OutboxRow[]> =>
    claimBy(sql.claimOldest, claim, look).pipe(
      concatMap(({ rows, seen }) => {
        if (rows.length > 0 || seen < look || claim.near === true) {
          if (rows.length > 0) usual = look;
          return of(rows);
        }
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

  // In one order: a renewal goes on beside the marks of the same rows, and would wait for them in a circle.
  const mark = <L extends OutboxLease>(
    statement: string,
    leases: readonly L[],
    given: (sorted: readonly L[]) => readonly unknown[] = () => [],
  ): Observable<readonly boolean[]> =>
    defer(() => {
      if (leases.length === 0) return of([]);
      const sorted = [...leases].sort(byId);
      const ids = sorted.map(({ id }) => id);
      const tokens = sorted.map(({ token }) => (UUID.test(token) ? token : null));
      return run<{ readonly n: number }>(statement, [ids, tokens, ...given(sorted)]).pipe(
        map((rows) => {
          const lost = new Set<OutboxLease | undefined>(rows.map(({ n }) => sorted[Number(n) - 1]));
          return leases.map((lease) => !lost.has(lease));
        }),
      );
    });

  return {
    claim: (claim) => visible.pipe(concatMap(() => claimFrom(claim, Math.max(LEAST_SEEN + claim.limit, usual >> 1)))),
    renew: (leases, leaseMs) => mark(sql.renew, leases, () => [leaseMs]),
    published: (leases) => mark(sql.published, leases),
    dead: (burials) => mark(sql.dead, burials, (sorted) => [sorted.map(({ error }) => textOf(error))]),
    release: (returns) => mark(sql.release, returns, (sorted) => [sorted.map(({ attempts }) => attempts)]),
    lag: () =>
      run<{ readonly rows: number; readonly oldest: number }>(sql.lag, [MAX_COUNT + 1]).pipe(
        map(([found]) => {
          const [rows, oldest] = [Number(found?.rows), Number(found?.oldest)];
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
    attempt: Number(attempts),
    messageId: message_id,
    topic,
    lane,
    key: bytesOf(key),
    value: bytesOf(payload),
    headers: headersOf(headers),
    partition: numberOf(part),
    timestamp: numberOf(timestamp_ms),
    storedAt: Number(stored_at),
  };
}

/** Numbers as text, beyond what a number holds. */
function byId({ id: a }: OutboxLease, { id: b }: OutboxLease): number {
  return a.length - b.length || (a < b ? -1 : 1);
}

function numberOf(value: number | null): number | null {
  return value === null ? null : Number(value);
}

// The column is text, which holds no NUL.
function textOf(error: string): string {
  return error.replaceAll('\0', '');
}
