import { asyncScheduler, defer, Observable, Subscription, type ObservableInput, type Subscriber } from 'rxjs';
import { environment } from '../../core/environment.js';
import { exponential } from '../../core/backoff.js';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../core/lease-store.js';
import { boundedCall } from './kinesis-lease-call.js';
import { refusingStore } from './kinesis-source-errors.js';

/** What is kept of a shard while it is read. @internal */
export type Progress = Pick<ShardLease, 'checkpoint' | 'acked' | 'doneUntil'>;

/** @internal */
export interface LeaseWriterEvents {
  /** Another worker has it. */
  lost(shard: string): void;
  /** Another worker asks for it. */
  wanted(shard: string): void;
  /** One may be sure of it again. */
  renewed(shard: string): void;
  out(error: unknown): void;
  back(): void;
}

/** @internal */
export interface LeaseWriter {
  readonly held: ReadonlyMap<string, { readonly row: ShardLease }>;
  /** The row is ours, as it is stored; nobody can have taken it before `sureUntil`. */
  hold(row: ShardLease, sureUntil: number): void;
  /** It is not ours any more, as somebody has seen. */
  drop(shard: string): void;
  /** Makes it durable; completes then, and where the shard is not ours any more. */
  write(shard: string, progress: Progress): Observable<never>;
  /** To be written with the next renewal. */
  note(shard: string, progress: Partial<Progress>): void;
  /** Gives the shard to who wants it, or to whoever takes it, with the progress if there is any. */
  release(shard: string, progress?: Progress): Observable<never>;
  renew(): void;
  /** Whether nobody can have taken the shard yet. */
  isSure(shard: string): boolean;
  /** The counter with which we let go of it; a row that is older tells nothing. */
  leftAt(shard: string): number;
  close(): void;
}

interface Waiter {
  readonly version: number;
  readonly subscriber: Subscriber<never>;
}

interface Held {
  row: ShardLease;
  /** As it is to be. */
  wish: ShardLease;
  /** Counts what was asked. */
  asked: number;
  sureUntil: number;
  /** How often in a row it was not written though it is ours. */
  refusals: number;
  waiters: Waiter[];
}

// Somebody may have asked for a shard just before it was written, or asks no more. What is refused more often has another cause.
const MOST_REFUSALS = 3;

/**
 * Writes the rows of the shards that are ours: one call at a time, for all that has changed meanwhile. Each write is a sign
 * of life too. Where a call fails nobody knows what it did, so the same is written again: a `false` then leads to a look at
 * the row, which names its owner. A store that says of a row that it is ours, and does not write it, is out.
 * @internal
 */
