import { describe, expect, it } from '@jest/globals';
import type { AssignedPartition, LogEngine } from '../../../lib/core/log-engine.js';
import { pageSlices } from '../../../lib/brokers/kinesis/kinesis-page-slices.js';
import { createReading } from '../../../lib/brokers/kinesis/kinesis-reading.js';
import type { KinesisRecord } from '../../../lib/brokers/kinesis/kinesis-record.js';
import { deaggregate, MESSAGES_AT_ONCE, takeApart } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { workersOf } from '../../support/kinesis-workers.js';
import { entry, keyEntry, seal } from '../../support/kpl-wire.js';
import { marbles } from '../../support/marbles.js';

const HEAD = keyEntry('k');
const numbered = (count: number): Uint8Array =>
  seal(Buffer.from([...HEAD, ...Array.from({ length: count }, (_, at) => entry(0, String(at))).flat()]));
const recordOf = (Data: Uint8Array) => ({ SequenceNumber: '7', PartitionKey: 'k', Data });
const textOf = ({ data }: KinesisRecord): string => Buffer.from(data).toString();

describe('an aggregate of very many messages', () => {
  it('is taken apart part by part, and gives the same', () => {
    const record = recordOf(numbered(2 * MESSAGES_AT_ONCE + 3));
    const long = takeApart(record, null);
    if (!('next' in long)) throw new Error('it is not long');
    const parts: (readonly KinesisRecord[])[] = [];
    while (!long.isDone) parts.push(long.next(MESSAGES_AT_ONCE));
    expect(parts.map(({ length }) => length)).toEqual([MESSAGES_AT_ONCE, MESSAGES_AT_ONCE, 3]);
    expect(parts.flat()).toEqual(deaggregate(record, null));
    expect(parts.flat().map(textOf)).toEqual(Array.from({ length: 2 * MESSAGES_AT_ONCE + 3 }, (_, at) => String(at)));
  });

  it('is one message as it is where its last one is not sound', () => {
    const good = Array.from({ length: MESSAGES_AT_ONCE + 1 }, () => entry(0, '')).flat();
    const record = recordOf(seal(Buffer.from([...HEAD, ...good, ...entry(1, 'of a key that is not there')])));
    expect(takeApart(record, null)).toMatchObject([{ subSequenceNumber: null, data: record.Data }]);
  });

  it('is given to the engine a slice a turn, and only as long as that takes more', () =>
    marbles((helpers) => {
      const pushed: number[] = [];
      const seen = { takes: true, wakes: 0, over: 0, left: [] as number[] };
      const assigned: AssignedPartition = { topic: 's', partition: 'shard', live: true, paused: false };
      const engine = {
        push: (_: AssignedPartition, records: readonly KinesisRecord[]) => void pushed.push(records.length),
      } as unknown as LogEngine<KinesisRecord>;
      const reading = createReading(engine, assigned, {
        row: {
          shard: 'shard',
          counter: 1,
          owner: 'w',
          wantedBy: null,
          checkpoint: '',
          acked: '',
          doneUntil: 0,
          parents: [],
        },
        start: { kind: 'oldest' },
        range: null,
        options: { until: null, onPositionLost: 'error' },
        retentionMs: () => 86_400_000,
        isClosed: () => false,
        endMs: Infinity,
      });
      const slices = pageSlices(
        reading,
        { came: () => undefined, left: (bytes) => void seen.left.push(bytes) },
        {
          mayGive: () => seen.takes,
          follow: () => undefined,
          wake: () => void seen.wakes++,
          over: () => void seen.over++,
        },
      );
      const [long, short] = [recordOf(numbered(3 * MESSAGES_AT_ONCE)), recordOf(Buffer.from('plain'))];
      slices.page({ records: [short, long, short], lagMs: 0, isLast: true });
      slices.ended();
      expect([pushed, seen.over]).toEqual([[MESSAGES_AT_ONCE], 0]);
      expect(seen.left[0]).toBeGreaterThan(long.Data.length);
      helpers.advanceTo(1);
      // The next turns: a slice each.
      expect(pushed.every((count) => count <= MESSAGES_AT_ONCE)).toBe(true);
      expect([pushed.reduce((sum, count) => sum + count, 0), seen.over]).toEqual([3 * MESSAGES_AT_ONCE + 2, 1]);
      expect([seen.left.at(-1), reading.hasMore]).toEqual([0, false]);

      slices.page({ records: [long], lagMs: 0, isLast: false });
      seen.takes = false;
      const before = pushed.length;
      helpers.advanceTo(5);
      expect([pushed.length, reading.hasMore]).toEqual([before, true]);
      seen.takes = true;
      slices.goOn();
      helpers.advanceTo(6);
      expect([pushed.slice(before), reading.hasMore]).toEqual([[MESSAGES_AT_ONCE, MESSAGES_AT_ONCE], false]);
    }));
});

describe('fromKinesis with pages of very many messages', () => {
  const COUNT = 12_000;

  it.each([false, true])('emits each once, in order, and goes on behind them; fan-out: %s', (fanOut) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start(fanOut ? { fanOut: true } : {});
      kinesis.stream('s').append(0, 'first', { key: 'k', data: numbered(COUNT) }, 'last');
      kinesis.stream('s').split(0);
      helpers.advanceTo(20_000);
      kinesis.stream('s').append(1, 'child');
      helpers.advanceTo(30_000);
      const expected = ['first', ...Array.from({ length: COUNT }, (_, at) => String(at)), 'last', 'child'];
      expect(worker.texts()).toEqual(expected);
    }),
  );

  it('goes on within one where a worker stops, and repeats nothing', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      kinesis.stream('s').append(0, { key: 'k', data: numbered(COUNT) });
      const first = workers.start({ acks: false, maxInFlight: 100, drainTimeoutMs: 100 });
      helpers.advanceTo(2_000);
      first.ack(...first.texts());
      helpers.advanceTo(4_000);
      first.stop();
      helpers.advanceTo(6_000);
      expect(first.completed).toBe(true);
      const done = new Set(first.texts().slice(0, 100));
      const second = workers.start();
      helpers.advanceTo(20_000);
      expect(second.texts()).toEqual(
        Array.from({ length: COUNT }, (_, at) => String(at)).filter((text) => !done.has(text)),
      );
    }));

  it('ends at the end that it had at the subscription, once all of the page is done', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.stream('s').append(0, { key: 'k', data: numbered(COUNT) });
      const worker = workersOf(helpers, kinesis).start({ until: 'end' });
      helpers.advanceTo(60_000);
      expect([worker.completed, worker.texts().length]).toEqual([true, COUNT]);
    }));
});
