import { describe, expect, it } from '@jest/globals';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

describe('a reshard under fromKinesis', () => {
  it('reads what a shard became only once all of it is done, and from its oldest record on', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const stream = kinesis.stream('s');
      stream.append(0, 'a', 'b');
      const worker = workers.start({ acks: false });
      helpers.advanceTo(1_000);
      const [lower, upper] = stream.split(0);
      stream.append(lower, 'c');
      stream.append(upper, 'd');
      helpers.advanceTo(20_000);
      expect(worker.texts()).toEqual(['a', 'b']);
      worker.ack('b');
      helpers.advanceTo(22_000);
      expect(worker.texts()).toEqual(['a', 'b']);
      worker.ack('a');
      helpers.advanceTo(25_000);
      expect(worker.texts().sort()).toEqual(['a', 'b', 'c', 'd']);
      worker.ack('c', 'd');
      // Both have moved on, so the row of what they came of is gone.
      helpers.advanceTo(160_000);
      expect([...workers.rows().keys()].sort()).toEqual([shardId(lower), shardId(upper)]);
    }));

  it.each(['last-records', 'empty-page'] as const)('emits the records of a last page: %s', (endOfShard) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.endOfShard = endOfShard;
      const stream = kinesis.stream('s');
      stream.append(0, 'a', 'b');
      const [lower] = stream.split(0);
      stream.append(lower, 'c');
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(10_000);
      expect(worker.texts()).toEqual(['a', 'b', 'c']);
    }),
  );

  it('reads a merged shard once both of its parents are done', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const stream = kinesis.stream('s');
      stream.append(0, 'a');
      stream.append(1, 'b');
      const worker = workersOf(helpers, kinesis).start({ acks: false });
      helpers.advanceTo(1_000);
      const merged = stream.merge(0, 1);
      stream.append(merged, 'c');
      worker.ack('a');
      helpers.advanceTo(10_000);
      expect(worker.texts().sort()).toEqual(['a', 'b']);
      worker.ack('b');
      helpers.advanceTo(15_000);
      expect(worker.texts()).toContain('c');
    }));

  it('keeps the order of a key through split, merge and split, and repeats nothing', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start();
      let sent = 0;
      const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
      for (let at = 100; at < 40_000; at += 100) {
        helpers.at(at, () => {
          const key = keys[sent % keys.length] as string;
          stream.put(key, `${key}/${sent++}`);
        });
      }
      helpers.at(5_050, () => void stream.split(0));
      helpers.at(12_050, () => void stream.merge(1, 2));
      helpers.at(13_050, () => void stream.split(3));
      helpers.at(14_050, () => void stream.split(4));
      helpers.advanceTo(60_000);
      expect(worker.texts()).toHaveLength(sent);
      expect(new Set(worker.texts()).size).toBe(sent);
      for (const key of keys) {
        const numbers = worker
          .texts()
          .filter((text) => text.startsWith(key))
          .map((text) => Number(text.split('/')[1]));
        expect(numbers).toEqual([...numbers].sort((left, right) => left - right));
      }
    }));

  it('finds shards on every page of the list', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 7 });
      kinesis.shardsPerPage = 2;
      const stream = kinesis.stream('s');
      for (let shard = 0; shard < 7; shard++) stream.append(shard, `${shard}`);
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(3_000);
      expect(worker.texts().sort()).toEqual(['0', '1', '2', '3', '4', '5', '6']);
    }));

  it('finds by the audit what nobody told of', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.childShards = false;
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      const worker = workers.start({ shardSyncMs: 10_000 });
      helpers.advanceTo(1_000);
      const [lower, upper] = stream.split(0);
      stream.append(lower, 'a');
      stream.append(upper, 'b');
      helpers.advanceTo(25_000);
      expect(worker.texts().sort()).toEqual(['a', 'b']);
    }));
});
