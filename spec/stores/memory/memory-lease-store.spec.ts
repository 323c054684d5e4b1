import { describe, expect, it } from '@jest/globals';
import { concat, delay, from, mergeMap, of } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import type { ShardLease } from '../../../lib/index.js';
import { memoryLeaseStore } from '../../../lib/memory.js';

const GROUP = { consumer: 'billing', stream: 'orders' };
const lease: ShardLease = {
  ...{ shard: 'shard-0', counter: 1, owner: null, wantedBy: null },
  ...{ checkpoint: '', acked: '', doneUntil: 0, parents: [] },
};
const taken: ShardLease = { ...lease, counter: 2, owner: 'ann' };

// What every lease store does is in spec/conformance/lease-store.spec.ts.
describe('memoryLeaseStore', () => {
  it('does nothing before it is subscribed to, and acts for each who subscribes', () => {
    const store = memoryLeaseStore();
    const seen: unknown[] = [];
    const add = from(store.add(GROUP, [lease]));
    const list = from(store.list(GROUP));
    const write = from(store.write(GROUP, [taken]));
    const remove = from(store.remove(GROUP, [taken]));
    // It answers at once: all of it is here when subscribe returns.
    concat(list, add, list, write, list, write, remove, list).subscribe((answer) => seen.push(answer));
    expect(seen).toEqual([[], [lease], [true], [taken], [false], []]);
  });

  it('answers in virtual time in the frame of the call', () => {
    new TestScheduler((actual, expected) => expect(actual).toEqual(expected)).run(({ cold, expectObservable }) => {
      const store = memoryLeaseStore();
      const calls = {
        a: of(null).pipe(mergeMap(() => store.add(GROUP, [lease]))),
        w: of(null).pipe(mergeMap(() => store.write(GROUP, [taken]))),
        l: of(null).pipe(
          delay(2),
          mergeMap(() => store.list(GROUP)),
        ),
      };
      const answers = { t: [true], f: [false], l: [taken] };
      expectObservable(cold('w-a-w-w-l|', calls).pipe(mergeMap((call) => call))).toBe('f---t-f---(l|)', answers);
    });
  });
});
