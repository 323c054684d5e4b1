import { describe, expect, it } from '@jest/globals';
import { from, map } from 'rxjs';
import { nextMoves } from '../../../lib/brokers/kinesis/kinesis-assignment.js';
import type { KinesisShardLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import { createLeaseWriter } from '../../../lib/brokers/kinesis/kinesis-lease-writer.js';
import { childlessEnds, finishedRows, firstRows, missingRows } from '../../../lib/brokers/kinesis/kinesis-lineage.js';
import type { ShardLease } from '../../../lib/core/lease-store.js';
import { fromKinesis } from '../../../lib/kinesis.js';
import { memoryLeaseStore } from '../../../lib/stores/memory/memory-lease-store.js';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { GROUP, workersOf } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';
import { until } from '../../support/until.js';

/** Counts how often anything of it is looked at. */
interface Counted {
  looks: number;
}

function counting<T extends object>(target: T, counted: Counted): T {
  return new Proxy(target, {
    get: (of, name) => {
      counted.looks++;
      const value: unknown = Reflect.get(of, name, of);
      // The methods of a Map want the Map itself.
      return typeof value === 'function' ? (value.bind(of) as unknown) : value;
    },
  });
}

const rowOf = (number: number, change: Partial<ShardLease> = {}): ShardLease => ({
  shard: shardId(number),
  counter: 5,
  owner: null,
  wantedBy: null,
  checkpoint: 'AFTER 49',
  acked: '',
  doneUntil: 0,
  parents: [],
  ...change,
});

/** `count` shards, a third of which were split into the others; and their rows. */
function splitStream(count: number, counted: Counted) {
  const parents = Math.floor(count / 3);
  const shards: KinesisShardLike[] = [];
  const rows = new Map<string, ShardLease>();
  const add = (number: number, parent: number | null): void => {
    const isOpen = parent !== null;
    const shard: KinesisShardLike = {
      ShardId: shardId(number),
      ...(isOpen ? { ParentShardId: shardId(parent) } : {}),
      HashKeyRange: { StartingHashKey: '0', EndingHashKey: '1' },
      SequenceNumberRange: { StartingSequenceNumber: '1', ...(isOpen ? {} : { EndingSequenceNumber: '2' }) },
    };
    shards.push(counting(shard, counted));
    const row = rowOf(number, isOpen ? { parents: [shardId(parent)] } : { checkpoint: 'SHARD_END' });
    rows.set(row.shard, counting(row, counted));
  };
  for (let i = 0; i < parents; i++) add(i, null);
  for (let i = 0; i < 2 * parents; i++) add(parents + i, Math.floor(i / 2));
  return { shards, rows: counting(rows, counted), parents };
}

/** A newcomer among workers, one of whom has been asked for half of the shards already, and those stand first. */
function sharedStream(count: number, counted: Counted): Map<string, ShardLease> {
  const rows = Array.from({ length: count }, (_, number) =>
    rowOf(number, number < count / 2 ? { owner: `w${number % 50}`, wantedBy: 'busy' } : { owner: 'busy' }),
  );
  return new Map(rows.map((row) => [row.shard, counting(row, counted)]));
}

const STEPS: Readonly<Record<string, (count: number, counted: Counted) => unknown>> = {
  'rows that are done with': (count, counted) => {
    const { shards, rows, parents } = splitStream(count, counted);
    expect(finishedRows(shards, rows)).toHaveLength(parents);
  },
  'rows that are missing': (count, counted) => {
    const { shards, rows } = splitStream(count, counted);
    missingRows(shards, rows, 'earliest', 0);
    missingRows(shards, new Map(), 'earliest', 0);
  },
  'rows of a start at a place': (count, counted) => {
    const { shards, parents } = splitStream(count, counted);
    firstRows(
      shards,
      Array.from({ length: parents }, (_, at) => ({ shard: shardId(parents + at), sequenceNumber: '1' })),
      0,
    );
  },
  'ends without children': (count, counted) => childlessEnds(splitStream(count, counted).rows),
  'who takes and asks for what': (count, counted) => {
    const rows = sharedStream(count, counted);
    const { want } = nextMoves({
      worker: 'new',
      rows,
      isExpired: () => false,
      isOverdue: () => false,
      isRead: () => false,
    });
    expect(want.length).toBeGreaterThan(0);
  },
};

describe('a look at the shards of a stream', () => {
  it.each(Object.keys(STEPS))('takes hardly more than four times as much for four times as many: %s', (name) => {
    const looksOf = (count: number): number => {
      const counted = { looks: 0 };
      STEPS[name]?.(count, counted);
      return counted.looks;
    };
    // With n log n it is about 5, with n² 16.
    expect(looksOf(2_400) / looksOf(600)).toBeLessThan(6);
  });

  it('walks through any number of generations', () => {
    const shards: KinesisShardLike[] = Array.from({ length: 20_000 }, (_, number) => ({
      ShardId: shardId(number),
      ...(number === 0 ? {} : { ParentShardId: shardId(number - 1) }),
      HashKeyRange: { StartingHashKey: '0', EndingHashKey: '1' },
      SequenceNumberRange: { StartingSequenceNumber: '1' },
    }));
    expect(firstRows(shards, [{ shard: shardId(19_999), sequenceNumber: '7' }], 0)).toMatchObject([
      { shard: shardId(19_999), checkpoint: 'AT 7' },
    ]);
  });
});

describe("the end of all shards, `until: 'end'`", () => {
  /** How often a row is looked at while all shards but one are done and let go, that one being held up. */
  const looksOf = (count: number): number => {
    const counted = { looks: 0 };
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: count });
      for (let shard = 0; shard < count; shard++) kinesis.stream('s').append(shard, `${shard}`);
      const store = memoryLeaseStore();
      const list = (group: typeof GROUP) =>
        from(store.list(group)).pipe(map((rows) => rows.map((row) => counting(row, counted))));
      const worker = workersOf(helpers, kinesis).start({ leases: { ...store, list }, until: 'end', acks: false });
      helpers.advanceTo(2_000);
      counted.looks = 0;
      worker.ack(...worker.texts().slice(1));
      helpers.advanceTo(3_000);
      expect(worker.eventsOf('revoked')).toHaveLength(count - 1);
    });
    return counted.looks;
  };

  it('is judged for all of them that come to it in a turn at once', () => {
    expect(looksOf(160) / looksOf(40)).toBeLessThan(6);
  });
});

