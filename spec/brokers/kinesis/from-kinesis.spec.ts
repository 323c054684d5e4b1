import { describe, expect, it } from '@jest/globals';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

const FIRST = shardId(0);

describe('fromKinesis', () => {
  it('emits what is there and what comes, in order, and keeps a checkpoint', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const stream = kinesis.stream('s');
      stream.append(0, 'a', 'b');
      const worker = workers.start();
      helpers.advanceTo(100);
      expect(worker.texts()).toEqual(['a', 'b']);
      const [last] = stream.append(0, 'c');
      helpers.advanceTo(3_000);
      expect(worker.texts()).toEqual(['a', 'b', 'c']);
      expect(workers.rows().get(FIRST)).toMatchObject({ checkpoint: `AFTER ${last}`, acked: '' });
    }));

  it('tells of a message what Kinesis knows of it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const [sequenceNumber] = kinesis.stream('s').append(0, { data: 'a', key: 'key' });
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(100);
      expect(worker.values[0]).toMatchObject({
        id: `s/${FIRST}/${sequenceNumber}`,
        key: 'key',
        headers: {},
        timestamp: 0,
        attempt: 1,
        position: { broker: 'kinesis', stream: 's', shard: FIRST, sequenceNumber, subSequenceNumber: null },
      });
    }));

  it('goes on behind its checkpoint', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      kinesis.stream('s').append(0, 'a', 'b');
      const first = workers.start();
      helpers.advanceTo(500);
      first.stop();
      helpers.advanceTo(3_000);
      expect(first.completed).toBe(true);
      expect(workers.rows().get(FIRST)?.owner).toBeNull();
      kinesis.stream('s').append(0, 'c');
      const second = workers.start();
      helpers.advanceTo(5_000);
      expect(second.texts()).toEqual(['c']);
    }));

  it('does not repeat what was acked above the checkpoint', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      kinesis.stream('s').append(0, 'a', 'b', 'c', 'd', 'e');
      const first = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(500);
      first.ack('a', 'c', 'e');
      helpers.advanceTo(2_000);
      expect(workers.rows().get(FIRST)?.acked).not.toBe('');
      first.stop();
      helpers.advanceTo(4_000);
      const second = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(6_000);
      expect(second.texts()).toEqual(['b', 'd']);
      second.ack('d');
      second.stop();
      helpers.advanceTo(8_000);
      const third = workers.start();
      helpers.advanceTo(10_000);
      expect(third.texts()).toEqual(['b']);
    }));

  it('moves its checkpoint on over what was acked above it before, where nothing follows', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const [, last] = kinesis.stream('s').append(0, 'a', 'b');
      const first = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(500);
      first.ack('b');
      first.stop();
      helpers.advanceTo(3_000);
      // The checkpoint of `a` is written before `b` is read.
      const second = workers.start({ recordsPerRead: 1, checkpointIntervalMs: 0 });
      helpers.advanceTo(6_000);
      expect(second.texts()).toEqual(['a']);
      expect(workers.rows().get(FIRST)).toMatchObject({ checkpoint: `AFTER ${last}`, acked: '' });
    }));

  it('does not repeat what was acked above a first message that never was', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const [first] = kinesis.stream('s').append(0, 'a', 'b');
      const worker = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(500);
      worker.ack('b');
      worker.stop();
      helpers.advanceTo(3_000);
      expect(workers.rows().get(FIRST)?.checkpoint).toBe(`AT ${first}`);
      const next = workers.start();
      helpers.advanceTo(5_000);
      expect(next.texts()).toEqual(['a']);
    }));

  describe('starts', () => {
    it("at 'latest': what comes once it was subscribed to, durably", () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        const stream = kinesis.stream('s');
        helpers.advanceTo(60_000);
        stream.append(0, 'before');
        helpers.advanceTo(61_000);
        const worker = workers.start({ start: 'latest' });
        helpers.advanceTo(61_010);
        stream.append(0, 'after');
        helpers.advanceTo(63_000);
        expect(worker.texts()).toEqual(['after']);
        expect(kinesis.callsOf('getShardIterator').map(({ input }) => input)).toEqual([
          expect.objectContaining({ ShardIteratorType: 'LATEST' }),
        ]);
      }));

    it("at 'latest' has its place before it reads: a crash before the first message loses none", () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        helpers.advanceTo(60_000);
        kinesis.hang('getRecords');
        const first = workers.start({ start: 'latest', drainTimeoutMs: 0 });
        helpers.advanceTo(61_000);
        // Clocks may differ.
        expect(workers.rows().get(FIRST)?.checkpoint).toBe('AT_TIMESTAMP 50002');
        first.unsubscribe();
        kinesis.stream('s').append(0, 'a');
        const second = workers.start({ start: 'latest' });
        helpers.advanceTo(80_000);
        expect(second.texts()).toEqual(['a']);
      }));

    it('at a time', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const stream = kinesis.stream('s');
        stream.append(0, 'a');
        helpers.advanceTo(5_000);
        stream.append(0, 'b');
        const worker = workersOf(helpers, kinesis).start({ start: new Date(3_000) });
        helpers.advanceTo(7_000);
        expect(worker.texts()).toEqual(['b']);
      }));

    it.each([[undefined], [{ consumerName: 'efo' }]])('at a time to come: waits for it, fanOut %j', (fanOut) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        const stream = kinesis.stream('s');
        const start = new Date(150_000);
        const worker = workersOf(helpers, kinesis).start({ start, ...(fanOut === undefined ? {} : { fanOut }) });
        helpers.at(100_000, () => stream.append(0, 'before'));
        helpers.at(150_500, () => stream.append(0, 'after'));
        helpers.advanceTo(149_000);
        expect(kinesis.calls.filter(({ shard }) => shard !== undefined)).toEqual([]);
        helpers.advanceTo(160_000);
        expect(worker.texts()).toEqual(['after']);
        expect([worker.error, worker.eventsOf('unavailable')]).toEqual([undefined, []]);
      }),
    );

    it.each([[undefined], [{ consumerName: 'efo' }]])(
      'at a time that by the clock of Kinesis is to come: asks again, fanOut %j',
      (fanOut) =>
        marbles((helpers) => {
          const kinesis = fakeKinesis();
          const refused = { name: 'InvalidArgumentException', times: 8 };
          kinesis.fail('getShardIterator', refused);
          kinesis.fail('subscribeToShard', refused);
          helpers.advanceTo(20_000);
          const start = new Date(20_000);
          const worker = workersOf(helpers, kinesis).start({ start, ...(fanOut === undefined ? {} : { fanOut }) });
          kinesis.stream('s').append(0, 'a');
          helpers.advanceTo(40_000);
          expect(worker.texts()).toEqual(['a']);
          expect([worker.error, worker.eventsOf('unavailable')]).toEqual([undefined, []]);
        }),
    );

    it('at given positions, and at the oldest record of the other shards', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        const stream = kinesis.stream('s');
        const [, second] = stream.append(0, 'a', 'b', 'c') as [string, string, string];
        stream.append(1, 'd');
        const worker = workersOf(helpers, kinesis).start({ start: [{ shard: FIRST, sequenceNumber: second }] });
        helpers.advanceTo(2_000);
        expect(worker.texts().sort()).toEqual(['b', 'c', 'd']);
      }));
  });

  describe("until: 'end'", () => {
    it('completes once all that was there is done', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 3 });
        const stream = kinesis.stream('s');
        for (const shard of [0, 1, 2]) stream.append(shard, `${shard}a`, `${shard}b`);
        const worker = workersOf(helpers, kinesis).start({ until: 'end' });
        helpers.advanceTo(10_000);
        expect(worker.completed).toBe(true);
        expect(worker.texts()).toHaveLength(6);
      }));

    it('completes at once where it starts at a time to come', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        kinesis.stream('s').append(0, 'a');
        const worker = workersOf(helpers, kinesis).start({ until: 'end', start: new Date(60_000) });
        helpers.advanceTo(10_000);
        expect([worker.completed, worker.texts()]).toEqual([true, []]);
      }));

    it('completes on a stream that has nothing', () =>
      marbles((helpers) => {
        const worker = workersOf(helpers, fakeKinesis()).start({ until: 'end' });
        helpers.advanceTo(10_000);
        expect(worker.completed).toBe(true);
      }));

    it('reads what shards became, and completes while more comes', () =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const stream = kinesis.stream('s');
        stream.append(0, 'a');
        const [lower, upper] = stream.split(0);
        stream.append(lower, 'b');
        stream.append(upper, 'c');
        const worker = workersOf(helpers, kinesis).start({ until: 'end' });
        for (let at = 100; at < 60_000; at += 100) helpers.at(at, () => stream.append(lower, `at ${at}`));
        helpers.advanceTo(60_000);
        expect(worker.completed).toBe(true);
        expect(worker.texts().slice(0, 1)).toEqual(['a']);
        expect(worker.texts()).toEqual(expect.arrayContaining(['b', 'c']));
      }));
  });

  it('stops: what is out may settle, and nothing comes any more', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const [, b] = kinesis.stream('s').append(0, 'a', 'b');
      const worker = workers.start({ acks: false });
      helpers.advanceTo(500);
      worker.stop();
      kinesis.stream('s').append(0, 'c');
      helpers.advanceTo(2_000);
      worker.ack('a', 'b');
      helpers.advanceTo(3_000);
      expect(worker.completed).toBe(true);
      expect(worker.texts()).toEqual(['a', 'b']);
      expect(workers.rows().get(FIRST)).toMatchObject({ checkpoint: `AFTER ${b}`, owner: null });
      expect(kinesis.openCalls()).toEqual([]);
    }));

  it('reads no more where the bound is reached, and goes on below it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.append(0, ...Array.from({ length: 3_000 }, (_, n) => `${n}`));
      const worker = workersOf(helpers, kinesis).start({
        acks: false,
        maxInFlight: 10,
        maxSpan: 20,
        recordsPerRead: 100,
        maxBufferedBytes: 30_000,
      });
      helpers.advanceTo(20_000);
      expect(worker.texts()).toHaveLength(10);
      const reads = kinesis.callsOf('getRecords').length;
      expect(reads).toBeLessThan(5);
      worker.values.forEach((delivery) => delivery.ack());
      helpers.advanceTo(30_000);
      expect(worker.texts()).toHaveLength(20);
    }));
});