export function createLeaseWriter(
  store: LeaseStore,
  group: LeaseGroup,
  worker: string,
  { leaseMs, timeoutMs }: { readonly leaseMs: number; readonly timeoutMs: number },
  events: LeaseWriterEvents,
): LeaseWriter {
  const held = new Map<string, Held>();
  const left = new Map<string, number>();
  // Those of `held` that have something to be written: with thousands of shards a write of one must not look at all of them.
  const unwritten = new Set<Held>();
  const backoff = exponential({ initialMs: 100, maxMs: Math.max(100, leaseMs / 5), jitter: 'full' });
  let current: Subscription | null = null;
  let resting: Subscription | null = null;
  let busy = false;
  let failures = 0;
  let closed = false;

  const flush = (): void => {
    if (busy || closed || resting !== null) return;
    if (unwritten.size === 0) return;
    const due = [...unwritten];
    busy = true;
    const versions = due.map(({ asked }) => asked);
    const leases = due.map(({ row, wish }) => ({ ...wish, counter: row.counter + 1 }));
    const begunAt = environment.now();
    run(
      () => store.write(group, leases),
      (answers = []) => {
        const doubtful = due.filter((each, index) => {
          if (answers[index] !== true) return true;
          succeeded(each, leases[index] as ShardLease, versions[index] as number, begunAt);
          return false;
        });
        if (doubtful.length > 0) look(doubtful);
        else done();
      },
    );
  };

  const run = <R>(call: () => ObservableInput<R>, next: (answer: R | undefined) => void): void => {
    // One that is answered at once may begin the next within.
    const mine = new Subscription();
    current = mine;
    mine.add(boundedCall(timeoutMs, call).subscribe({ next, error: failed }));
  };

  const succeeded = (each: Held, row: ShardLease, version: number, begunAt: number): void => {
    if (held.get(row.shard) !== each) return;
    const wasSure = isSure(row.shard);
    each.row = row;
    each.refusals = 0;
    if (each.asked === version) unwritten.delete(each);
    each.sureUntil = begunAt + leaseMs;
    const waiting = each.waiters;
    // Once it is given away, nothing that was asked meanwhile will be written.
    const isAnswered = (waiter: Waiter): boolean => waiter.version <= version || row.owner !== worker;
    each.waiters = waiting.filter((waiter) => !isAnswered(waiter));
    if (row.owner !== worker) letGo(each);
    else if (!wasSure) events.renewed(row.shard);
    for (const waiter of waiting) if (isAnswered(waiter)) waiter.subscriber.complete();
  };

  const letGo = (each: Held): void => {
    const { shard, counter } = each.row;
    held.delete(shard);
    unwritten.delete(each);
    left.set(shard, counter);
  };

  const isSure = (shard: string): boolean => (held.get(shard)?.sureUntil ?? -Infinity) > environment.now();

  const askFor = (each: Held): number => {
    unwritten.add(each);
    return ++each.asked;
  };

  const look = (doubtful: readonly Held[]): void => {
    run(
      () => store.list(group),
      (rows = []) => {
        const stored = new Map(rows.map((row) => [row.shard, row]));
        let refused: Held | null = null;
        for (const each of doubtful) {
          judge(each, stored.get(each.row.shard));
          if (unwritten.has(each) && ++each.refusals >= MOST_REFUSALS) refused = each;
        }
        if (refused === null) done();
        else failed(refusingStore(group.stream, refused.row.shard));
      },
    );
  };

  const judge = (each: Held, stored: ShardLease | undefined): void => {
    const { shard } = each.row;
    if (held.get(shard) !== each) return;
    if (stored?.owner === worker) {
      each.row = stored;
      const { wantedBy } = stored;
      if (each.wish.owner !== worker) {
        each.wish = { ...each.wish, owner: wantedBy };
      } else if (each.wish.wantedBy !== wantedBy) {
        each.wish = { ...each.wish, wantedBy };
        askFor(each);
        if (wantedBy !== null) events.wanted(shard);
      }
      return;
    }
    drop(shard);
  };

  const drop = (shard: string): void => {
    const each = held.get(shard);
    if (each === undefined) return;
    held.delete(shard);
    unwritten.delete(each);
    // The last write, too, may be one whose answer was lost.
    left.set(shard, each.row.counter + 1);
    // Who lets go of it learns nothing that matters.
    if (each.wish.owner === worker) events.lost(shard);
    for (const { subscriber } of each.waiters) subscriber.complete();
  };

  const done = (): void => {
    busy = false;
    failures = 0;
    events.back();
    flush();
  };

  const failed = (error: unknown): void => {
    busy = false;
    events.out(error);
    resting = asyncScheduler.schedule(() => {
      resting = null;
      flush();
    }, backoff(++failures));
  };

  const ask = (shard: string, change: Partial<ShardLease>): Observable<never> =>
    new Observable((subscriber) => {
      const each = held.get(shard);
      if (each === undefined || closed) {
        subscriber.complete();
        return;
      }
      each.wish = { ...each.wish, ...change };
      const waiter = { version: askFor(each), subscriber };
      each.waiters.push(waiter);
      subscriber.add(() => void (each.waiters = each.waiters.filter((other) => other !== waiter)));
      flush();
    });

  return {
    held,
    hold: (row, sureUntil) => {
      held.set(row.shard, { row, wish: row, asked: 0, sureUntil, refusals: 0, waiters: [] });
    },
    drop,
    write: ask,
    note: (shard, progress) => {
      const each = held.get(shard);
      if (each !== undefined) each.wish = { ...each.wish, ...progress };
    },
    release: (shard, progress) =>
      defer(() => ask(shard, { ...progress, owner: held.get(shard)?.wish.wantedBy ?? null, wantedBy: null })),
    renew: () => {
      for (const each of held.values()) askFor(each);
      flush();
    },
    isSure,
    leftAt: (shard) => left.get(shard) ?? 0,
    close: () => {
      closed = true;
      current?.unsubscribe();
      resting?.unsubscribe();
      for (const { waiters } of held.values()) for (const { subscriber } of [...waiters]) subscriber.complete();
      held.clear();
      unwritten.clear();
    },
  };
}
