import { describe, expect, it } from '@jest/globals';
import { from, tap } from 'rxjs';
import type { AssignedPartition } from '../../../lib/core/log-engine.js';
import { createReadBudget, type ShardBudget } from '../../../lib/brokers/kinesis/kinesis-read-budget.js';
import type { KinesisClientLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { marbles } from '../../support/marbles.js';
import { workersOf } from '../../support/kinesis-workers.js';

const MiB = 1024 * 1024;
/** A record of 10 KB with what is counted for itself. */
const RECORD = { SequenceNumber: '1', PartitionKey: 'k', Data: new Uint8Array(10_240 - 257) };
const page = (count: number, lagMs = 1_000) => ({ records: Array.from({ length: count }, () => RECORD), lagMs });

/** The bound of an engine, by itself. */
function world(maxBufferedBytes: number) {
  const reserved = new Map<object, number>();
  const state = { buffered: 0, woken: [] as number[] };
  const inUse = (): number => state.buffered + [...reserved.values()].reduce((sum, bytes) => sum + bytes, 0);
  const budget = createReadBudget(
    {
      hasRoom: (bytes) => inUse() + bytes <= maxBufferedBytes,
      reserve: (partition, bytes) => void reserved.set(partition, bytes),
    },
    maxBufferedBytes,
  );
  const open = (partition: number): ShardBudget => {
    const assigned: AssignedPartition = { topic: 's', partition, live: true, paused: false };
    return budget.open(assigned, () => void state.woken.push(partition));
  };
  return { budget, open, inUse, state };
}

describe('the budget of reads', () => {
  it('takes a shard that was never read for the largest answer, until one has been', () =>
    marbles(() => {
      const { open, inUse } = world(25 * MiB);
      const [first, second, third] = [open(1), open(2), open(3)] as [ShardBudget, ShardBudget, ShardBudget];
      expect([first.admit(1_000), second.admit(1_000), third.admit(1_000)]).toEqual([1_000, 1_000, 0]);
      expect(inUse()).toBe(20 * MiB);
      first.came(page(100));
      first.left(0);
      // By the records of the others it knows how large its own will be: 4 MiB of them are asked for.
      expect([third.admit(1_000), inUse()]).toEqual([409, 10 * MiB + 409 * 10_240]);
    }));

  it('counts what has come instead of what was expected, and then what is left of it', () =>
    marbles(() => {
      const { open, inUse } = world(64 * MiB);
      const shard = open(1);
      shard.admit(1_000);
      shard.came(page(50));
      expect(inUse()).toBe(50 * 10_240);
      shard.left(10_240);
      expect(inUse()).toBe(10_240);
      shard.left(0);
      expect(inUse()).toBe(0);
    }));

  it('has those who find no room wait in a row, and wakes them in their order as there is room', () =>
    marbles(() => {
      const { budget, open, state } = world(8 * MiB);
      const shards = [1, 2, 3, 4].map(open) as [ShardBudget, ShardBudget, ShardBudget, ShardBudget];
      shards[0].admit(1_000);
      shards[0].came(page(100));
      shards[0].left(0);
      // These bytes are pushed, and nobody has taken them.
      state.buffered = 8 * MiB;
      expect(shards.map((shard) => shard.admit(1_000))).toEqual([0, 0, 0, 0]);
      state.buffered = 4 * MiB;
      budget.room();
      expect(state.woken).toEqual([1]);
      state.buffered = 0;
      budget.room();
      expect(state.woken).toEqual([1, 2]);
      // The first shard takes up what it was granted; one that comes anew does not pass those that wait.
      expect([shards[0].admit(1_000), open(5).admit(1)]).toEqual([409, 0]);
      shards[0].nothing();
      expect(state.woken).toEqual([1, 2, 3]);
    }));

  it('passes by any number of those who decline as they are woken, as fan-out does where it is paused', () =>
    marbles(() => {
      const { budget, state } = world(MiB);
      const [woken, shards] = [[] as number[], [] as ShardBudget[]];
      const open = (partition: number, declines: boolean): void => {
        const assigned: AssignedPartition = { topic: 's', partition, live: true, paused: false };
        const shard: ShardBudget = budget.open(assigned, () => {
          woken.push(partition);
          if (declines) shard.declined();
        });
        shards.push(shard);
      };
      state.buffered = MiB;
      for (let partition = 0; partition < 5_000; partition++) open(partition, true);
      open(5_000, false);
      for (const shard of shards) expect(shard.admitEvent()).toBe(false);
      state.buffered = 0;
      budget.room();
      expect(woken).toEqual(shards.map((_, partition) => partition));
      // They ask again once they may be read.
      expect([shards[5_000]?.admitEvent(), shards[0]?.admitEvent()]).toEqual([true, true]);
    }));

  it('gives on what somebody does not want any more', () =>
    marbles(() => {
      const { budget, open, state } = world(MiB);
      const [first, second, third] = [open(1), open(2), open(3)] as [ShardBudget, ShardBudget, ShardBudget];
      state.buffered = MiB;
      for (const shard of [first, second, third]) shard.admit(10);
      state.buffered = 0;
      budget.room();
      expect(state.woken).toEqual([1]);
      first.declined();
      expect(state.woken).toEqual([1, 2]);
      second.close();
      expect(state.woken).toEqual([1, 2, 3]);
      third.admit(10);
      // Under way: it is not given on.
      third.declined();
      expect(open(4).admit(10)).toBe(0);
    }));

  it('always has one read under way below the bound, however small that is', () =>
    marbles(() => {
      const { open } = world(1);
      const [first, second] = [open(1), open(2)];
      expect([first.admit(10), second.admit(10)]).toEqual([10, 0]);
    }));

  it('asks for little where a shard was read to its end a moment ago', () =>
    marbles(({ advanceTo }) => {
      const { open, inUse } = world(64 * MiB);
      const shard = open(1);
      shard.admit(1_000);
      shard.came(page(3, 0));
      shard.left(0);
      advanceTo(1_000);
      shard.admit(1_000);
      // A shard takes 1 MiB a second.
      expect(inUse()).toBe(1.25 * MiB);
    }));

  it('reserves for what is sent as much as came last', () =>
    marbles(() => {
      const { open, inUse } = world(3 * MiB);
      const [first, second] = [open(1), open(2)];
      for (const shard of [first, second]) {
        expect(shard.admitEvent()).toBe(true);
        shard.came({ records: Array.from({ length: 205 }, () => RECORD), lagMs: 0 });
        shard.left(0);
      }
      expect([first.admitEvent(), second.admitEvent()]).toEqual([true, false]);
      expect(inUse()).toBe(205 * 10_240);
    }));
});

/** Counts what answers bring. */
function counting(kinesis: FakeKinesis, answered: (bytes: number) => void): FakeKinesis {
  const getRecords: KinesisClientLike['getRecords'] = (input, options) =>
    from(kinesis.getRecords(input, options)).pipe(
      tap(({ Records = [] }) => answered(Records.reduce((sum, { Data }) => sum + (Data?.length ?? 0), 0))),
    ) as unknown as ReturnType<KinesisClientLike['getRecords']>;
  return Object.assign(Object.create(kinesis) as FakeKinesis, { getRecords });
}

describe('fromKinesis over many shards with a backlog', () => {
  it.each([0, 200])(
    'holds no more than maxBufferedBytes and one answer where nothing is taken (I3): %d ms',
    (latencyMs) =>
      marbles((helpers) => {
        const [SHARDS, MAX] = [30, 4 * MiB];
        const kinesis = fakeKinesis({ s: SHARDS });
        kinesis.latencyMs = latencyMs;
        const data = new Uint8Array(20_000);
        for (let shard = 0; shard < SHARDS; shard++) {
          kinesis.stream('s').append(shard, ...Array.from({ length: 400 }, () => data));
        }
        let bytes = 0;
        const client = counting(kinesis, (more) => (bytes += more));
        const worker = workersOf(helpers, kinesis).start({
          client,
          acks: false,
          maxInFlight: 8,
          maxBufferedBytes: MAX,
        });
        helpers.advanceTo(60_000);
        expect(worker.values).toHaveLength(8);
        // The largest answer is that of the first read, of records that nobody knew yet: all 400 of a shard.
        expect(bytes).toBeLessThanOrEqual(MAX + 400 * data.length);
        worker.unsubscribe();
      }),
  );

  it('reads all of them in turn as they are taken', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 20 });
      for (let shard = 0; shard < 20; shard++) {
        kinesis.stream('s').append(shard, ...Array.from({ length: 30 }, (_, at) => `${shard}/${at}`.padEnd(2_000)));
      }
      const worker = workersOf(helpers, kinesis).start({ maxBufferedBytes: 20_000, recordsPerRead: 10 });
      helpers.advanceTo(60_000);
      expect(new Set(worker.texts()).size).toBe(600);
      expect(worker.texts()).toHaveLength(600);
    }));
});
