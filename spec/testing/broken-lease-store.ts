import { concat, defer, delay, EMPTY, from, map, mergeMap, of, toArray, type Observable } from 'rxjs';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../lib/index.js';
import { memoryLeaseStore } from '../../lib/memory.js';
import type { LeaseStoreDriver } from '../../lib/testing.js';
import { MUTANT_TIMINGS } from './mutant.js';

export type Rows = readonly ShardLease[];
export type Change = (store: LeaseStore) => Partial<LeaseStore>;

/** The memory store with a defect between it and the suite; all workers have the same. */
export function broken(change: Change): LeaseStoreDriver {
  return {
    name: 'memoryLeaseStore, broken',
    timings: { withinMs: MUTANT_TIMINGS.withinMs },
    open: () => {
      const store = memoryLeaseStore();
      const mutant = { ...store, ...change(store) };
      return { worker: () => mutant };
    },
  };
}

/** Each row that comes in, in another form. */
export const storing =
  (alter: (lease: ShardLease) => ShardLease): Change =>
  ({ add, write }) => ({
    add: (group, leases) => add(group, leases.map(alter)),
    write: (group, leases) => write(group, leases.map(alter)),
  });

/** Groups under other names. */
export const grouping =
  (alter: (group: LeaseGroup) => LeaseGroup): Change =>
  ({ list, add, write, remove }) => ({
    list: (group) => list(alter(group)),
    add: (group, leases) => add(alter(group), leases),
    write: (group, leases) => write(alter(group), leases),
    remove: (group, leases) => remove(alter(group), leases),
  });

export const listing =
  (alter: (rows: Rows) => Rows): Change =>
  ({ list }) => ({ list: (group) => from(list(group)).pipe(map(alter)) });

export const stored = ({ list }: LeaseStore, group: LeaseGroup): Observable<ReadonlyMap<string, ShardLease>> =>
  defer(() => list(group)).pipe(map((rows) => new Map(rows.map((row) => [row.shard, row]))));

/** Puts rows whatever is there. */
export const put = ({ add, remove, ...store }: LeaseStore, group: LeaseGroup, leases: Rows): Observable<never> =>
  stored({ add, remove, ...store }, group).pipe(
    mergeMap((rows) => {
      const there = leases.flatMap(({ shard }) => rows.get(shard) ?? []);
      return concat(from(remove(group, there)), from(add(group, leases))) as Observable<never>;
    }),
  );

/** Looks first, and writes a moment later what it then takes for right. */
export const looking =
  (isRight: (row: ShardLease | undefined, lease: ShardLease) => boolean, afterMs = 1): Change =>
  (store) => ({
    write: (group, leases) =>
      stored(store, group).pipe(
        map((rows) => leases.map((lease) => isRight(rows.get(lease.shard), lease))),
        delay(afterMs),
        mergeMap((answers) =>
          concat(
            put(
              store,
              group,
              leases.filter((_, index) => answers[index]),
            ),
            of(answers),
          ),
        ),
      ),
  });

export const isNext = (row: ShardLease | undefined, { counter }: ShardLease): boolean => row?.counter === counter - 1;

/** A store of one group that hands out its own rows. */
export function inPlace(copies: boolean): LeaseStore {
  const rows = new Map<string, ShardLease>();
  return {
    list: () => defer(() => of([...rows.values()])),
    add: (_, leases) =>
      defer(() => {
        for (const lease of leases) rows.set(lease.shard, copies ? structuredClone(lease) : lease);
        return EMPTY;
      }),
    write: (_, leases) =>
      from(leases).pipe(
        map((lease) => {
          Object.assign(rows.get(lease.shard) ?? {}, lease);
          return true;
        }),
        toArray(),
      ),
    remove: () => EMPTY,
  };
}
