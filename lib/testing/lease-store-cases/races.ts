import type { ShardLease } from '../../core/lease-store.js';
import { check, list } from '../check.js';
import { givenOnce, nameOf, newLease, newLeases, nextOf, sameRows, shuffled } from '../lease-rows.js';
import type { LeaseStoreCase, LeaseWorker } from '../lease-store-world.js';

/** 6, 9, 10 and 12: several at once. @internal */
export const leaseRaceCases: readonly LeaseStoreCase[] = [
  {
    behaviours: [6],
    title: 'gives each shard one owner where many workers add the same shards and take them at once',
    run: async (world) => {
      const group = world.group();
      const shards = newLeases(40);
      const taken = await Promise.all(
        world.workers(10).map(async (worker, index) => {
          const owner = `worker-${index}`;
          await worker.add(group, shuffled(shards.map((row) => ({ ...row, checkpoint: `added by ${index}` }))));
          const free = shuffled(await worker.list(group)).filter((row) => row.owner === null);
          const takes = free.map((row) => nextOf(row, { owner }));
          const answers = await worker.write(group, takes);
          return takes.filter((_, at) => answers[at]);
        }),
      );
      givenOnce(taken.flat());
      sameRows('After all have added and taken', await world.worker().list(group), taken.flat());
    },
  },
  {
    behaviours: [9],
    title: 'lets one of 50 racing takes win',
    run: async (world) => {
      const group = world.group();
      const workers = world.workers(10);
      const row = newLease('shard');
      await world.worker().add(group, [row]);
      const takes = Array.from({ length: 50 }, (_, racer) => nextOf(row, { owner: `racer-${racer}` }));
      const answers = await Promise.all(
        takes.map((take, racer) => (workers[racer % 10] as LeaseWorker).write(group, [take])),
      );
      const won = takes.filter((_, racer) => answers[racer]?.[0]);
      check(won.length === 1, () => `Of 50 who took a shard at once, ${won.length} were told that they have it.`);
      sameRows('After the race', await world.worker().list(group), won);
    },
  },
  {
    behaviours: [9],
    title: 'gives each shard one owner where many take the same ones in different orders, and ends for all of them',
    run: async (world) => {
      const group = world.group();
      const rows = newLeases(100);
      await world.worker().add(group, rows);
      const won = await Promise.all(
        world.workers(10).map(async (worker, index) => {
          const takes = shuffled(rows).map((row) => nextOf(row, { owner: `worker-${index}` }));
          const answers = await worker.write(group, takes);
          return takes.filter((_, at) => answers[at]);
        }),
      );
      givenOnce(won.flat());
      sameRows('After the race', await world.worker().list(group), won.flat());
    },
  },
  {
    behaviours: [10],
    title: 'counts each write that it answers with true, and no other',
    run: async (world) => {
      const group = world.group();
      const rows = newLeases(3, { counter: 100 });
      await world.worker().add(group, rows);
      const counts = new Map(rows.map(({ shard }) => [shard, 100]));
      const renew = async (owner: string, worker = world.worker()): Promise<void> => {
        for (let turn = 0; turn < 20; turn++) {
          const writes = shuffled(await worker.list(group)).map((row) => nextOf(row, { owner }));
          const answers = await worker.write(group, writes);
          writes.forEach(({ shard }, at) => answers[at] && counts.set(shard, (counts.get(shard) ?? 0) + 1));
        }
      };
      await Promise.all(['a', 'b', 'c', 'd', 'e'].map((owner) => renew(owner)));
      const wrong = (await world.worker().list(group)).filter(({ shard, counter }) => counter !== counts.get(shard));
      check(
        wrong.length === 0,
        () =>
          `Counters that are not the number of writes: ${list(wrong.map((row) => `${nameOf(row)} is at ${row.counter} after ${counts.get(row.shard)}`))}.`,
      );
    },
  },
  {
    behaviours: [12],
    title: 'lets one win where a write and a remove race',
    run: async (world) => {
      const [writer, remover, group] = [world.worker(), world.worker(), world.group()];
      const rows = newLeases(40);
      await writer.add(group, rows);
      const race = async (row: ShardLease, index: number): Promise<ShardLease[]> => {
        const next = nextOf(row, { owner: 'ann' });
        const remove = (): Promise<void> => remover.remove(group, [row]);
        const early = index % 2 === 0 ? remove() : null;
        const [[written]] = await Promise.all([writer.write(group, [next]), early ?? remove()]);
        return written ? [next] : [];
      };
      const left = (await Promise.all(rows.map(race))).flat();
      sameRows('With those alone whose write was answered with true', await world.worker().list(group), left);
    },
  },
];
