import { describe, expect, it } from '@jest/globals';
import { defer, map, of } from 'rxjs';
import type { KinesisClientLike, KinesisPageLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import { readByNow, waitForOthers } from '../../../lib/brokers/kinesis/kinesis-end.js';
import type { ShardLease } from '../../../lib/core/lease-store.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { promised } from '../../support/kinesis-fake-calls.js';
import { shardId, type FakeStream } from '../../support/kinesis-fake-stream.js';
import { workersOf, type Worker } from '../../support/kinesis-workers.js';
import { cutOff, faultyLeases } from '../../support/lease-faults.js';
import { marbles } from '../../support/marbles.js';

/** Stores so many records in each shard, `0/0`, `0/1`, …, and answers with their texts. */
function fill(stream: FakeStream, shards: readonly number[], count: number): string[] {
  const texts = shards.flatMap((shard) => Array.from({ length: count }, (_, n) => `${shard}/${n}`));
  for (const text of texts) stream.append(Number(text.split('/')[0]), text);
  return texts.sort();
}

function textsOf(...workers: readonly Worker[]): string[] {
  return [...new Set(workers.flatMap((worker) => worker.texts()))].sort();
}

describe("until: 'end'", () => {
  it.each([0, 3_000, 9_000, 15_000])('reads what a worker had that was killed %d ms before', (ms) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const all = fill(kinesis.stream('s'), [0, 1], 20);
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const killed = workers.start({ leases, acks: false });
      helpers.advanceTo(5_000);
      killed.ack('0/0', '1/0');
      helpers.advanceTo(8_000);
      cutOff(leases);
      killed.unsubscribe();
      helpers.advanceTo(8_000 + ms);
      const next = workers.start({ until: 'end' });
      helpers.advanceTo(40_000);
      expect(next.completed).toBe(true);
      expect(next.texts().sort()).toEqual(all.filter((text) => !text.endsWith('/0')));
    }),
  );

  it('reads what stopped workers have left, whoever the rows name', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      const all = fill(kinesis.stream('s'), [0, 1], 3);
      const leases = faultyLeases(workers.store);
      const first = workers.start({ leases, acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(2_000);
      // It could not give back what it had.
      leases.fault = (call) => (call === 'write' ? 'fails' : null);
      first.stop();
      helpers.advanceTo(4_000);
      expect([...workers.rows().values()].every(({ owner }) => owner !== null)).toBe(true);
      const next = workers.start({ until: 'end' });
      helpers.advanceTo(30_000);
      expect([next.completed, next.texts().sort()]).toEqual([true, all]);
    }));

  it('of two workers completes for each once all is done, by whichever', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 4 });
      const all = fill(kinesis.stream('s'), [0, 1, 2, 3], 10);
      const workers = workersOf(helpers, kinesis);
      // The first takes all, does nothing, and hands over all but one shard.
      const [slow, quick] = [workers.start({ until: 'end', acks: false }), workers.start({ until: 'end' })];
      helpers.advanceTo(30_000);
      expect(quick.texts()).toHaveLength(30);
      expect([quick.completed, slow.completed]).toEqual([false, false]);
      slow.ack(...slow.texts());
      helpers.advanceTo(45_000);
      expect([quick.completed, slow.completed]).toEqual([true, true]);
      expect(textsOf(quick, slow)).toEqual(all);
      expect(quick.texts()).toHaveLength(30);
    }));

  it('does not count a shard as read that it is handing over undone', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const all = fill(kinesis.stream('s'), [0, 1], 10);
      const workers = workersOf(helpers, kinesis);
      const first = workers.start({ until: 'end', acks: false });
      helpers.advanceTo(2_000);
      const second = workers.start({ until: 'end', acks: false });
      helpers.advanceTo(5_000);
      const wanted = [...workers.rows().values()].find(({ wantedBy }) => wantedBy !== null)?.shard;
      expect(wanted).toBeDefined();
      first.ack(...first.texts().filter((text) => shardId(Number(text.split('/')[0])) !== wanted));
      helpers.advanceTo(30_000);
      expect(second.texts()).toHaveLength(10);
      expect([first.completed, second.completed]).toEqual([false, false]);
      second.ack(...second.texts());
      helpers.advanceTo(45_000);
      expect([first.completed, second.completed]).toEqual([true, true]);
      expect(textsOf(first, second)).toEqual(all);
    }));

  it('goes on with what the other worker had that is killed amid it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 4 });
      const all = fill(kinesis.stream('s'), [0, 1, 2, 3], 10);
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const killed = workers.start({ leases, until: 'end', acks: false });
      const other = workers.start({ until: 'end' });
      helpers.advanceTo(30_000);
      expect([other.texts().length, other.completed]).toEqual([30, false]);
      cutOff(leases);
      killed.unsubscribe();
      helpers.advanceTo(36_000);
      expect(other.completed).toBe(false);
      helpers.advanceTo(60_000);
      expect([other.completed, other.texts().sort()]).toEqual([true, all]);
    }));

  it('beside a worker that reads on waits for what that has, told after a minute, and has a share itself', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 3 });
      const all = fill(kinesis.stream('s'), [0, 1, 2], 5);
      const workers = workersOf(helpers, kinesis);
      const on = workers.start({ acks: false, leaseMs: 3_000 });
      helpers.advanceTo(3_000);
      const job = workers.start({ until: 'end', leaseMs: 3_000 });
      helpers.advanceTo(120_000);
      expect(job.completed).toBe(false);
      expect(job.texts()).not.toEqual([]);
      expect(job.eventsOf('misuse')).toEqual([
        expect.objectContaining({
          code: 'until-end-waits',
          message: expect.stringMatching(/shardId-\d+ \(of the worker w/),
        }),
      ]);
      on.ack(...on.texts());
      helpers.advanceTo(160_000);
      expect([job.completed, textsOf(on, job)]).toEqual([true, all]);
    }));

  it('completes where all was done before, by whoever has the shards, and tells nothing', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      fill(kinesis.stream('s'), [0, 1], 5);
      const workers = workersOf(helpers, kinesis);
      workers.start();
      helpers.advanceTo(30_000);
      const job = workers.start({ until: 'end' });
      helpers.advanceTo(70_000);
      expect([job.completed, job.texts(), job.eventsOf('misuse')]).toEqual([true, [], []]);
    }));

  it.each<[string, Parameters<FakeKinesis['fail']>[1]]>([
    ['fails', { code: 'ECONNRESET', times: 4 }],
    ['is throttled', { name: 'LimitExceededException', times: 4 }],
  ])('reads what a shard became where the list %s as it ends', (_, fault) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a');
      const first = workers.start();
      helpers.advanceTo(2_000);
      first.stop();
      helpers.advanceTo(4_000);
      const [lower, upper] = stream.split(0);
      stream.append(lower, 'b');
      stream.append(upper, 'c');
      // The shards are listed once, which is before the first of them has ended.
      const job = workers.start({ until: 'end' });
      helpers.at(4_003, () => kinesis.fail('listShards', fault));
      helpers.advanceTo(60_000);
      expect([job.completed, job.texts().sort()]).toEqual([true, ['b', 'c']]);
    }),
  );

  it.each([
    ['in one part', 'old'],
    ['in several parts', 'x'.repeat(1_048_000)],
  ])('leaves what arrived later to who reads on, also on the last page of a closed shard, taken %s', (_, old) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 1 });
      const stream = kinesis.stream('s');
      for (let i = 0; i < 3; i++) stream.append(0, old);
      // Nothing comes of it before it is closed.
      kinesis.emptyPages = 50;
      const workers = workersOf(helpers, kinesis);
      const job = workers.start({ until: 'end', readIntervalMs: 250 });
      helpers.advanceTo(11_000);
      stream.append(0, 'late');
      stream.split(0);
      stream.append(1, 'later');
      helpers.advanceTo(60_000);
      expect([job.completed, job.texts()]).toEqual([true, [old, old, old]]);
      const next = workers.start();
      helpers.advanceTo(90_000);
      expect(next.texts()).toEqual(['late', 'later']);
    }),
  );

  it('reads what a shard became that the list shows late', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a');
      const [lower, upper] = stream.split(0);
      stream.append(lower, 'b');
      stream.append(upper, 'c');
      const late = { until: 20_000 };
      const client: FakeKinesis = { ...kinesis, listShards: (...call) => withoutChildren(kinesis, late, call) };
      const job = workers.start({ until: 'end', client });
      helpers.advanceTo(19_000);
      expect([job.completed, job.texts()]).toEqual([false, ['a']]);
      helpers.advanceTo(40_000);
      expect([job.completed, job.texts().sort()]).toEqual([true, ['a', 'b', 'c']]);
    }));

  it('reads what a shard became whose rows are not seen yet when the last of the others is at its end', () => {
    for (let ms = 0; ms < 1_500; ms += 25) {
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        const stream = kinesis.stream('s');
        const workers = workersOf(helpers, kinesis);
        stream.append(0, 'a');
        const first = workers.start();
        helpers.advanceTo(2_000);
        first.stop();
        helpers.advanceTo(4_000);
        const client: FakeKinesis = { ...kinesis, listShards: (...call) => withoutChildren(kinesis, late, call) };
        const late = { until: 4_150 };
        const [lower, upper] = stream.split(0);
        stream.append(lower, 'b');
        stream.append(upper, 'c');
        kinesis.latencyMs = ({ shard }) => (shard === shardId(1) ? ms : 1);
        const leases = faultyLeases(workers.store);
        leases.latencyMs = 100;
        const job = workers.start({ until: 'end', leases, client, checkpointIntervalMs: 0 });
        helpers.advanceTo(30_000);
        expect({ ms, completed: job.completed, texts: job.texts().sort() }).toEqual({
          ms,
          completed: true,
          texts: ['b', 'c'],
        });
      });
    }
  });

  it('reads what a closed shard became that looks as if all of it were read, as on kinesalite', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const [lower, upper] = stream.split(0);
      stream.append(lower, 'b');
      stream.append(upper, 'c');
      let blank = 3;
      const client: FakeKinesis = {
        ...kinesis,
        getRecords: (input, options) => {
          if (blank-- <= 0) return kinesis.getRecords(input, options);
          const page: KinesisPageLike = { Records: [], NextShardIterator: input.ShardIterator, MillisBehindLatest: 0 };
          return promised(of(page));
        },
      };
      const job = workersOf(helpers, kinesis).start({ until: 'end', client });
      helpers.advanceTo(30_000);
      expect([job.completed, job.texts().sort()]).toEqual([true, ['b', 'c']]);
    }));

  it('waits for no shard that came of one that was open at first and is read to its end', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const stream = kinesis.stream('s');
      stream.append(0, 'a');
      stream.append(1, 'b');
      const workers = workersOf(helpers, kinesis);
      const job = workers.start({ until: 'end', acks: false, shardSyncMs: 5_000 });
      helpers.advanceTo(3_000);
      job.ack('a');
      helpers.advanceTo(6_000);
      // It has let the shard go: others may read on.
      expect(workers.rows().get(shardId(0))?.owner).toBeNull();
      stream.split(0);
      helpers.advanceTo(20_000);
      expect([...workers.rows().keys()]).toContain(shardId(2));
      expect(job.completed).toBe(false);
      job.ack('b');
      helpers.advanceTo(25_000);
      expect([job.completed, job.texts().sort()]).toEqual([true, ['a', 'b']]);
    }));
});

