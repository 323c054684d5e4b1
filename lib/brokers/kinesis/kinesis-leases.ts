import {
  asyncScheduler,
  AsyncSubject,
  concat,
  concatMap,
  defer,
  EMPTY,
  finalize,
  map,
  merge,
  takeUntil,
  tap,
  timer,
  type Observable,
  Subscription,
} from 'rxjs';
import { exponential } from '../../core/backoff.js';
import { closeTimeoutMs } from '../../core/close-timeout.js';
import { environment } from '../../core/environment.js';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../core/lease-store.js';
import { nextMoves } from './kinesis-assignment.js';
import { boundedCall } from './kinesis-lease-call.js';
import { createLeaseWriter, type LeaseWriter } from './kinesis-lease-writer.js';
import { isReadable, type Rows } from './kinesis-lineage.js';
import { createSightings } from './kinesis-sightings.js';

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
  /** Adds rows of shards that have none yet, where it is time; emits whether there is anything new. It may hang. */
  sync(rows: Rows): Observable<boolean>;
  /** A shard is ours, to be read. */
  taken(row: ShardLease): void;
  lost(shard: string): void;
  /** Another worker asks for it: to be released once it is drained. */
  wanted(shard: string): void;
  /** Whether enough is known of a shard to read it. */
  isKnown(shard: string): boolean;
  /** Whether this worker has done with a shard that has not ended: others may have it. */
  isRead(shard: string): boolean;
  /** A look has listed these rows. */
  seen(rows: Rows): void;
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
  /** Whether what was seen last has all that was added since. */
  isCurrent(): boolean;
  /** Takes nothing any more, and takes back what it asked others for. */
  leave(): void;
  /** Lets go of all that is left. */
  close(): Observable<unknown>;
}

// How long a call of the store may take: half of what a drain waits for its last checkpoint, by default. And how long a
// hand-over may take beyond the drain.
const CALL_TIMEOUT_MS = 5_000;
const HAND_OVER_MS = 5_000;
const SOON_MS = 1_000;

type Caller = 'looks' | 'moves' | 'writes' | 'syncs';

/**
 * The part of one worker in the sharing of shards: a few times a lease it renews its own rows, and looks at all of them to
 * take, ask for and give. Nobody's clock but its own counts: an owner whose counter has not moved for `leaseMs` is gone.
 * Neither waits for Kinesis, which may hang: only what has never been listed cannot be taken.
 * @internal
 */
