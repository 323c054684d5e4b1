import { describe, expect, it } from '@jest/globals';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

const FIRST = shardId(0);

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
});