describe('what is left to be read by now', () => {
  const row = (shard: string, more: Partial<ShardLease> = {}): ShardLease => {
    const rest = { counter: 2, owner: 'other', wantedBy: null, checkpoint: 'AFTER 1', acked: '', doneUntil: 0 };
    return { shard, parents: [], ...rest, ...more };
  };
  const left = (
    rows: readonly ShardLease[],
    { read = [], closed = [] }: { readonly read?: readonly string[]; readonly closed?: readonly string[] } = {},
  ): string[] => {
    const isReadByNow = readByNow({
      rows: new Map(rows.map((each) => [each.shard, each])),
      endMs: 100,
      isRead: (shard) => read.includes(shard),
      isClosed: (shard) => closed.includes(shard),
    });
    return rows.filter((each) => !isReadByNow(each)).map(({ shard }) => shard);
  };

  it('is whatever is neither done nor read, though it has an owner', () => {
    const rows = [row('a'), row('b', { checkpoint: 'SHARD_END' }), row('c', { owner: null }), row('d')];
    expect(left(rows, { read: ['d'] })).toEqual(['a', 'c']);
  });

  it('is nothing of a shard of which all of that time is done, unless it was closed and became others', () => {
    const rows = [row('a', { doneUntil: 99 }), row('b', { doneUntil: 100 }), row('c', { doneUntil: 100 })];
    expect(left(rows, { closed: ['c'] })).toEqual(['a', 'c']);
  });

  it('is nothing of a start that is to come, of closed shards neither', () => {
    const later = { checkpoint: 'AT_TIMESTAMP 100', doneUntil: 100 };
    const sooner = { checkpoint: 'AT_TIMESTAMP 99', doneUntil: 100 };
    expect(left([row('a', later), row('b', later), row('c', sooner)], { closed: ['a', 'c'] })).toEqual(['c']);
  });

  it('is what a shard became that has ended, and nothing of what one became that was read while it was open', () => {
    const rows = [
      row('a', { checkpoint: 'SHARD_END' }),
      row('b', { parents: ['a'] }),
      row('c'),
      row('d', { parents: ['c'] }),
      row('e', { parents: ['d'] }),
      row('f', { parents: ['a', 'e'] }),
    ];
    expect(left(rows)).toEqual(['b', 'c', 'd', 'e', 'f']);
    expect(left(rows, { read: ['c'] })).toEqual(['b']);
  });

  it('is found through any number of generations', () => {
    const rows = Array.from({ length: 20_000 }, (_, n) => row(`${n}`, n === 0 ? {} : { parents: [`${n - 1}`] }));
    expect(left([...rows].reverse())).toHaveLength(20_000);
    expect(left([...rows].reverse(), { closed: ['0'], read: ['0'] })).toEqual([]);
  });

  it('is told of once, where it is left to others for a minute on end', () =>
    marbles((helpers) => {
      const told: string[] = [];
      const wait = waitForOthers((message) => void told.push(message));
      for (let at = 0; at < 50_000; at += 5_000) helpers.at(at, () => wait([row('a')]));
      helpers.at(50_000, () => wait([]));
      for (let at = 55_000; at < 200_000; at += 5_000)
        helpers.at(at, () => wait([row('a', { owner: null }), row('b')]));
      helpers.advanceTo(114_000);
      expect(told).toEqual([]);
      helpers.advanceTo(200_000);
      expect(told).toEqual([expect.stringMatching(/2 shards, the first of them a \(of no worker\)/)]);
    }));
});

/** A list that shows shards that came of others, and that these are closed, only from a time on. */
function withoutChildren(
  kinesis: FakeKinesis,
  late: { readonly until: number },
  call: Parameters<KinesisClientLike['listShards']>,
): ReturnType<KinesisClientLike['listShards']> {
  return promised(
    defer(() => kinesis.listShards(...call)).pipe(
      map((list) => {
        if ((kinesis.callsOf('listShards').at(-1)?.at ?? 0) >= late.until) return list;
        const first = (list.Shards ?? []).filter(({ ParentShardId }) => ParentShardId === undefined);
        return { ...list, Shards: first.map((shard) => ({ ...shard, SequenceNumberRange: undefined })) };
      }),
    ),
  );
}
