import { describe, expect, it } from '@jest/globals';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

const FIRST = shardId(0);
const fanOut = { consumerName: 'efo' } as const;

describe('fromKinesis with fanOut', () => {
  it('emits what is there and what comes as it comes, in order, and keeps a checkpoint', () =>
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
      worker.unsubscribe();
      helpers.advanceTo(10_000);
      expect(kinesis.openSubscriptions()).toEqual([]);
    }));
});
