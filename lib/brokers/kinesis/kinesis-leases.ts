import {
  asyncScheduler,
  concat,
  concatMap,
  defer,
  EMPTY,
  finalize,
  map,
  merge,
  of,
  Subject,
  takeUntil,
  tap,
  timer,
  Observable,
  Subscription,
} from 'rxjs';
import { closeTimeoutMs } from '../../core/close-timeout.js';
import { environment } from '../../core/environment.js';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../core/lease-store.js';
import { nextMoves } from './kinesis-assignment.js';
import { boundedCall } from './kinesis-lease-call.js';
import { createLeaseWriter, type LeaseWriter } from './kinesis-lease-writer.js';
import { isReadable, type Rows } from './kinesis-lineage.js';

/** @internal */
export interface LeasesOptions {
  readonly store: LeaseStore;
  readonly group: LeaseGroup;
  /** Unique: two workers of one name would take each other's rows for theirs. */
  readonly worker: string;
  readonly leaseMs: number;
  readonly drainTimeoutMs: number;
}

/** @internal */
export interface LeasesEvents {
  /** Adds rows of shards that have none yet, where it is time; emits whether it did anything. */
  sync(rows: Rows): Observable<boolean>;
  /** A shard is ours, to be read. */
  taken(row: ShardLease): void;
  lost(shard: string): void;
  /** Another worker asks for it: to be released once it is drained. */
  wanted(shard: string): void;
  /** Whether enough is known of a shard to read it. */
  isKnown(shard: string): boolean;
  /** What every look found, at its end. */
  seen(rows: Rows, isAlive: (row: ShardLease) => boolean): void;
  /** A lease is renewed that may have run out: one may be sure of it again. */
  renewed(shard: string): void;
  /** The store failed one of those that call it. */
  out(who: string, error: unknown): void;
  /** The store did what one of them asked for. */
  answered(who: string): void;
  /** It does again what all of them ask for. */
  back(): void;
}

/** @internal */
export interface Leases extends Pick<LeaseWriter, 'write' | 'note' | 'release' | 'isSure'> {
  start(): void;
  /** Does not wait for the next look. */
  look(): void;
  /** Takes nothing any more. */
  leave(): void;
  /** Lets go of all that is left. */
  close(): Observable<unknown>;
}

interface Sighting {
  readonly counter: number;
  /** By the monotonic clock of this process. */
  readonly since: number;
}

// How long a call of the store may take, and a hand-over beyond the drain.
const CALL_TIMEOUT_MS = 10_000;
const HAND_OVER_MS = 5_000;
const SOON_MS = 1_000;

/**
 * The part of one worker in the sharing of shards: a few times a lease it renews its own rows, and looks at all of them to
 * take, ask for and give. Nobody's clock but its own counts: an owner whose counter has not moved for `leaseMs` is gone.
 * @internal
 */