export function createLeases(options: LeasesOptions, events: LeasesEvents): Leases {
  const { store, group, worker, leaseMs, drainTimeoutMs } = options;
  const tickMs = Math.max(1, Math.floor(leaseMs / 3));
  // A call that hangs must leave time for another one within the lease.
  const timeoutMs = Math.min(CALL_TIMEOUT_MS, Math.max(1_000, tickMs));
  const backoff = exponential({ initialMs: 100, maxMs: Math.max(100, tickMs), jitter: 'full' });
  const sightings = createSightings(leaseMs);
  // Since when we ask for a shard.
  const asking = new Map<string, number>();
  // Completes once no row names us that we do not hold: nothing can be handed to us any more.
  const tidy = new AsyncSubject<never>();
  let renewing: Subscription | null = null;
  let ticking: Subscription | null = null;
  let looking: Subscription | null = null;
  let again = false;
  let failures = 0;
  let syncing: Subscription | null = null;
  let maySync = true;
  // How many syncs have changed anything, and of how many of them the last look knew.
  let synced = 0;
  let seenSynced = -1;
  let leaving = false;
  // How often none of what we asked for was taken back.
  let refusals = 0;
  let closed = false;
  // The callers whose last call to the store failed: a store may take reads and no writes.
  const unanswered = new Set<Caller>();

  const out = (who: Caller, error: unknown): void => {
    unanswered.add(who);
    events.out(who, error);
  };
  const back = (who: Caller): void => {
    events.answered(who);
    forget(who);
  };
  const forget = (who: Caller): void => {
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

  // Apart from the looks: a call of the store that hangs must not keep the other from it.
  const renew = (): void => {
    writer.renew();
    renewing = asyncScheduler.schedule(renew, tickMs);
  };

  const schedule = (): void => {
    ticking?.unsubscribe();
    if (closed) return;
    const restMs = asking.size > 0 ? Math.min(SOON_MS, tickMs) : tickMs;
    // A worker that waits for the usual look after each that failed takes what is free a lease later, or never.
    ticking = asyncScheduler.schedule(lookAtAll, failures === 0 ? restMs : Math.min(restMs, backoff(failures)));
  };

  const lookAtAll = (): void => {
    maySync = true;
    look();
  };

  const look = (): void => {
    if (closed) return;
    if (looking !== null) {
      again = true;
      return;
    }
    again = false;
    const isLast = leaving;
    const begunWith = synced;
    const mine = new Subscription();
    looking = mine;
    let at: Caller = 'looks';
    mine.add(
      list()
        .pipe(
          tap((rows) => {
            at = 'moves';
            back('looks');
            seenSynced = begunWith;
            observe(rows);
          }),
          concatMap((rows) => (isLast ? tidyUp(rows) : leaving ? EMPTY : move(rows))),
          finalize(() => {
            looking = null;
            mine.unsubscribe();
            if (again) look();
            else schedule();
          }),
        )
        .subscribe({
          error: (error: unknown) => {
            failures++;
            out(at, error);
          },
          complete: () => {
            failures = 0;
            // A look that writes nothing does not show whether the store takes writes.
            forget('moves');
          },
        }),
    );
  };

  // Apart from the looks: whether an owner is alive is told by the rows alone, and Kinesis may hang.
  const sync = (rows: Rows): void => {
    if (syncing !== null || !maySync || leaving) return;
    maySync = false;
    const mine = new Subscription();
    syncing = mine;
    mine.add(
      events
        .sync(rows)
        .pipe(
          finalize(() => {
            syncing = null;
            mine.unsubscribe();
          }),
        )
        .subscribe({
          next: (isNew) => {
            if (!isNew) return;
            synced++;
            look();
          },
          error: (error: unknown) => out('syncs', error),
          complete: () => back('syncs'),
        }),
    );
  };

  const observe = (rows: Rows): void => {
    const now = environment.now();
    sightings.observe(rows);
    for (const shard of asking.keys()) if (rows.get(shard)?.wantedBy !== worker) asking.delete(shard);
    for (const { shard, wantedBy } of rows.values())
      if (wantedBy === worker && !asking.has(shard)) asking.set(shard, now);
    for (const { row: held } of [...writer.held.values()]) {
      const row = rows.get(held.shard);
      if (row?.owner !== worker) writer.drop(held.shard);
      else if (row.wantedBy !== null) wanted(held.shard);
    }
    for (const row of rows.values()) if (isGiven(row, rows)) own(row, -Infinity);
    events.seen(rows);
    sync(rows);
  };

  // Handed over to us, or taken by a call whose answer was lost.
  const isGiven = (row: ShardLease, rows: Rows): boolean =>
    row.owner === worker &&
    !writer.held.has(row.shard) &&
    row.counter > writer.leftAt(row.shard) &&
    events.isKnown(row.shard) &&
    isReadable(row, rows);

  const own = (row: ShardLease, sureUntil: number): void => {
    asking.delete(row.shard);
    writer.hold(row, sureUntil);
    // A shard that comes while this worker leaves goes back at once.
    if (leaving) writer.release(row.shard).subscribe({ error: (error: unknown) => out('writes', error) });
    else events.taken(row);
    // Who gave it may have done so long ago.
    if (sureUntil === -Infinity) writer.renew();
  };

  const move = (rows: Rows): Observable<unknown> => {
    const isOverdue = ({ shard }: ShardLease): boolean =>
      environment.now() - (asking.get(shard) ?? environment.now()) > tickMs + drainTimeoutMs + HAND_OVER_MS;
    const { isExpired } = sightings;
    const { take, want } = nextMoves({ worker, rows, isExpired, isOverdue, isRead: events.isRead });
    const taking = take.map((row) => ({ ...row, owner: worker, wantedBy: null, counter: row.counter + 1 }));
    const wanting = want.map((row) => ({ ...row, wantedBy: worker, counter: row.counter + 1 }));
    const writes = [...taking, ...wanting].filter(({ shard }) => events.isKnown(shard));
    if (writes.length === 0) return EMPTY;
    const begunAt = environment.now();
    return boundedCall(timeoutMs, () => store.write(group, writes)).pipe(
      tap((answers = []) => {
        back('moves');
        writes.forEach((row, index) => {
          if (answers[index] !== true) return;
          if (row.owner !== worker) asking.set(row.shard, environment.now());
          else own(row, begunAt + leaseMs);
        });
      }),
    );
  };

  /**
   * Takes back what we asked for, and gives back what came, until a look finds neither. An owner that is about to hand a
   * shard over has its write refused by ours, looks, and finds nobody to hand it to; where it was first, we find the shard.
   */
  const tidyUp = (rows: Rows): Observable<unknown> => {
    const all = [...rows.values()].filter(({ shard }) => !writer.held.has(shard));
    const given = all.filter(({ shard, owner, counter }) => owner === worker && counter > writer.leftAt(shard));
    const asked = all.filter(({ owner, wantedBy }) => wantedBy === worker && owner !== worker);
    for (const row of given) own(row, -Infinity);
    if (asked.length === 0) {
      tidy.complete();
      return EMPTY;
    }
    const withdrawn = asked.map((row) => ({ ...row, wantedBy: null, counter: row.counter + 1 }));
    return boundedCall(timeoutMs, () => store.write(group, withdrawn)).pipe(
      // Where a write was refused, the shard may be ours already: look again. A store that refuses again is asked with the next look.
      tap((answers = []) => (again ||= answers.includes(true) || refusals++ === 0)),
    );
  };

  const leave = (): void => {
    if (leaving) return;
    leaving = true;
    syncing?.unsubscribe();
    look();
  };

  const releaseAll = (): Observable<never> =>
    defer(() => merge(...[...writer.held.keys()].map((shard) => writer.release(shard))));

  return {
    write: writer.write,
    note: writer.note,
    release: writer.release,
    isSure: writer.isSure,
    start: () => {
      renewing = asyncScheduler.schedule(renew, tickMs);
      look();
    },
    look: lookAtAll,
    isCurrent: () => seenSynced === synced,
    leave,
    close: () =>
      defer(() => {
        leave();
        // Once more for what has come meanwhile.
        return concat(merge(tidy, releaseAll()), releaseAll());
      }).pipe(
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
}
