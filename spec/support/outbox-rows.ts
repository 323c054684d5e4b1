import { asyncScheduler, defer, delay, map, of, Subject, throwError, type Observable } from 'rxjs';
import type { OutboxRow } from '../../lib/core/outbox-row.js';
import type { OutboxClaim, OutboxStore } from '../../lib/core/outbox-store.js';

export const ROWS_OUTAGE = new Error('the database is out');

export type RowCall = 'claim' | 'renew' | 'published' | 'dead' | 'release' | 'lag';

interface Stored extends OutboxRow {
  token: string;
  attempt: number;
  leasedUntil: number;
  state: 'pending' | 'published' | 'dead';
}

/** The relay's half of a store: rows of one process, leased by virtual time. */
export interface FakeRows extends OutboxStore {
  readonly wakeUps: Subject<unknown>;
  /** Stores rows by their names: `a1` is row `1` of lane `a`; a lane named `-` is none. */
  put(...names: readonly string[]): void;
  /** The names of rows in a state. */
  in(state: Stored['state']): string[];
  leased(): string[];
  /** Each call, with its time and the names of its rows. */
  readonly calls: string[];
  readonly claims: OutboxClaim[];
  readonly errors: string[];
  out: boolean;
  /** Another process takes a row whose lease is over or not. */
  steal(name: string): void;
}

export function fakeRows(takes: Partial<Record<RowCall, number>> = {}): FakeRows {
  const rows: Stored[] = [];
  let tokens = 0;
  const now = (): number => asyncScheduler.now();
  const nameOf = ({ lane, messageId }: OutboxRow): string => `${lane ?? '-'}${messageId}`;
  const byLease = (id: string, token: string): Stored | undefined =>
    rows.find((row) => row.id === id && row.token === token);
  const call = <R>(name: RowCall, ids: readonly string[], work: () => R): Observable<R> =>
    defer(() => {
      const names = ids.map((id) => nameOf(rows.find((row) => row.id === id) as Stored)).join();
      fake.calls.push(`${now()} ${name}${names === '' ? '' : ` ${names}`}`);
      if (fake.out) return throwError(() => ROWS_OUTAGE);
      const ms = takes[name] ?? 0;
      return ms === 0 ? of(null) : of(null).pipe(delay(ms));
    }).pipe(map(work));
  const isFree = (row: Stored): boolean => row.state === 'pending' && row.leasedUntil <= now();
  const marks = (state: 'published' | 'dead', leases: readonly { id: string; token: string }[]): boolean[] =>
    leases.map(({ id, token }) => {
      const row = byLease(id, token);
      if (row !== undefined) row.state = state;
      return row !== undefined;
    });

  const claim = ({ limit, perLane, leaseMs }: OutboxClaim): OutboxRow[] => {
    const shut = new Set<string>();
    const counts = new Map<string, number>();
    const taken: Stored[] = [];
    for (const row of rows.filter(({ state }) => state === 'pending')) {
      const { lane } = row;
      if (!isFree(row)) {
        if (lane !== null) shut.add(lane);
        continue;
      }
      const count = lane === null ? 0 : (counts.get(lane) ?? 0);
      if ((lane !== null && shut.has(lane)) || count >= perLane || taken.length >= limit) continue;
      if (lane !== null) counts.set(lane, count + 1);
      row.leasedUntil = now() + leaseMs;
      row.token = String(++tokens);
      row.attempt++;
      taken.push(row);
    }
    return taken.map((row) => ({ ...row }));
  };

  const fake: FakeRows = {
    wakeUps: new Subject(),
    calls: [],
    claims: [],
    errors: [],
    out: false,
    put: (...names) => {
      for (const name of names) {
        const [lane, messageId] = [name.slice(0, 1), name.slice(1)];
        rows.push({
          id: String(rows.length + 1),
          token: '',
          attempt: 0,
          messageId,
          topic: 'out',
          lane: lane === '-' ? null : lane,
          key: lane === '-' ? null : new TextEncoder().encode(lane),
          value: new TextEncoder().encode(name),
          headers: {},
          partition: null,
          timestamp: null,
          storedAt: 0,
          leasedUntil: 0,
          state: 'pending',
        });
      }
    },
    in: (state) => rows.filter((row) => row.state === state).map(nameOf),
    leased: () => rows.filter((row) => row.state === 'pending' && row.leasedUntil > now()).map(nameOf),
    steal: (name) => {
      const row = rows.find((each) => nameOf(each) === name) as Stored;
      row.token = 'of another';
      row.leasedUntil = Infinity;
    },
    transaction: () => throwError(() => new Error('not here')),
    faultOf: () => null,
    claim: (options) =>
      call('claim', [], () => {
        fake.claims.push(options);
        return claim(options);
      }),
    renew: (leases, leaseMs) =>
      call(
        'renew',
        leases.map(({ id }) => id),
        () =>
          leases.map(({ id, token }) => {
            const row = byLease(id, token);
            if (row !== undefined) row.leasedUntil = now() + leaseMs;
            return row !== undefined;
          }),
      ),
    published: (leases) =>
      call(
        'published',
        leases.map(({ id }) => id),
        () => marks('published', leases),
      ),
    dead: (burials) =>
      call(
        'dead',
        burials.map(({ id }) => id),
        () => {
          fake.errors.push(...burials.map(({ error }) => error));
          return marks('dead', burials);
        },
      ),
    release: (leases) =>
      call(
        'release',
        leases.map(({ id }) => id),
        () => {
          for (const { id, token, attempts } of leases) {
            const row = byLease(id, token);
            if (row !== undefined) Object.assign(row, { leasedUntil: 0, attempt: attempts });
          }
        },
      ),
    lag: () => call('lag', [], () => ({ rows: fake.in('pending').length, more: false, oldestMs: now() })),
  };
  return fake;
}
