import { describe, expect, it } from '@jest/globals';
import type { KinesisStartingPositionLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import { aggregateByAws } from '../../support/aws-kinesis-agg.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

const FIRST = shardId(0);
const fanOut = { consumerName: 'efo' } as const;

function positionsOf(kinesis: FakeKinesis, shard = FIRST): KinesisStartingPositionLike[] {
  return kinesis.subscriptionsOf(shard).map(({ position }) => position);
}

describe('fromKinesis with fanOut', () => {
  it('emits what is there and what comes, as it comes, without one read, and keeps a checkpoint', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const stream = kinesis.stream('s');
      stream.append(0, 'a', 'b');
      const worker = workers.start({ fanOut });
      helpers.advanceTo(3_000);
      expect(worker.texts()).toEqual(['a', 'b']);
      const [last] = stream.append(0, 'c');
      helpers.advanceTo(3_010);
      expect(worker.texts()).toEqual(['a', 'b', 'c']);
      helpers.advanceTo(6_000);
      expect(workers.rows().get(FIRST)).toMatchObject({ checkpoint: `AFTER ${last}`, acked: '' });
      expect(kinesis.callsOf('getRecords')).toEqual([]);
      expect(kinesis.callsOf('getShardIterator')).toEqual([]);
    }));

  it.each([['stop'], ['unsubscribe']] as const)('ends its subscriptions on %s, and calls nothing more (I8)', (how) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 3 });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(3_000);
      expect(kinesis.openSubscriptions()).toHaveLength(3);
      worker[how]();
      helpers.advanceTo(4_000);
      expect(kinesis.subscriptions.map(({ state, isReturned }) => [state, isReturned])).toEqual(
        Array(3).fill(['aborted', true]),
      );
      expect(worker.eventsOf('closed')).toHaveLength(1);
      const { length } = kinesis.calls;
      helpers.advanceTo(200_000);
      expect(kinesis.calls).toHaveLength(length);
    }),
  );

  it('ends the subscription of a shard that it hands over, and the other worker goes on behind the checkpoint', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      const stream = kinesis.stream('s');
      for (const shard of [0, 1]) stream.append(shard, `${shard}a`, `${shard}b`);
      const left = workers.start({ fanOut });
      helpers.advanceTo(10_000);
      const right = workers.start({ fanOut });
      helpers.advanceTo(40_000);
      for (const shard of [0, 1]) stream.append(shard, `${shard}c`);
      helpers.advanceTo(45_000);
      expect([...left.texts(), ...right.texts()].sort()).toEqual(['0a', '0b', '0c', '1a', '1b', '1c']);
      expect(right.texts()).toHaveLength(1);
      expect(kinesis.openSubscriptions()).toHaveLength(2);
      expect(kinesis.subscriptions.filter(({ state }) => state === 'ResourceInUseException')).toEqual([]);
    }));

  describe('starts', () => {
    it('at the oldest record', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        workersOf(helpers, kinesis).start({ fanOut });
        helpers.advanceTo(2_000);
        expect(positionsOf(kinesis)).toEqual([{ Type: 'TRIM_HORIZON' }]);
      }));

    it('at a time', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const stream = kinesis.stream('s');
        stream.append(0, 'a');
        helpers.advanceTo(5_000);
        stream.append(0, 'b');
        const worker = workersOf(helpers, kinesis).start({ fanOut, start: new Date(3_000) });
        helpers.advanceTo(7_000);
        expect(worker.texts()).toEqual(['b']);
        expect(positionsOf(kinesis)).toEqual([{ Type: 'AT_TIMESTAMP', Timestamp: new Date(3_000) }]);
      }));

    it('at given positions, and at the oldest record of the other shards', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        const stream = kinesis.stream('s');
        const [, second] = stream.append(0, 'a', 'b', 'c') as [string, string, string];
        stream.append(1, 'd');
        const start = [{ shard: FIRST, sequenceNumber: second }];
        const worker = workersOf(helpers, kinesis).start({ fanOut, start });
        helpers.advanceTo(2_000);
        expect(worker.texts().sort()).toEqual(['b', 'c', 'd']);
        expect(positionsOf(kinesis)).toEqual([{ Type: 'AT_SEQUENCE_NUMBER', SequenceNumber: second }]);
      }));

    it("at 'latest' exactly: polls up to the first message, for an iterator knows where that was", () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        const stream = kinesis.stream('s');
        helpers.advanceTo(60_000);
        stream.append(0, 'before');
        helpers.advanceTo(61_000);
        const worker = workers.start({ fanOut, start: 'latest' });
        helpers.advanceTo(61_010);
        const [, second] = stream.append(0, 'a', 'b');
        helpers.advanceTo(65_000);
        expect(worker.texts()).toEqual(['a', 'b']);
        stream.append(0, 'c');
        helpers.advanceTo(65_010);
        expect(worker.texts()).toEqual(['a', 'b', 'c']);
        expect(positionsOf(kinesis)).toEqual([{ Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: second }]);
        const reads = kinesis.callsOf('getRecords').length;
        helpers.advanceTo(120_000);
        expect(kinesis.callsOf('getRecords')).toHaveLength(reads);
      }));

    it("at 'latest' has its place before it reads: a crash before the first message loses none", () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        helpers.advanceTo(60_000);
        const first = workers.start({ fanOut, start: 'latest', drainTimeoutMs: 0 });
        helpers.advanceTo(61_000);
        first.unsubscribe();
        kinesis.stream('s').append(0, 'a');
        const second = workers.start({ fanOut, start: 'latest' });
        helpers.advanceTo(80_000);
        expect(second.texts()).toEqual(['a']);
        expect(positionsOf(kinesis)[0]).toMatchObject({ Type: 'AT_TIMESTAMP' });
      }));

    it('at its checkpoint, inside of an aggregate too', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        const stream = kinesis.stream('s');
        const data = aggregateByAws([0, 1, 2, 3].map((n) => ({ partitionKey: 'k', data: Buffer.from(`agg${n}`) })));
        const [aggregate = ''] = stream.append(0, { data, key: 'k' }, 'z');
        const first = workers.start({ fanOut, acks: false, drainTimeoutMs: 100 });
        helpers.advanceTo(1_000);
        first.ack('agg0', 'agg1', 'agg3');
        first.stop();
        helpers.advanceTo(10_000);
        expect(workers.rows().get(FIRST)?.checkpoint).toBe(`AFTER ${aggregate}/1`);
        const second = workers.start({ fanOut });
        helpers.advanceTo(20_000);
        expect(second.texts()).toEqual(['agg2', 'z']);
        expect(positionsOf(kinesis).at(-1)).toEqual({ Type: 'AT_SEQUENCE_NUMBER', SequenceNumber: aggregate });
      }));
  });

  describe('renews its subscription', () => {
    it('before the service ends it, behind what came, however little of it is done', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const stream = kinesis.stream('s');
        const worker = workersOf(helpers, kinesis).start({ fanOut, acks: false });
        const [last] = stream.append(0, 'a', 'b').slice(-1);
        helpers.advanceTo(295_000);
        stream.append(0, 'c');
        helpers.advanceTo(299_000);
        expect(worker.texts()).toEqual(['a', 'b', 'c']);
        expect(kinesis.subscriptions.map(({ state }) => state)).toEqual(['aborted', 'open']);
        expect(positionsOf(kinesis)[1]).toEqual({ Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: last });
        expect(worker.eventsOf('unavailable')).toEqual([]);
        worker.ack('a', 'b', 'c');
      }));

    it('where all events were without records: behind the continuation that they gave', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        workersOf(helpers, kinesis).start({ fanOut });
        helpers.advanceTo(298_000);
        const { taken } = kinesis.subscriptionsOf(FIRST)[0] ?? { taken: [] };
        expect(taken.length).toBeGreaterThan(50);
        expect(positionsOf(kinesis)).toEqual([
          { Type: 'TRIM_HORIZON' },
          { Type: 'AFTER_SEQUENCE_NUMBER', SequenceNumber: taken.at(-1)?.ContinuationSequenceNumber },
        ]);
      }));
  });

  describe('at the end of a shard', () => {
    it.each([[false], [true]])(
      'emits what came with it, then reads what it became: it says how to go on, %s',
      (continues) =>
        marbles((helpers) => {
          const kinesis = fakeKinesis();
          kinesis.endContinues = continues;
          const workers = workersOf(helpers, kinesis);
          const stream = kinesis.stream('s');
          stream.append(0, 'a');
          const worker = workers.start({ fanOut });
          helpers.advanceTo(5_000);
          stream.append(0, 'b');
          const [lower, upper] = stream.split(0);
          stream.append(lower, 'c');
          stream.append(upper, 'd');
          helpers.advanceTo(15_000);
          expect(worker.texts().slice(0, 2)).toEqual(['a', 'b']);
          expect(worker.texts().sort()).toEqual(['a', 'b', 'c', 'd']);
          expect(kinesis.subscriptionsOf(FIRST)).toHaveLength(1);
          expect(positionsOf(kinesis, shardId(lower))).toEqual([{ Type: 'TRIM_HORIZON' }]);
          const merged = stream.merge(lower, upper);
          stream.append(merged, 'e');
          helpers.advanceTo(30_000);
          expect(worker.texts().at(-1)).toBe('e');
        }),
    );

    it('waits for all parents of a merged one to be done', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        const workers = workersOf(helpers, kinesis);
        const stream = kinesis.stream('s');
        stream.append(0, 'a');
        stream.append(1, 'b');
        const merged = stream.merge(0, 1);
        stream.append(merged, 'c');
        const worker = workers.start({ fanOut, acks: false });
        helpers.advanceTo(30_000);
        expect(worker.texts().sort()).toEqual(['a', 'b']);
        worker.ack('a');
        helpers.advanceTo(60_000);
        expect(kinesis.subscriptionsOf(shardId(merged))).toEqual([]);
        worker.ack('b');
        helpers.advanceTo(70_000);
        expect(worker.texts().at(-1)).toBe('c');
        worker.ack('c');
      }));
  });

  it("with until: 'end' completes once all that was there is done, through a reshard", () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const stream = kinesis.stream('s');
      stream.append(0, 'a');
      stream.append(1, 'b');
      const [lower] = stream.split(0);
      stream.append(lower, 'c');
      const worker = workersOf(helpers, kinesis).start({ fanOut, until: 'end' });
      helpers.advanceTo(30_000);
      expect(worker.completed).toBe(true);
      expect(worker.texts().sort()).toEqual(['a', 'b', 'c']);
      expect(kinesis.openSubscriptions()).toEqual([]);
    }));
});