export function createLeases(options: LeasesOptions, events: LeasesEvents): Leases {
  const { store, group, worker, leaseMs, drainTimeoutMs } = options;
  const tickMs = Math.max(1, Math.floor(leaseMs / 3));
  // A call that hangs must leave time for another one within the lease.
  const timeoutMs = Math.min(CALL_TIMEOUT_MS, Math.max(1_000, tickMs));
  const sightings = new Map<string, Sighting>();
  // Since when we ask for a shard.
  const asking = new Map<string, number>();
  const left = new Subject<void>();
  let renewing: Subscription | null = null;
  let ticking: Subscription | null = null;
  let looking: Subscription | null = null;
  let again = false;
  let leaving = false;
  let closed = false;
  // Who of the two that call the store had no answer: it may take reads and no writes.
  const unanswered = new Set<'looks' | 'writes'>();

  const out = (who: 'looks' | 'writes', error: unknown): void => {
    unanswered.add(who);
    events.out(who, error);
  };
  const back = (who: 'looks' | 'writes'): void => {
    events.answered(who);
    if (unanswered.delete(who) && unanswered.size === 0) events.back();
  };
  const writer = createLeaseWriter(
    store,
    group,
    worker,
    { leaseMs, timeoutMs },
    {
      lost: (shard) => events.lost(shard),
      wanted: (shard) => wanted(shard),
      out: (error) => out('writes', error),
      renewed: (shard) => events.renewed(shard),
      back: () => back('writes'),
    },
  );

  const wanted = (shard: string): void => {
    if (!leaving) events.wanted(shard);
  };

  const list = (): Observable<Rows> =>
    boundedCall(timeoutMs, () => store.list(group)).pipe(
      map((rows = []) => new Map(rows.map((row) => [row.shard, row]))),
    );

  // Apart from the looks, which wait for Kinesis too.
  const renew = (): void => {
    writer.renew();
    renewing = asyncScheduler.schedule(renew, tickMs);
  };

  const schedule = (ms: number): void => {
    ticking?.unsubscribe();
    if (!closed) ticking = asyncScheduler.schedule(look, ms);
  };

  // Kinesis may hang; who leaves gives its leases back meanwhile.
  const untilLeft = <T>(syncing: Observable<T>): Observable<T> => syncing.pipe(takeUntil(left));

  const look = (): void => {
    if (closed) return;
    if (looking !== null) {
      again = true;
      return;
    }
    again = false;
    const mine = new Subscription();
    looking = mine;
    mine.add(
      list()
        .pipe(
          concatMap((rows) =>
            leaving
              ? of(rows)
              : untilLeft(events.sync(rows)).pipe(concatMap((changed) => (changed ? list() : of(rows)))),
          ),
          tap(observe),
          concatMap((rows) => (leaving ? EMPTY : move(rows))),
          finalize(() => {
            looking = null;
            mine.unsubscribe();
            if (again) look();
            else schedule(asking.size > 0 ? Math.min(SOON_MS, tickMs) : tickMs);
          }),
        )
        .subscribe({ error: failed, complete: () => back('looks') }),
    );
  };

  const failed = (error: unknown): void => {
    // Who could not look has not seen that nobody gave a sign of life.
    sightings.clear();
    out('looks', error);
  };

  const observe = (rows: Rows): void => {
    const now = environment.now();
    for (const row of rows.values()) {
      if (sightings.get(row.shard)?.counter !== row.counter) {
        sightings.set(row.shard, { counter: row.counter, since: now });
      }
    }
    for (const shard of sightings.keys()) if (!rows.has(shard)) sightings.delete(shard);
    for (const shard of asking.keys()) if (rows.get(shard)?.wantedBy !== worker) asking.delete(shard);
    for (const { shard, wantedBy } of rows.values())
      if (wantedBy === worker && !asking.has(shard)) asking.set(shard, now);
    for (const { row: held } of [...writer.held.values()]) {
      const row = rows.get(held.shard);
      if (row?.owner !== worker) writer.drop(held.shard);
      else if (row.wantedBy !== null) wanted(held.shard);
    }
    for (const row of rows.values()) if (isGiven(row, rows)) own(row, -Infinity);
    events.seen(rows, (row) => row.owner !== null && !isExpired(row));
  };

  // Handed over to us, or taken by a call whose answer was lost.
  const isGiven = (row: ShardLease, rows: Rows): boolean =>
    row.owner === worker &&
    !writer.held.has(row.shard) &&
    row.counter > writer.leftAt(row.shard) &&
    events.isKnown(row.shard) &&
    isReadable(row, rows);

  const isExpired = ({ shard, counter }: ShardLease): boolean => {
    const seen = sightings.get(shard);
    return seen !== undefined && seen.counter === counter && environment.now() - seen.since >= leaseMs;
  };

  const own = (row: ShardLease, sureUntil: number): void => {
    asking.delete(row.shard);
    writer.hold(row, sureUntil);
    // What comes while we leave is given back by `close`.
    if (!leaving) events.taken(row);
    // Who gave it may have done so long ago.
    if (sureUntil === -Infinity) writer.renew();
  };

  const move = (rows: Rows): Observable<unknown> => {
    const isOverdue = ({ shard }: ShardLease): boolean =>
      environment.now() - (asking.get(shard) ?? environment.now()) > tickMs + drainTimeoutMs + HAND_OVER_MS;
    const { take, want } = nextMoves({ worker, rows, isExpired, isOverdue });
    const taking = take.map((row) => ({ ...row, owner: worker, wantedBy: null, counter: row.counter + 1 }));
    const wanting = want.map((row) => ({ ...row, wantedBy: worker, counter: row.counter + 1 }));
    const writes = [...taking, ...wanting].filter(({ shard }) => events.isKnown(shard));
    if (writes.length === 0) return EMPTY;
    const begunAt = environment.now();
    return boundedCall(timeoutMs, () => store.write(group, writes)).pipe(
      tap((answers = []) => {
        writes.forEach((row, index) => {
          if (answers[index] !== true) return;
          if (row.owner !== worker) asking.set(row.shard, environment.now());
          else own(row, begunAt + leaseMs);
        });
      }),
    );
  };

  return {
    write: writer.write,
    note: writer.note,
    release: writer.release,
    isSure: writer.isSure,
    start: () => {
      renewing = asyncScheduler.schedule(renew, tickMs);
      look();
    },
    look,
    leave: () => {
      leaving = true;
      left.next();
    },
    close: () =>
      concat(
        looked(),
        defer(() => merge(...[...writer.held.keys()].map((shard) => writer.release(shard)))),
      ).pipe(
        // A store that is out must not keep timers of ours.
        takeUntil(timer(closeTimeoutMs({ drainTimeoutMs }))),
        finalize(() => {
          closed = true;
          renewing?.unsubscribe();
          ticking?.unsubscribe();
          looking?.unsubscribe();
          writer.close();
        }),
      ),
  };

  /** Completes once no look is under way: what it takes is to be given back. */
  function looked(): Observable<never> {
    return new Observable((subscriber) => {
      if (looking === null) subscriber.complete();
      else looking.add(() => subscriber.complete());
    });
  }
}
