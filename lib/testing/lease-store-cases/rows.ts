import type { LeaseGroup, ShardLease } from '../../core/lease-store.js';
import { check } from '../check.js';
import { newLease, newLeases, nextOf, sameRows } from '../lease-rows.js';
import type { LeaseStoreCase } from '../lease-store-world.js';

const FULL = { checkpoint: 'c'.repeat(200), acked: 'a'.repeat(4_000) };
const MAX = Number.MAX_SAFE_INTEGER;

/** Text that a store may take for something else, or for the same. */
const ODD = [
  ...'NULL null 0 {} {a,b} [] "" " \' ` \\ \\\\ \\" $1 :a #a % _ * a A a,b a/b é e\u0301 ß ss 鍵 😀 \u0001 \u007f \uffff'.split(
    ' ',
  ),
  ...[' ', ' a', 'a ', 'a b', 'a\tb', 'a\nb'],
];
const SEPARATORS = ['/', '#', ':', '|', '.', ',', '-', '_', ' ', '\t', '\u0001', '\\', '"', '","', "'", '鍵'];

/** 1 to 4 and 13 to 15: the rows of a group. @internal */
export const leaseRowCases: readonly LeaseStoreCase[] = [
  {
    behaviours: [1],
    title: 'lists nothing of a group without rows, and answers calls without rows',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      sameRows('Before anything was added', await store.list(group), []);
      await store.add(group, []);
      await store.write(group, []);
      await store.remove(group, []);
      sameRows('After calls without rows', await store.list(group), []);
    },
  },
  {
    behaviours: [2],
    title: 'keeps each field of a row, by add and by write: the want of an owner, empty text, the order of parents',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const empty = newLease('empty');
      const taken = { owner: 'ann', wantedBy: 'bob', checkpoint: '49@2', acked: '+1', doneUntil: 1_700_000_000_123 };
      const full = newLease('full', { ...taken, parents: ['z', 'a'] });
      await store.add(group, [empty, full]);
      sameRows('As they were added', await store.list(group), [empty, full]);
      const turned = [
        { ...full, shard: 'empty', counter: 2 },
        { ...empty, shard: 'full', counter: 2 },
      ];
      await store.write(group, turned);
      sameRows('As they were written', await store.list(group), turned);
      const back = [
        { ...empty, counter: 3 },
        { ...full, counter: 3 },
      ];
      await store.write(group, back);
      sameRows('Written once more', await store.list(group), back);
    },
  },
  {
    behaviours: [3],
    title: 'keeps any text, and names of 200 characters, a checkpoint of 200 and acked of 4,000',
    run: async (world) => {
      const store = world.worker();
      const { consumer } = world.group();
      const long = (start: string): string => start.padEnd(200, '鍵');
      const group = { consumer: long(consumer), stream: long('stream') };
      const odd = ODD.map((text) =>
        newLease(text, { owner: text, wantedBy: text, checkpoint: text, acked: text, parents: [text, `${text}+`] }),
      );
      const large = newLease(long('shard'), {
        ...{ owner: long('owner'), wantedBy: long('wanted by'), parents: [long('one'), long('other')] },
        ...{ checkpoint: long('checkpoint'), acked: '鍵'.repeat(4_000) },
      });
      const rows = [...odd, large];
      await store.add(group, rows);
      sameRows('As they were added', await store.list(group), rows);
      const next = rows.map((row) => nextOf(row));
      const answers = await store.write(group, next);
      check(
        answers.every(Boolean),
        () => `Of ${rows.length} rows with odd names ${answers.filter(Boolean).length} were written.`,
      );
      sameRows('As they were written', await store.list(group), next);
      await store.remove(group, next);
      sameRows('After all were removed', await store.list(group), []);
    },
  },
  {
    behaviours: [4],
    title: 'keeps numbers up to 2^53 - 1, and counts there',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const counters = [0, 2 ** 31 - 1, 2 ** 32 - 1, 2 ** 52, MAX - 1];
      const rows = counters.map((counter, index) =>
        newLease(`at-${index}`, { counter, doneUntil: counters[counters.length - 1 - index] ?? 0 }),
      );
      await store.add(group, rows);
      sameRows('As they were added', await store.list(group), rows);
      const next = rows.map((row) => nextOf(row, { doneUntil: MAX }));
      await store.write(group, next);
      sameRows('As they were written', await store.list(group), next);
      await store.remove(group, rows);
      sameRows('Removed by counters of before', await store.list(group), next);
    },
  },
  {
    behaviours: [13],
    title: 'keeps groups apart, whatever their names are',
    run: async (world) => {
      const store = world.worker();
      const { consumer } = world.group();
      const groups: LeaseGroup[] = [
        ...SEPARATORS.flatMap((s) => [
          { consumer: `${consumer}${s}a`, stream: 'b' },
          { consumer, stream: `a${s}b` },
          { consumer: `${consumer}${s}a${s}`, stream: 'b' },
        ]),
        ...[
          { consumer, stream: 'a' },
          { consumer, stream: 'A' },
          { consumer, stream: 'a ' },
        ],
        { consumer: consumer.toUpperCase(), stream: 'a' },
      ];
      const rowsOf = (index: number): ShardLease[] => [newLease('shard', { owner: `owner ${index}` })];
      for (const [index, group] of groups.entries()) await store.add(group, rowsOf(index));
      const listed = (index: number): Promise<readonly ShardLease[]> => store.list(groups[index] as LeaseGroup);
      for (const index of groups.keys())
        sameRows(`In ${JSON.stringify(groups[index])}`, await listed(index), rowsOf(index));
      const written = [nextOf(newLease('shard'), { owner: 'written' })];
      await store.write(groups[0] as LeaseGroup, written);
      await store.remove(groups[1] as LeaseGroup, rowsOf(1));
      sameRows('In the group of the write', await listed(0), written);
      sameRows('In the group of the remove', await listed(1), []);
      for (const index of [...groups.keys()].slice(2))
        sameRows(`In ${JSON.stringify(groups[index])}`, await listed(index), rowsOf(index));
    },
  },
  {
    behaviours: [14],
    title: 'lists 1,000 rows of full size',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const rows = newLeases(1_000, { ...FULL, owner: 'ann', parents: ['shard-left', 'shard-right'] });
      await store.add(group, rows);
      sameRows('As they were added', await store.list(group), rows);
      const next = rows.map((row) => nextOf(row));
      const answers = await store.write(group, next);
      check(answers.every(Boolean), () => `Of 1,000 rows ${answers.filter(Boolean).length} were written.`);
      sameRows('As they were written', await world.worker().list(group), next);
    },
  },
  {
    behaviours: [15],
    title: 'lists what another has written the moment before',
    run: async (world) => {
      const [one, other, group] = [world.worker(), world.worker(), world.group()];
      let row = newLease('shard');
      await one.add(group, [row]);
      for (let turn = 0; turn < 50; turn++) {
        row = nextOf(row, { checkpoint: `at ${turn}` });
        await one.write(group, [row]);
        sameRows(`After write ${turn + 1}`, await other.list(group), [row]);
      }
    },
  },
  {
    behaviours: [15],
    title: 'leaves a list as it was, whatever is written later, and keeps rows of its own',
    run: async (world) => {
      const [store, group] = [world.worker(), world.group()];
      const parents = ['parent'];
      const given = { ...newLease('shard'), parents };
      await store.add(group, [given]);
      const before = await store.list(group);
      given.checkpoint = 'changed by who gave it';
      parents.push('changed by who gave it');
      const row = newLease('shard', { parents: ['parent'] });
      sameRows('After the row that was given has been changed', await store.list(group), [row]);
      await store.write(group, [nextOf(row, { owner: 'ann' })]);
      await store.add(group, [newLease('another')]);
      sameRows('Before the write', before, [row]);
    },
  },
];
