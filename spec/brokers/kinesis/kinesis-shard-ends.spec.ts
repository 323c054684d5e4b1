import { describe, expect, it } from '@jest/globals';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

const FIRST = shardId(0);
const HOUR_MS = 3_600_000;

describe('the end of a shard under fromKinesis', () => {
  it('leads another worker to what the shard became, also where the one that has read it stops', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a');
      const first = workers.start({ acks: false });
      helpers.advanceTo(1_000);
      const second = workers.start();
      helpers.advanceTo(5_000);
      const [lower, upper] = stream.split(0);
      stream.append(lower, 'b');
      stream.append(upper, 'c');
      helpers.advanceTo(8_000);
      first.stop();
      first.ack('a');
      helpers.advanceTo(9_000);
      expect(first.completed).toBe(true);
      expect(workers.rows().get(FIRST)?.checkpoint).toBe('SHARD_END');
      helpers.advanceTo(20_000);
      expect(second.texts().sort()).toEqual(['b', 'c']);
    }));

  it('is not passed over by a look at the shards that began before it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(5_000);
      // The first shard ends, and the list that tells of its children is long on its way; meanwhile the second one ends.
      kinesis.latencyMs = ({ operation }) => (operation === 'listShards' ? 3_000 : 1);
      stream.split(0);
      helpers.at(7_500, () => {
        const [lower] = stream.split(1);
        stream.append(lower, 'a');
      });
      helpers.advanceTo(30_000);
      expect(worker.texts()).toEqual(['a']);
    }));

  it('asks again where it cannot be told whether the shard is gone', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.retentionHours = 60_000 / HOUR_MS;
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a', 'b', 'c');
      const worker = workers.start({
        acks: false,
        maxInFlight: 1,
        maxBufferedBytes: 1,
        recordsPerRead: 1,
        onPositionLost: 'earliest',
        shardSyncMs: 3_600_000,
      });
      helpers.advanceTo(10_000);
      const [lower] = stream.split(0);
      helpers.advanceTo(75_000);
      stream.append(lower, 'd');
      kinesis.fail('listShards', { name: 'InternalFailureException', times: 3 });
      helpers.at(75_000, () => worker.ack(...worker.texts()));
      for (let at = 75_100; at < 120_000; at += 100) helpers.at(at, () => worker.ack(...worker.texts()));
      helpers.advanceTo(120_000);
      expect(worker.eventsOf('unavailable').length).toBeGreaterThan(0);
      expect(worker.texts().at(-1)).toBe('d');
    }));

  it('is no end where retention has passed what was left of it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.retentionHours = 36_000 / HOUR_MS;
      const workers = workersOf(helpers, kinesis);
      const [checkpoint] = stream.append(0, 'a');
      const first = workers.start();
      helpers.advanceTo(2_000);
      first.stop();
      helpers.advanceTo(5_000);
      stream.append(0, 'b');
      helpers.advanceTo(20_000);
      const [lower] = stream.split(0);
      stream.append(lower, 'c');
      // Its records are gone, and it is listed still.
      helpers.advanceTo(45_000);
      const second = workers.start();
      helpers.advanceTo(60_000);
      expect(second.error).toMatchObject({ code: 'position-lost' });
      expect(second.texts()).toEqual([]);
      expect(workers.rows().get(FIRST)?.checkpoint).toBe(`AFTER ${checkpoint}`);
    }));

  it.each(['error', 'earliest'] as const)(
    'is none, and the position is lost, where the service knows no shard for it and lists one: %s',
    (onPositionLost) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        const [checkpoint] = kinesis.stream('s').append(0, 'a');
        const first = workers.start();
        helpers.advanceTo(2_000);
        first.stop();
        helpers.advanceTo(5_000);
        // As kinesis-local answers, where the stream was made anew.
        kinesis.deleteStream('s');
        kinesis.createStream('s').append(0, 'b');
        kinesis.fail('getShardIterator', {
          name: 'ResourceNotFoundException',
          times: Infinity,
          when: ({ input }) => (input as { StartingSequenceNumber?: string }).StartingSequenceNumber === checkpoint,
        });
        const second = workers.start({ onPositionLost });
        helpers.advanceTo(15_000);
        expect(second.eventsOf('position-lost')).toHaveLength(1);
        expect(second.texts()).toEqual(onPositionLost === 'error' ? [] : ['b']);
        if (onPositionLost === 'error') expect(second.error).toMatchObject({ code: 'position-lost' });
      }),
  );
});
