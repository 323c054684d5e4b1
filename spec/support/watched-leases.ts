import { from, switchMap, tap, type Observable } from 'rxjs';
import type { LeaseStore, ShardLease } from '../../lib/core/lease-store.js';
import { memoryLeaseStore } from '../../lib/stores/memory/memory-lease-store.js';

/** A message that a worker was given, as a spec notes it. */
export interface Arrival {
  /** The `worker` that the source was given. */
  readonly worker: string;
  readonly shard: string;
  readonly text: string;
}

/** A lease store that workers of one process share, and what was taken from them. */
export interface WatchedLeases {
  /** The store as the worker of that name has it. */
  of(worker: string): LeaseStore;
  /** `worker shard` of each lease that another worker took, where its owner had not given it away. */
  readonly lost: ReadonlySet<string>;
  /**
   * Messages that came more than once and should not have: a repeat is right where the lease was really lost, under which it
   * came before. A worker whose process had no time for longer than `leaseMs` has lost its leases, on a loaded machine too.
   */
  unexplained(arrivals: readonly Arrival[]): Arrival[];
  /** How many came more than once because a lease was lost. */
  explained(arrivals: readonly Arrival[]): number;
}

/** Watches who takes a lease from whom: no machine is too slow for specs that count repeats with it. */
export function watchedLeases(store: LeaseStore = memoryLeaseStore()): WatchedLeases {
  const lost = new Set<string>();

  const note = (
    worker: string,
    before: readonly ShardLease[],
    writes: readonly ShardLease[],
    made: readonly boolean[],
  ) => {
    const owners = new Map(before.map(({ shard, owner }) => [shard, owner]));
    writes.forEach(({ shard, owner }, index) => {
      const last = owners.get(shard)?.split(' ')[0];
      if (made[index] === true && owner !== null && last !== undefined && last !== worker) lost.add(`${last} ${shard}`);
    });
  };

  const repeats = (arrivals: readonly Arrival[]): { readonly again: Arrival; readonly isExplained: boolean }[] => {
    const earlier = new Map<string, Arrival[]>();
    return arrivals.flatMap((again) => {
      const before = earlier.get(again.text) ?? [];
      earlier.set(again.text, [...before, again]);
      if (before.length === 0) return [];
      return [{ again, isExplained: before.every(({ worker, shard }) => lost.has(`${worker} ${shard}`)) }];
    });
  };

  return {
    lost,
    of: (worker) => ({
      ...store,
      write: (group, leases): Observable<readonly boolean[]> =>
        from(store.list(group)).pipe(
          switchMap((before) =>
            from(store.write(group, leases)).pipe(tap((made) => note(worker, before, leases, made))),
          ),
        ),
    }),
    unexplained: (arrivals) => repeats(arrivals).flatMap(({ again, isExplained }) => (isExplained ? [] : [again])),
    explained: (arrivals) => repeats(arrivals).filter(({ isExplained }) => isExplained).length,
  };
}
