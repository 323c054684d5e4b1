import { describe, expect, it } from '@jest/globals';
import { from } from 'rxjs';
import { environment } from '../../../lib/core/environment.js';
import type { ShardLease } from '../../../lib/core/lease-store.js';
import { memoryLeaseStore } from '../../../lib/stores/memory/memory-lease-store.js';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { type GROUP, workersOf, type Workers } from '../../support/kinesis-workers.js';
import { cutOff, faultyLeases, type LeaseFault } from '../../support/lease-faults.js';
import { marbles } from '../../support/marbles.js';

const FIRST = shardId(0);

/** How many shards each owner has. */
function shares({ rows }: Workers): number[] {
  const owners = new Map<string | null, number>();
  for (const { owner } of rows().values()) owners.set(owner, (owners.get(owner) ?? 0) + 1);
  return [...owners.values()].sort();
}

function ownerOf({ rows }: Workers, shard = FIRST): string | undefined {
  return rows().get(shard)?.owner?.split(' ')[0];
}

describe('workers of one consumer', () => {
  it('that start together share the shards', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 10 });
      const workers = workersOf(helpers, kinesis);
      const all = [1, 2, 3, 4].map(() => workers.start());
      for (let shard = 0; shard < 10; shard++) kinesis.stream('s').append(shard, `${shard}`);
      helpers.advanceTo(60_000);
      expect(shares(workers)).toEqual([2, 2, 3, 3]);
      expect(all.flatMap((worker) => worker.texts()).sort()).toHaveLength(10);
    }));

  it('give a newcomer its share, and repeat nothing', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 6 });
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      const first = workers.start({ acks: false });
      let sent = 0;
      for (let at = 100; at < 60_000; at += 50) helpers.at(at, () => void stream.append(sent % 6, `${sent++}`));
      // What is out takes two seconds.
      for (let at = 100; at < 62_000; at += 100) {
        helpers.at(at, () =>
          first.values.filter(({ timestamp }) => timestamp < at - 2_000).forEach((one) => one.ack()),
        );
      }
      helpers.advanceTo(10_000);
      const second = workers.start();
      helpers.advanceTo(70_000);
      expect(shares(workers)).toEqual([3, 3]);
      const texts = [...first.texts(), ...second.texts()];
      expect(texts).toHaveLength(sent);
      expect(new Set(texts).size).toBe(sent);
      expect(second.eventsOf('revoked')).toEqual([]);
    }));

  it('take at once what one leaves that stops', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 4 });
      const workers = workersOf(helpers, kinesis);
      const [first, second] = [workers.start(), workers.start()];
      helpers.advanceTo(30_000);
      expect(shares(workers)).toEqual([2, 2]);
      first.stop();
      helpers.advanceTo(34_000);
      expect(first.completed).toBe(true);
      expect(shares(workers)).toEqual([4]);
      expect(second.eventsOf('assigned').length - second.eventsOf('revoked').length).toBe(4);
    }));

  it('take what a dead one had once its lease has run out, and not before', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const dead = workers.start({ leases });
      helpers.advanceTo(20_000);
      const alive = workers.start();
      helpers.advanceTo(25_000);
      cutOff(leases);
      dead.unsubscribe();
      const lastCounter = workers.rows().get(FIRST)?.counter;
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(33_000);
      expect(workers.rows().get(FIRST)?.counter).toBe(lastCounter);
      expect(alive.texts()).toEqual([]);
      helpers.advanceTo(25_000 + 10_000 + 4_000);
      expect(alive.texts()).toEqual(['a']);
    }));

  it('void the acks of one that was away for longer than its lease', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const away = workers.start({ leases, acks: false });
      stream.append(0, 'a', 'b');
      helpers.advanceTo(5_000);
      const next = workers.start({ acks: false });
      expect(away.texts()).toEqual(['a', 'b']);
      cutOff(leases);
      helpers.advanceTo(40_000);
      expect(next.texts()).toEqual(['a', 'b']);
      next.ack('a');
      helpers.advanceTo(42_000);
      const { checkpoint } = workers.rows().get(FIRST) as ShardLease;
      leases.fault = () => null;
      away.ack('a', 'b');
      helpers.advanceTo(60_000);
      expect(workers.rows().get(FIRST)?.checkpoint).toBe(checkpoint);
      away.ack('b');
      expect(away.eventsOf('revoked')).toHaveLength(1);
      expect(ownerOf(workers)).not.toBe(undefined);
      helpers.advanceTo(61_000);
      expect(workers.rows().get(FIRST)?.checkpoint).toBe(checkpoint);
    }));

  it('stop reading where they are not sure of their lease any more', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      workers.start({ leases });
      helpers.advanceTo(20_000);
      cutOff(leases);
      helpers.advanceTo(31_000);
      const reads = kinesis.callsOf('getRecords').length;
      helpers.advanceTo(60_000);
      expect(kinesis.callsOf('getRecords')).toHaveLength(reads);
      leases.fault = () => null;
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(75_000);
      expect(kinesis.callsOf('getRecords').length).toBeGreaterThan(reads);
      expect(workers.rows().get(FIRST)?.checkpoint).toMatch(/^AFTER/);
    }));

  it('of one name do not take each other for themselves', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 4 });
      const workers = workersOf(helpers, kinesis);
      let turn = 0;
      environment.random = () => (turn = (turn + 0.37) % 1);
      const [first, second] = [workers.start({ worker: 'one' }), workers.start({ worker: 'one' })];
      for (let shard = 0; shard < 4; shard++) kinesis.stream('s').append(shard, `${shard}`);
      helpers.advanceTo(30_000);
      expect([...first.texts(), ...second.texts()].sort()).toEqual(['0', '1', '2', '3']);
      expect(shares(workers)).toEqual([2, 2]);
    }));

  it('leave no shard to themselves, whenever two of them stop, one just after it has joined', () => {
    for (let ms = 0; ms < 5_000; ms += 83) {
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 4 });
        const workers = workersOf(helpers, kinesis);
        const [left, right] = [faultyLeases(workers.store), faultyLeases(workers.store)];
        left.latencyMs = 40;
        right.latencyMs = 60;
        for (const shard of [0, 1, 2, 3]) kinesis.stream('s').append(shard, `${shard}`);
        const first = workers.start({ leases: left, leaseMs: 3_000 });
        helpers.advanceTo(700);
        const second = workers.start({ leases: right, leaseMs: 3_000 });
        helpers.advanceTo(700 + ms);
        first.stop();
        second.stop();
        helpers.advanceTo(3_700 + ms);
        expect([ms, first.completed, second.completed, second.error]).toEqual([ms, true, true, undefined]);
        const named = [...workers.rows().values()].filter(({ owner, wantedBy }) => owner !== null || wantedBy !== null);
        expect({ ms, named }).toEqual({ ms, named: [] });
      });
    }
  });

  it('ask no more for what they have asked for when they stop, so that its owner keeps it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      for (const shard of [0, 1]) kinesis.stream('s').append(shard, `${shard}`);
      // The first worker acks nothing, which keeps it from handing over at once.
      const first = workers.start({ acks: false });
      helpers.advanceTo(10_000);
      const second = workers.start();
      helpers.advanceTo(10_100);
      expect([...workers.rows().values()].filter(({ wantedBy }) => wantedBy !== null)).toHaveLength(1);
      second.stop();
      helpers.advanceTo(10_300);
      expect(second.completed).toBe(true);
      expect([...workers.rows().values()].map(({ wantedBy }) => wantedBy)).toEqual([null, null]);
      helpers.advanceTo(60_000);
      expect(first.eventsOf('revoked')).toEqual([]);
      expect(shares(workers)).toEqual([2]);
    }));

  it.each<LeaseFault>(['fails', 'hangs', 'done and fails', 'done and hangs', 'done and denied'])(
    'give back what they asked for where a call of the store %s as they stop',
    (fault) => {
      for (const call of ['list', 'write'] as const) {
        for (let made = 1; made < 4; made++) {
          marbles((helpers) => {
            const kinesis = fakeKinesis({ s: 2 });
            const workers = workersOf(helpers, kinesis);
            workers.start();
            helpers.advanceTo(9_000);
            const leases = faultyLeases(workers.store);
            leases.latencyMs = 10;
            const second = workers.start({ leases });
            helpers.advanceTo(9_500);
            let calls = 0;
            leases.fault = (wanted) => (wanted === call && ++calls === made ? fault : null);
            second.stop();
            // Sooner than a lease that it left would run out.
            helpers.advanceTo(20_000);
            expect(second.completed).toBe(true);
            const named = [...workers.rows().values()].filter(({ owner, wantedBy }) =>
              [owner, wantedBy].some((name) => name?.startsWith(second.name)),
            );
            expect({ call, made, named }).toEqual({ call, made, named: [] });
          });
        }
      }
    },
  );

  it('complete where the store is out as they stop', () =>
    marbles((helpers) => {
      const workers = workersOf(helpers, fakeKinesis({ s: 2 }));
      const leases = faultyLeases(workers.store);
      const worker = workers.start({ leases });
      helpers.advanceTo(5_000);
      cutOff(leases);
      worker.stop();
      helpers.advanceTo(16_000);
      expect(worker.completed).toBe(true);
      expect(helpers.scheduler.actions).toHaveLength(0);
    }));

  it('take what a dead one had though somebody asks for it meanwhile: that is no sign of life', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const dead = workers.start({ leases });
      helpers.advanceTo(20_000);
      cutOff(leases);
      dead.unsubscribe();
      for (const shard of [0, 1]) kinesis.stream('s').append(shard, `${shard}`);
      // It asks for its share with its first look.
      const next = workers.start();
      helpers.advanceTo(20_100);
      expect([...workers.rows().values()].filter(({ wantedBy }) => wantedBy !== null)).toHaveLength(1);
      helpers.advanceTo(30_600);
      expect(next.texts().sort()).toEqual(['0', '1']);
    }));

  it.each(['listShards', 'describeStreamSummary'] as const)('take what a dead one had while %s hangs', (operation) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const dead = workers.start({ leases });
      const alive = workers.start({ shardSyncMs: 5_000 });
      helpers.advanceTo(20_000);
      kinesis.hang(operation, { times: 20 });
      helpers.advanceTo(26_000);
      expect(kinesis.openCalls().map((call) => call.operation)).toContain(operation);
      cutOff(leases);
      dead.unsubscribe();
      for (const shard of [0, 1]) kinesis.stream('s').append(shard, `${shard}`);
      helpers.advanceTo(26_000 + 10_000 + 4_000);
      expect(alive.texts().sort()).toEqual(['0', '1']);
    }),
  );

  it.each([2, 3, 4])('take what a dead one had where one list of the store in %d fails', (every) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const dead = workers.start({ leases });
      helpers.advanceTo(20_000);
      const flaky = faultyLeases(workers.store);
      let lists = 0;
      flaky.fault = (call) => (call === 'list' && ++lists % every === 0 ? 'fails' : null);
      const alive = workers.start({ leases: flaky });
      helpers.advanceTo(25_000);
      cutOff(leases);
      dead.unsubscribe();
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(25_000 + 10_000 + 6_000);
      expect(alive.texts()).toEqual(['a']);
    }),
  );

  it.each([3_000, 10_000, 60_000])('leave each other their shards after an outage of their store for %d ms', (ms) =>
    marbles((helpers) => {
      for (let at = 20_000; at < 23_333; at += 333) {
        const kinesis = fakeKinesis({ s: 2 });
        const workers = workersOf(helpers, kinesis);
        const stores = [0, 1].map(() => faultyLeases(workers.store));
        const all = stores.map((leases) => workers.start({ leases }));
        const now = helpers.now();
        helpers.advanceTo(now + at);
        const before = all.flatMap((worker) => worker.eventsOf('revoked'));
        for (const leases of stores) leases.fault = () => 'fails';
        helpers.advanceTo(now + at + ms);
        for (const leases of stores) leases.fault = () => null;
        helpers.advanceTo(now + at + ms + 30_000);
        expect(all.flatMap((worker) => worker.eventsOf('revoked'))).toEqual(before);
        for (const worker of all) worker.unsubscribe();
        helpers.advanceTo(helpers.now() + 1_000);
        if (helpers.now() > 200_000) break;
      }
    }),
  );

  it('take what was handed over to one that has died meanwhile', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      const first = workers.start();
      helpers.advanceTo(9_500);
      const leases = faultyLeases(workers.store);
      const dead = workers.start({ leases });
      helpers.advanceTo(9_900);
      expect([...workers.rows().values()].filter(({ wantedBy }) => wantedBy !== null)).toHaveLength(1);
      cutOff(leases);
      dead.unsubscribe();
      for (const shard of [0, 1]) kinesis.stream('s').append(shard, `${shard}`);
      helpers.advanceTo(40_000);
      expect(first.texts().sort()).toEqual(['0', '1']);
      expect(shares(workers)).toEqual([2]);
    }));

  it('take by force what an owner does not drain', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      for (const shard of [0, 1]) kinesis.stream('s').append(shard, `${shard}`);
      const stuck = workers.start({ acks: false, drainTimeoutMs: 200_000 });
      helpers.advanceTo(10_000);
      const next = workers.start({ acks: false, drainTimeoutMs: 1_000 });
      helpers.advanceTo(30_000);
      expect(next.texts()).toHaveLength(1);
      expect(shares(workers)).toEqual([1, 1]);
      const [text] = next.texts() as [string];
      stuck.ack(text);
      helpers.advanceTo(40_000);
      expect(workers.rows().get(shardId(Number(text)))?.checkpoint).toBe('TRIM_HORIZON');
      next.ack(text);
      helpers.advanceTo(45_000);
      expect(workers.rows().get(shardId(Number(text)))?.checkpoint).toMatch(/^AFTER/);
    }));

  it('wait for a drain as long as it may take, however rarely the owner looks', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      for (const shard of [0, 1]) kinesis.stream('s').append(shard, `${shard}`);
      const first = workers.start({ leaseMs: 120_000 });
      helpers.advanceTo(1_000);
      const second = workers.start({ leaseMs: 120_000, drainTimeoutMs: 1_000 });
      helpers.advanceTo(100_000);
      expect(shares(workers)).toEqual([1, 1]);
      expect(first.eventsOf('revoked')).toEqual([expect.objectContaining({ drained: true })]);
      expect(second.texts()).toEqual([]);
    }));

  it('renew their leases while Kinesis answers nothing about the stream', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const first = workers.start({ shardSyncMs: 5_000 });
      helpers.advanceTo(1_000);
      workers.start();
      helpers.advanceTo(4_000);
      kinesis.hang('listShards', { times: 10 });
      helpers.advanceTo(70_000);
      expect(first.eventsOf('revoked')).toEqual([]);
    }));

  it.each(['write', 'list'] as const)('keep their leases where one call of the store hangs: %s', (call) => {
    for (let at = 20_000; at < 24_000; at += 333) {
      marbles((helpers) => {
        const workers = workersOf(helpers, fakeKinesis());
        const leases = faultyLeases(workers.store);
        const first = workers.start({ leases });
        helpers.advanceTo(1_000 + at / 10);
        workers.start();
        helpers.advanceTo(at);
        let left = 1;
        leases.fault = (made) => (made === call && left-- > 0 ? 'hangs' : null);
        helpers.advanceTo(at + 30_000);
        expect(left).toBeLessThan(1);
        expect(first.eventsOf('revoked')).toEqual([]);
      });
    }
  });

  it('give back what they have where Kinesis hangs as they stop', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const worker = workers.start({ shardSyncMs: 5_000 });
      helpers.advanceTo(4_000);
      kinesis.hang('listShards', { times: 10 });
      helpers.advanceTo(10_000);
      expect(kinesis.openCalls().map(({ operation }) => operation)).toContain('listShards');
      worker.stop();
      helpers.advanceTo(12_000);
      expect(worker.completed).toBe(true);
      expect(workers.rows().get(FIRST)?.owner).toBe(null);
    }));

  it('read a shard that was given to them long ago only once they have renewed its lease', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      // It takes the shard, and learns so when another may take it in turn.
      leases.fault = (call) => (call === 'write' ? 'done and fails' : null);
      workers.start({ leases });
      helpers.advanceTo(10);
      leases.fault = () => 'fails';
      helpers.advanceTo(20_000);
      leases.fault = (call) => (call === 'write' ? 'fails' : null);
      helpers.advanceTo(30_000);
      expect(kinesis.callsOf('getRecords')).toEqual([]);
      leases.fault = () => null;
      helpers.advanceTo(35_000);
      expect(kinesis.callsOf('getRecords').length).toBeGreaterThan(2);
    }));

  describe.each<LeaseFault>(['fails', 'hangs', 'done and fails', 'done and hangs', 'done and denied'])(
    'where a call of the store %s',
    (fault) => {
      it.each(['list', 'add', 'write', 'remove'] as const)('lose and repeat nothing: %s', (call) =>
        marbles((helpers) => {
          const kinesis = fakeKinesis({ s: 2 });
          const stream = kinesis.stream('s');
          const workers = workersOf(helpers, kinesis);
          const [left, right] = [faultyLeases(workers.store), faultyLeases(workers.store)];
          const made = new Map([
            [left, 0],
            [right, 0],
          ]);
          for (const leases of [left, right]) {
            // Every third one.
            leases.fault = (wanted) => {
              if (wanted !== call) return null;
              made.set(leases, (made.get(leases) ?? 0) + 1);
              return (made.get(leases) ?? 0) % 3 === 1 ? fault : null;
            };
          }
          const first = workers.start({ leases: left, leaseMs: 30_000 });
          const second = workers.start({ leases: right, leaseMs: 30_000 });
          let sent = 0;
          for (let at = 100; at < 120_000; at += 250) helpers.at(at, () => void stream.put(`${sent % 7}`, `${sent++}`));
          helpers.at(40_000, () => void stream.split(0));
          helpers.at(60_000, () => void stream.merge(1, 3));
          helpers.advanceTo(240_000);
          const texts = [...first.texts(), ...second.texts()];
          expect(new Set(texts).size).toBe(sent);
          expect(texts).toHaveLength(sent);
          expect([first.error, second.error]).toEqual([undefined, undefined]);
        }),
      );
    },
  );

  it('lose nothing in an outage of their store of half a minute, and go on by themselves', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 4 });
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      const [left, right] = [faultyLeases(workers.store), faultyLeases(workers.store)];
      const all = [workers.start({ leases: left }), workers.start({ leases: right })];
      let sent = 0;
      for (let at = 100; at < 100_000; at += 100) helpers.at(at, () => void stream.append(sent % 4, `${sent++}`));
      helpers.at(40_000, () => [left, right].forEach((leases) => (leases.fault = () => 'fails')));
      helpers.at(70_000, () => [left, right].forEach((leases) => (leases.fault = () => null)));
      helpers.advanceTo(140_000);
      const texts = all.flatMap((worker) => worker.texts());
      expect(new Set(texts).size).toBe(sent);
      expect(shares(workers)).toEqual([2, 2]);
      for (const worker of all) {
        expect(worker.eventsOf('unavailable')).toHaveLength(1);
        expect(worker.eventsOf('recovered')).toHaveLength(1);
      }
    }));

  it('tell of a store that takes no writes once, and once of its return', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const worker = workers.start({ leases });
      helpers.at(10_000, () => (leases.fault = (call) => (call === 'write' ? 'fails' : null)));
      helpers.at(40_000, () => (leases.fault = () => null));
      helpers.advanceTo(80_000);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }));

  it.each([0, 2])(
    'do not hammer a store that refuses all writes, answering within %d ms, and tell of it',
    (latencyMs) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        const workers = workersOf(helpers, kinesis);
        const leases = faultyLeases(workers.store);
        leases.latencyMs = latencyMs;
        const worker = workers.start({ leases, leaseMs: 3_000 });
        helpers.advanceTo(10_000);
        leases.calls.length = 0;
        leases.fault = (call) => (call === 'write' ? 'done and denied' : null);
        kinesis.stream('s').append(0, 'a');
        helpers.advanceTo(40_000);
        // Some 10 looks, 3 tries at once with a list each, and then one in 300 ms on average.
        expect(leases.calls.length).toBeLessThan(300);
        expect(worker.eventsOf('unavailable')).toMatchObject([
          { error: { code: 'store-failed', message: expect.stringContaining('has not written the row of shardId-') } },
        ]);
        leases.fault = () => null;
        kinesis.stream('s').append(1, 'b');
        helpers.advanceTo(60_000);
        expect(worker.eventsOf('recovered')).toHaveLength(1);
        expect(worker.texts()).toEqual(['a', 'b']);
        expect([...workers.rows().values()].map(({ checkpoint }) => checkpoint)).toEqual([
          expect.stringMatching(/^AFTER/),
          expect.stringMatching(/^AFTER/),
        ]);
      }),
  );

  it('do not hammer a store as they stop that does not take back what they asked for', () =>
    marbles((helpers) => {
      const workers = workersOf(helpers, fakeKinesis({ s: 2 }));
      workers.start();
      helpers.advanceTo(9_000);
      const leases = faultyLeases(workers.store);
      leases.latencyMs = 2;
      const refusing = {
        ...leases,
        write: (...call: Parameters<typeof leases.write>) =>
          leases.fault('write') === null ? leases.write(...call) : from([call[1].map(() => false)]),
      };
      const second = workers.start({ leases: refusing });
      helpers.advanceTo(9_500);
      leases.calls.length = 0;
      leases.fault = (call) => (call === 'write' ? 'fails' : null);
      second.stop();
      helpers.advanceTo(40_000);
      expect(second.completed).toBe(true);
      expect(leases.calls.length).toBeLessThan(60);
    }));

  describe('where the first rows were not all added', () => {
    it.each([[[0, 1]], [[2, 3]], [[1]], [[0, 3]]])('read the other shards too: only %j were', (kept) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 4 });
        const store = memoryLeaseStore();
        const workers = workersOf(helpers, kinesis, store);
        const leases = faultyLeases(store);
        const add = leases.add.bind(leases);
        // A crash in the middle of it.
        const half = {
          ...leases,
          add: (group: typeof GROUP, rows: readonly ShardLease[]) =>
            from(
              add(
                group,
                rows.filter(({ shard }) => kept.some((number) => shardId(number) === shard)),
              ),
            ),
        };
        half.write = () => from([[]]);
        const dead = workers.start({ leases: half });
        helpers.advanceTo(10);
        dead.unsubscribe();
        for (let shard = 0; shard < 4; shard++) kinesis.stream('s').append(shard, `${shard}`);
        const worker = workers.start();
        helpers.advanceTo(30_000);
        expect(worker.texts().sort()).toEqual(['0', '1', '2', '3']);
      }),
    );
  });

  it('give their shards back where they drain for no time', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      leases.latencyMs = 50;
      const stream = kinesis.stream('s');
      const places = [0, 1].map((shard) => stream.append(shard, `${shard}`)[0]);
      const worker = workers.start({ leases, drainTimeoutMs: 0, checkpointIntervalMs: 60_000 });
      helpers.advanceTo(2_000);
      expect(worker.texts()).toHaveLength(2);
      worker.unsubscribe();
      helpers.advanceTo(2_500);
      expect(worker.eventsOf('closed')).toHaveLength(1);
      expect([...workers.rows().values()]).toMatchObject(
        places.map((place) => ({ owner: null, checkpoint: `AFTER ${place}` })),
      );
    }));

  it.each([[false], [true]])(
    'leave neither calls nor timers behind, wherever one is unsubscribed: fan-out %s',
    (fans) => {
      for (let ms = 0; ms < 60; ms++) {
        marbles((helpers) => {
          const kinesis = fakeKinesis({ s: 3 });
          kinesis.latencyMs = 7;
          const stream = kinesis.stream('s');
          stream.append(0, 'a', 'b');
          stream.append(1, 'c');
          stream.split(1);
          const workers = workersOf(helpers, kinesis);
          const leases = faultyLeases(workers.store);
          leases.latencyMs = 4;
          const fanOut = fans ? ({ fanOut: true } as const) : {};
          const worker = workers.start({ leases, drainTimeoutMs: 100, checkpointIntervalMs: 5, ...fanOut });
          helpers.advanceTo(ms);
          worker.unsubscribe();
          helpers.advanceTo(ms + 400);
          expect(worker.eventsOf('closed')).toHaveLength(1);
          expect([...kinesis.openCalls(), ...kinesis.openSubscriptions()]).toEqual([]);
          expect(helpers.scheduler.actions).toHaveLength(0);
          expect([...workers.rows().values()].filter(({ owner }) => owner !== null)).toEqual([]);
        });
      }
    },
  );
});
