import { describe, expect, it } from '@jest/globals';
import type { KinesisSourceOptions } from '../../../lib/brokers/kinesis/kinesis-options.js';
import type { TelemetryEvent } from '../../../lib/index.js';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf, type Worker } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

type LagEvent = Extract<TelemetryEvent, { type: 'lag' }>;

const FIRST = shardId(0);
const EVERY = { lagEveryMs: 1_000 } as const;

const lagsOf = (worker: Worker): LagEvent[] => worker.eventsOf('lag') as LagEvent[];

describe.each<[string, Partial<KinesisSourceOptions>]>([
  ['by polling', {}],
  ['by fan-out', { fanOut: { consumerName: 'efo' } }],
])('the lag of a shard, %s', (_, how) => {
  it('is the age of its oldest message that is not settled, also while the shard is not read', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start({
        ...how,
        ...EVERY,
        acks: false,
        maxInFlight: 2,
        maxBufferedBytes: 1,
      });
      helpers.advanceTo(10_000);
      stream.append(0, 'a', 'b', 'c', 'd');
      helpers.advanceTo(20_000);
      // Stuck, and more comes that nobody reads.
      stream.append(0, 'e');
      helpers.advanceTo(40_500);
      const last = lagsOf(worker).at(-1);
      expect(last).toMatchObject({ partition: { topic: 's', partition: FIRST }, ageMs: 0, inFlight: 2 });
      expect(last?.lagMs).toBeGreaterThanOrEqual(29_000);
      expect(last?.lagMs).toBeLessThanOrEqual(30_500);
      expect(last).not.toHaveProperty('lagMessages');

      // Above an older one: a restart would begin with that.
      worker.ack('b');
      helpers.advanceTo(42_500);
      expect(lagsOf(worker).at(-1)?.lagMs).toBeGreaterThanOrEqual(31_000);
      worker.ack('a');
      worker.ack('c');
      worker.ack('d');
      helpers.advanceTo(60_000);
      expect(lagsOf(worker).at(-1)?.lagMs).toBeGreaterThanOrEqual(38_000);
      expect(lagsOf(worker).at(-1)?.lagMs).toBeLessThanOrEqual(40_000);
      worker.ack('e');
      helpers.advanceTo(80_000);
      expect(lagsOf(worker).at(-1)).toMatchObject({ lagMs: 0, inFlight: 0, bufferedMessages: 0 });
    }));

  it('is 0 on an idle stream, by what Kinesis has said, with its age', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ ...how, ...EVERY });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(60_000);
      const idle = lagsOf(worker).slice(-20);
      expect(idle).toHaveLength(20);
      for (const { lagMs, ageMs } of idle) {
        expect(lagMs).toBe(0);
        expect(ageMs).toBeLessThanOrEqual(6_000);
      }
    }));
});

describe('the lag of a shard', () => {
  it('gets older where Kinesis says nothing, and is not told before it has said something', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ ...EVERY, pollMs: 30_000 });
      helpers.advanceTo(29_500);
      const ages = lagsOf(worker).map(({ ageMs }) => ageMs);
      // It was read at its begin, and not since.
      expect(ages.length).toBeGreaterThan(25);
      expect(ages.at(-1)).toBeGreaterThan(25_000);
      expect(ages).toEqual([...ages].sort((a = 0, b = 0) => a - b));
    }));

  it('goes on at the next owner', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const stream = kinesis.stream('s');
      const first = workers.start({ ...EVERY, acks: false });
      helpers.advanceTo(5_000);
      stream.append(0, 'a');
      helpers.advanceTo(10_000);
      stream.append(0, 'b');
      helpers.advanceTo(12_000);
      first.ack('a');
      helpers.advanceTo(20_500);
      expect(lagsOf(first).at(-1)?.lagMs).toBeGreaterThanOrEqual(9_500);
      first.unsubscribe();
      const second = workers.start({ ...EVERY, acks: false });
      helpers.advanceTo(40_500);
      expect(second.texts()).toEqual(['b']);
      expect(lagsOf(second).at(-1)?.lagMs).toBeGreaterThanOrEqual(29_500);
      expect(lagsOf(second).at(-1)?.lagMs).toBeLessThanOrEqual(30_500);
    }));
});