describe('what a worker has', () => {
  it('is written shard by shard, and nobody is woken for it but who was not sure', () =>
    marbles(() => {
      const store = memoryLeaseStore();
      const rows = Array.from({ length: 200 }, (_, number) => rowOf(number, { owner: 'me' }));
      store.add(GROUP, rows);
      const renewed: string[] = [];
      const events = {
        lost: () => undefined,
        wanted: () => undefined,
        out: () => undefined,
        back: () => undefined,
        renewed: (shard: string) => void renewed.push(shard),
      };
      const written: number[] = [];
      const watched = {
        ...store,
        write: (_: typeof GROUP, leases: readonly ShardLease[]) => {
          written.push(leases.length);
          return [leases.map(() => true)];
        },
      };
      const writer = createLeaseWriter(watched, GROUP, 'me', { leaseMs: 10_000, timeoutMs: 1_000 }, events);
      rows.forEach((row, index) => writer.hold(row, index === 7 ? -Infinity : 1_000));
      for (const { shard } of rows)
        writer.write(shard, { checkpoint: 'AFTER 50', acked: '', doneUntil: 1 }).subscribe();
      expect(written).toEqual(rows.map(() => 1));
      expect(renewed).toEqual([shardId(7)]);
      writer.renew();
      expect(written.at(-1)).toBe(200);
      writer.close();
    }));

  it('is begun a hundred shards a turn', async () => {
    const [turns, events] = [[] as number[], { assigned: 0, closed: false }];
    let now = 0;
    const source = fromKinesis(fakeKinesis({ s: 250 }), {
      stream: 's',
      consumer: 'c',
      leases: memoryLeaseStore(),
      telemetry: ({ type }) => {
        if (type === 'closed') events.closed = true;
        if (type !== 'assigned') return;
        events.assigned++;
        // Between two timers of Node.js microtasks run.
        if (now++ > 0) return;
        queueMicrotask(() => {
          turns.push(now);
          now = 0;
        });
      },
    }).subscribe();
    await until('all are begun', () => events.assigned === 250, 20_000);
    source.unsubscribe();
    await until('it is closed', () => events.closed, 20_000);
    expect(turns).toEqual([100, 100, 50]);
  });
});
