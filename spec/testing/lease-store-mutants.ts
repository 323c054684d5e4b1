import { concatMap, defer, delay, EMPTY, from, map, mergeMap, of, throwError } from 'rxjs';
import type { LeaseGroup, LeaseStore } from '../../lib/index.js';
import type { LeaseStoreDriver } from '../../lib/testing.js';
import {
  broken,
  grouping,
  inPlace,
  isNext,
  listing,
  looking,
  put,
  stored,
  storing,
  type Rows,
} from './broken-lease-store.js';
import type { Mutant } from './mutant.js';

export const leaseStoreMutants: readonly Mutant<LeaseStoreDriver>[] = [
  {
    name: 'answers a write of no rows with nothing',
    driver: broken(({ write }) => ({ write: (group, leases) => (leases.length === 0 ? EMPTY : write(group, leases)) })),
    caughtBy: '1 lists nothing',
    seen: /^write is to answer with one list, and did with 0 values/,
  },
  {
    name: 'lists row by row',
    driver: broken(({ list }) => ({ list: (group) => from(list(group)).pipe(mergeMap((rows) => rows)) as never })),
    caughtBy: '1 lists nothing',
    seen: /^list is to answer with one list/,
  },
  {
    name: 'knows nothing of who wants a shard',
    driver: broken(storing((lease) => ({ ...lease, wantedBy: null }))),
    caughtBy: '2 keeps each field',
    seen: /^As they were added, wantedBy of "full" is to be "bob", and is null/,
  },
  {
    name: 'has undefined where there is no owner',
    driver: broken(listing((rows) => rows.map((row) => ({ ...row, owner: row.owner ?? (undefined as never) })))),
    caughtBy: '2 keeps each field',
    seen: /owner of "empty" is to be null, and is undefined/,
  },
  {
    name: 'keeps parents as a set',
    driver: broken(storing((lease) => ({ ...lease, parents: [...lease.parents].sort() }))),
    caughtBy: '2 keeps each field',
    seen: /parents of "full" is to be \["z","a"\], and is \["a","z"\]/,
  },
  {
    name: 'writes the fields that have a value',
    driver: broken((store) => ({
      write: (group, leases) =>
        stored(store, group).pipe(
          mergeMap((rows) =>
            store.write(
              group,
              leases.map((lease) => ({ ...lease, owner: lease.owner ?? rows.get(lease.shard)?.owner ?? null })),
            ),
          ),
        ),
    })),
    caughtBy: '2 keeps each field',
    seen: /^As they were written, owner of "full" is to be null, and is "ann"/,
  },
  {
    name: 'has 255 characters for a text',
    driver: broken(storing((lease) => ({ ...lease, acked: lease.acked.slice(0, 255) }))),
    caughtBy: '3 keeps any text',
    seen: /acked of .* is to be .* \(4002 characters\), and is .* \(257 characters\)/,
  },
  {
    name: 'takes blanks off',
    driver: broken(storing((lease) => ({ ...lease, checkpoint: lease.checkpoint.trim() }))),
    caughtBy: '3 keeps any text',
    seen: /checkpoint of " " is to be " ", and is ""/,
  },
  {
    name: 'tells no case apart',
    driver: broken(storing((lease) => ({ ...lease, shard: lease.shard.toLowerCase() }))),
    caughtBy: '3 keeps any text',
    seen: /these are not listed: "NULL", "A"/,
  },
  {
    name: 'counts in 32 bits',
    driver: broken(storing((lease) => ({ ...lease, counter: lease.counter | 0 }))),
    caughtBy: '4 keeps numbers',
    seen: /counter of "at-2" is to be 4294967295, and is -1/,
  },
  {
    name: 'counts in text',
    driver: broken(listing((rows) => rows.map((row) => ({ ...row, counter: String(row.counter) as never })))),
    caughtBy: '4 keeps numbers',
    seen: /counter of "at-0" is to be 0, and is "0"/,
  },
  {
    name: 'replaces by add',
    driver: broken((store) => ({ add: (group, leases) => put(store, group, leases) })),
    caughtBy: '5 adds what is missing',
    seen: /counter of "b" is to be 7, and is 1/,
  },
  {
    name: 'adds all or nothing',
    driver: broken((store) => ({
      add: (group, leases) =>
        stored(store, group).pipe(
          mergeMap((rows) => (leases.some(({ shard }) => rows.has(shard)) ? EMPTY : store.add(group, leases))),
        ),
    })),
    caughtBy: '5 adds what is missing',
    seen: /these are not listed: "a", "c"/,
  },
  {
    name: 'looks before it adds, and puts what was missing then',
    driver: broken((store) => {
      let calls = 0;
      return {
        add: (group, leases) =>
          stored(store, group).pipe(
            delay(calls++),
            mergeMap((rows) =>
              put(
                store,
                group,
                leases.filter(({ shard }) => !rows.has(shard)),
              ),
            ),
          ),
      };
    }),
    caughtBy: '6 gives each shard one owner',
    seen: /^These were given to several: "shard-/,
  },
  {
    name: 'writes whatever the counter is',
    driver: broken(looking((row) => row !== undefined, 0)),
    caughtBy: '7 replaces a row',
    seen: /^Stored was 5; wrongly answered: "shard-\d+" with \d/,
  },
  {
    name: 'makes the rows that are not there',
    driver: broken(looking((row, lease) => row === undefined || isNext(row, lease), 0)),
    caughtBy: '7 replaces a row',
    seen: /wrongly answered: "unknown" with 6/,
  },
  {
    name: 'answers in the order of the shards',
    driver: broken(({ write }) => ({
      write: (group, leases) =>
        write(
          group,
          [...leases].sort((left, right) => (left.shard < right.shard ? -1 : 1)),
        ),
    })),
    caughtBy: '7 replaces a row',
    seen: /wrongly answered: /,
  },
  {
    name: 'writes all rows of a call or none',
    driver: broken(({ write, list }) => ({
      write: (group, leases) =>
        stored({ list } as LeaseStore, group).pipe(
          mergeMap((rows) =>
            leases.every((lease) => isNext(rows.get(lease.shard), lease))
              ? write(group, leases)
              : of(leases.map(() => false)),
          ),
        ),
    })),
    caughtBy: '7 replaces a row',
    seen: /wrongly answered: .* with 6/,
  },
  {
    name: 'tries again by itself, and says false of what it has written',
    driver: broken(({ write }) => ({
      write: (group, leases) =>
        from(write(group, leases)).pipe(mergeMap((answers) => (answers[0] ? write(group, leases) : of(answers)))),
    })),
    caughtBy: '8 refuses the same write again',
    seen: /^The same write twice is to be true, then false; it was false, then false/,
  },
  {
    name: 'takes the same write for done',
    driver: broken(looking((row, lease) => isNext(row, lease) || row?.counter === lease.counter, 0)),
    caughtBy: '8 refuses the same write again',
    seen: /^The same write twice is to be true, then false; it was true, then true/,
  },
  {
    name: 'looks before it takes',
    driver: broken(looking(isNext)),
    caughtBy: '9 lets one of 50',
    seen: /^Of 50 who took a shard at once, 50 were told that they have it/,
  },
  {
    name: 'looks before it takes many',
    driver: broken(looking(isNext)),
    caughtBy: '9 gives each shard one owner',
    seen: /^These were given to several: "shard-/,
  },
  {
    name: 'gives up where others are in the way',
    driver: broken(({ write }) => {
      let under = 0;
      return {
        write: (group, leases) =>
          defer(() => {
            if (under > 0) return throwError(() => new Error('deadlock detected'));
            under++;
            return from(write(group, leases)).pipe(
              delay(1),
              concatMap((answers) => (under--, of(answers))),
            );
          }),
      };
    }),
    caughtBy: '9 gives each shard one owner',
    seen: /^deadlock detected$/,
  },
  {
    name: 'looks before it renews',
    driver: broken(looking(isNext)),
    caughtBy: '10 counts each write',
    seen: /^Counters that are not the number of writes: "shard-000" is at \d+ after \d+/,
  },
  {
    name: 'removes whatever the counter is',
    driver: broken((store) => ({
      remove: (group, leases) =>
        stored(store, group).pipe(
          mergeMap((rows) =>
            store.remove(
              group,
              leases.flatMap(({ shard }) => rows.get(shard) ?? []),
            ),
          ),
        ),
    })),
    caughtBy: '11 removes a row',
    seen: /^After the remove of one of four, these are not listed: "b", "c"/,
  },
  {
    name: 'keeps what is removed, without a word',
    driver: broken(({ add, remove }) => {
      const gone = new Set<string>();
      return {
        remove: (group, leases) =>
          defer(() => {
            for (const { shard, counter } of leases) if (counter === 5) gone.add(shard);
            return remove(group, leases);
          }),
        add: (group, leases) =>
          defer(() =>
            add(
              group,
              leases.filter(({ shard }) => !gone.has(shard)),
            ),
          ),
      };
    }),
    caughtBy: '11 removes a row',
    seen: /^After it was added anew, these are not listed: "a"/,
  },
  {
    name: 'looks before it removes',
    driver: broken((store) => ({
      remove: (group, leases) =>
        stored(store, group).pipe(
          map((rows) => leases.filter(({ shard, counter }) => rows.get(shard)?.counter === counter)),
          delay(1),
          mergeMap((right) =>
            stored(store, group).pipe(
              mergeMap((rows) =>
                store.remove(
                  group,
                  right.flatMap(({ shard }) => rows.get(shard) ?? []),
                ),
              ),
            ),
          ),
        ),
    })),
    caughtBy: '12 lets one win',
    seen: /these are not listed: "shard-000"/,
  },
  {
    name: 'joins the names of a group by a colon',
    driver: broken(grouping(({ consumer, stream }) => ({ consumer: `${consumer}:${stream}`, stream: '' }))),
    caughtBy: '13 keeps groups apart',
    seen: /^In \{"consumer":"conformance-[^"]*","stream":"a:b"\}, owner of "shard" is to be/,
  },
  {
    name: 'has no column for the stream',
    driver: broken(grouping(({ consumer }) => ({ consumer, stream: '' }))),
    caughtBy: '13 keeps groups apart',
    seen: /owner of "shard" is to be/,
  },
  {
    name: 'removes of all groups',
    driver: broken(({ add, remove }) => {
      const groups: LeaseGroup[] = [];
      return {
        add: (group, leases) => defer(() => (groups.push(group), add(group, leases))),
        remove: (_, leases) => defer(() => from(groups).pipe(mergeMap((group) => remove(group, leases)))),
      };
    }),
    caughtBy: '13 keeps groups apart',
    seen: /^In .*, these are not listed: "shard"/,
  },
  {
    name: 'lists the first page',
    driver: broken(listing((rows) => rows.slice(0, 240))),
    caughtBy: '14 lists 1,000 rows',
    seen: /these are not listed: "shard-240"/,
  },
  {
    name: 'lists the last of each page twice',
    driver: broken(listing((rows) => [...rows, ...rows.slice(239, 240)])),
    caughtBy: '14 lists 1,000 rows',
    seen: /^As they were added, 1 shards are listed more than once/,
  },
  {
    name: 'writes the first 100 rows of a call',
    driver: broken(({ write }) => ({
      write: (group, leases) =>
        from(write(group, leases.slice(0, 100))).pipe(
          map((answers) => leases.map((_, index) => answers[index] ?? false)),
        ),
    })),
    caughtBy: '14 lists 1,000 rows',
    seen: /^Of 1,000 rows 100 were written/,
  },
  {
    name: 'lists from a replica that lags',
    driver: broken((store) => {
      let before: Rows = [];
      return {
        list: (group) =>
          from(store.list(group)).pipe(
            map((rows) => {
              const late = before;
              before = rows;
              return late;
            }),
          ),
      };
    }),
    caughtBy: '15 lists what another',
    seen: /^After write 1, these are not listed: "shard"/,
  },
  {
    name: 'keeps the very row that it was given',
    driver: broken(() => inPlace(false)),
    caughtBy: '15 leaves a list',
    seen: /^After the row that was given has been changed, (checkpoint|parents) of "shard"/,
  },
  {
    name: 'changes rows in place',
    driver: broken(() => inPlace(true)),
    caughtBy: '15 leaves a list',
    seen: /^Before the write, (counter|owner) of "shard"/,
  },
];
