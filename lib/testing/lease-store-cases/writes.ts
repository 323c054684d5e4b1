import type { ShardLease } from '../../core/lease-store.js';
import { check, list } from '../check.js';
import { nameOf, newLease, newLeases, nextOf, sameRows, shuffled } from '../lease-rows.js';
import type { LeaseStoreCase } from '../lease-store-world.js';

/** 5, 7, 8 and 11: what is written, and what is left alone. @internal */
export const leaseWriteCases: readonly LeaseStoreCase[] = [
  {
    behaviours: [5],
    title: 'adds what is missing, and leaves what is there as it is',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const there = newLease('b', { counter: 7, owner: 'ann', checkpoint: '100' });
      await store.add(group, [there]);
      const [a, c] = [newLease('a', { owner: 'bob' }), newLease('c', { owner: 'bob' })];
      await world.worker().add(group, [a, newLease('b', { owner: 'bob' }), c]);
      sameRows('After an add of three, one of which is there', await store.list(group), [a, there, c]);
    },
  },
  {
    behaviours: [7],
    title: 'replaces a row whose stored counter is one less, no other, and answers in the order given',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const rows = newLeases(60, { counter: 5 });
      await store.add(group, rows);
      const steps = [1, 0, 2, -1, -4];
      const asked = shuffled([
        ...rows.map((row, index) => ({ ...row, owner: 'ann', counter: 5 + (steps[index % steps.length] ?? 0) })),
        newLease('unknown', { counter: 6 }),
      ]);
      const isNext = ({ shard, counter }: ShardLease): boolean => counter === 6 && shard !== 'unknown';
      const answers = await store.write(group, asked);
      const wrong = asked.filter((lease, index) => answers[index] !== isNext(lease));
      check(
        wrong.length === 0,
        () => `Stored was 5; wrongly answered: ${list(wrong.map((each) => `${nameOf(each)} with ${each.counter}`))}.`,
      );
      const taken = new Map(asked.filter(isNext).map((lease) => [lease.shard, lease]));
      const wanted = rows.map((row) => taken.get(row.shard) ?? row);
      sameRows('After the write', await store.list(group), wanted);
    },
  },
  {
    behaviours: [8],
    title: 'refuses the same write again, whose answer may have been lost, and the list tells of the first',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const row = newLease('shard');
      await store.add(group, [row]);
      const taken = nextOf(row, { owner: 'ann' });
      const first = await store.write(group, [taken]);
      const again = await store.write(group, [taken]);
      check(
        first[0] === true && again[0] === false,
        () => `The same write twice is to be true, then false; it was ${first[0]}, then ${again[0]}.`,
      );
      sameRows('After both', await world.worker().list(group), [taken]);
      const on = await store.write(group, [nextOf(taken)]);
      check(on[0] === true, () => 'Who has seen its own write in the list cannot go on from it.');
    },
  },
  {
    behaviours: [11],
    title: 'removes a row whose stored counter is the given one, no other; what is removed can be added anew',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const rows = ['a', 'b', 'c', 'd'].map((shard) => newLease(shard, { counter: 5 }));
      await store.add(group, rows);
      const steps = [0, 1, -1];
      const asked = rows.slice(0, 3).map(({ shard }, index) => ({ shard, counter: 5 + (steps[index] ?? 0) }));
      await store.remove(group, [...asked, { shard: 'unknown', counter: 5 }]);
      sameRows('After the remove of one of four', await store.list(group), rows.slice(1));
      const late = await store.write(group, [newLease('a', { counter: 6 })]);
      check(late[0] === false, () => 'A write to a removed row is answered with true.');
      sameRows('After a write to what is removed', await store.list(group), rows.slice(1));
      const anew = newLease('a', { owner: 'ann' });
      await store.add(group, [anew]);
      sameRows('After it was added anew', await store.list(group), [anew, ...rows.slice(1)]);
    },
  },
];
