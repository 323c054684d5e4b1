import { describe, expect, it } from '@jest/globals';
import { from } from 'rxjs';
import { environment } from '../../../lib/core/environment.js';
import { SluiceError } from '../../../lib/core/errors.js';
import type { ShardLease } from '../../../lib/core/lease-store.js';
import type { FakeKinesisOperation } from '../../support/kinesis-fake-calls.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { GROUP, workersOf, type Worker } from '../../support/kinesis-workers.js';
import { faultyLeases } from '../../support/lease-faults.js';
import { aggregateByAws } from '../../support/aws-kinesis-agg.js';
import { marbles, type Marbles } from '../../support/marbles.js';
import { entry, field, hashKeyEntry, keyEntry, sealed } from '../../support/kpl-wire.js';

const FIRST = shardId(0);
const OPERATIONS = ['listShards', 'describeStreamSummary', 'getShardIterator', 'getRecords'] as const;

function codeOf({ error }: Worker): string | undefined {
  return error instanceof SluiceError ? error.code : undefined;
}

/** Leaves nothing behind beyond the virtual five minutes of a spec. */
function end(helpers: Marbles, ...all: readonly Worker[]): void {
  all.forEach((worker) => worker.unsubscribe());
  helpers.advanceTo(helpers.now() + 60_000);
}

describe('fromKinesis goes on', () => {
  it('behind what it has received where an iterator expires in a stall', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start({
        acks: false,
        maxInFlight: 1,
        maxSpan: 1,
        recordsPerRead: 2,
        maxBufferedBytes: 1,
      });
      stream.append(0, ...'abcdef');
      helpers.advanceTo(400_000);
      expect(worker.texts()).toEqual(['a']);
      for (const text of 'abcdef') {
        worker.ack(text);
        helpers.advanceTo(helpers.now() + 1_000);
      }
      expect(worker.texts()).toEqual([...'abcdef']);
      expect(kinesis.callsOf('getRecords').map(({ outcome }) => outcome)).toContain('ExpiredIteratorException');
      expect(worker.eventsOf('unavailable')).toEqual([]);
      end(helpers, worker);
    }));

  it.each([0, 0.5, 0.999])('through a storm of throttling, and tells nobody: chance %d', (chance) =>
    marbles((helpers) => {
      environment.random = () => chance;
      const kinesis = fakeKinesis({ s: 2 });
      const worker = workersOf(helpers, kinesis).start({ shardSyncMs: 5_000 });
      const stream = kinesis.stream('s');
      stream.append(0, 'a');
      helpers.advanceTo(3_000);
      for (const operation of OPERATIONS) {
        kinesis.fail(operation, { name: 'ProvisionedThroughputExceededException', times: 3 });
      }
      stream.append(1, 'b');
      helpers.advanceTo(250_000);
      expect(worker.texts()).toEqual(['a', 'b']);
      expect(worker.eventsOf('unavailable')).toEqual([]);
      expect(worker.error).toBe(undefined);
      for (const shard of [0, 1]) expect(kinesis.readsPerSecond(shardId(shard))).toBeLessThanOrEqual(5);
    }),
  );

  it('after a start in a storm of throttling', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      for (const operation of OPERATIONS) kinesis.fail(operation, { name: 'LimitExceededException', times: 4 });
      const worker = workersOf(helpers, kinesis).start();
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(60_000);
      expect(worker.texts()).toEqual(['a']);
      expect(worker.eventsOf('unavailable')).toEqual([]);
    }));

  it.each([0, 0.5])('after failures of the network, read no more often than allowed: chance %d', (chance) =>
    marbles((helpers) => {
      environment.random = () => chance;
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(2_000);
      kinesis.fail('getRecords', { code: 'ECONNRESET', times: 8 });
      helpers.advanceTo(100_000);
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(102_000);
      expect(worker.texts()).toEqual(['a']);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
      expect(kinesis.readsPerSecond(FIRST)).toBeLessThanOrEqual(5);
    }),
  );

  it('after failures of one shard, told once, while others answer', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 3 });
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(2_000);
      const when = ({ shard }: { readonly shard: string | undefined }) => shard === shardId(1);
      kinesis.fail('getRecords', { name: 'InternalFailureException', times: 6, when });
      kinesis.stream('s').append(0, 'a');
      kinesis.stream('s').append(1, 'b');
      helpers.advanceTo(60_000);
      expect(worker.texts()).toEqual(['a', 'b']);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }));

  it('after calls that hang, which are cut off', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.hang('getRecords', { times: 2 });
      kinesis.hang('getShardIterator', { times: 1 });
      kinesis.hang('describeStreamSummary', { when: ({ at }) => at > 1_000 });
      const worker = workersOf(helpers, kinesis).start({ requestTimeoutMs: 2_000, shardSyncMs: 5_000 });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(30_000);
      expect(worker.texts()).toEqual(['a']);
      expect(kinesis.calls.filter(({ outcome }) => outcome === 'AbortError')).toHaveLength(4);
      expect(worker.error).toBe(undefined);
    }));

  it('from where it stood where it goes on at the latest record and its iterator expires', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a', 'b');
      const first = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(1_000);
      first.ack('b');
      first.stop();
      helpers.advanceTo(5_000);
      stream.trim(0, 2);
      stream.append(0, 'c');
      // So that retention may have done it.
      stream.retentionHours = 1 / 3_600;
      const leases = faultyLeases(workers.store);
      const second = workers.start({ leases, onPositionLost: 'latest' });
      helpers.advanceTo(8_000);
      expect(second.eventsOf('position-lost')).toHaveLength(1);
      stream.retentionHours = 24;
      leases.fault = () => 'fails';
      helpers.advanceTo(30_000);
      stream.append(0, 'd');
      helpers.advanceTo(400_000);
      leases.fault = () => null;
      helpers.advanceTo(420_000);
      expect(second.texts()).toContain('d');
      end(helpers, first, second);
    }));
});

describe('fromKinesis fails', () => {
  it.each([
    ['ResourceNotFoundException', 'unknown-topic'],
    ['AccessDeniedException', 'not-authorized'],
    ['UnrecognizedClientException', 'authentication-failed'],
    ['ENOTFOUND', 'connection-failed'],
  ])('at its start, typed: %s', (name, code) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const shape = name.startsWith('E') ? { code: name } : { name };
      kinesis.fail('describeStreamSummary', { ...shape, times: 100 });
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(5_000);
      expect(codeOf(worker)).toBe(code);
      expect(worker.error).toHaveProperty('cause');
    }),
  );

  it('where there is no such stream', () =>
    marbles((helpers) => {
      const worker = workersOf(helpers, fakeKinesis({ other: 1 })).start();
      helpers.advanceTo(5_000);
      expect(codeOf(worker)).toBe('unknown-topic');
    }));

  it('where the stream is deleted under it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const worker = workersOf(helpers, kinesis).start({ refusalTimeoutMs: 10_000 });
      helpers.advanceTo(5_000);
      kinesis.deleteStream('s');
      helpers.advanceTo(30_000);
      expect(codeOf(worker)).toBe('unknown-topic');
    }));

  it('where a permission is missing for the reads alone', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fail('getRecords', { name: 'AccessDeniedException', times: Infinity });
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(10_000);
      expect(codeOf(worker)).toBe('not-authorized');
    }));

  it('where credentials have run out for good, and not where they are renewed', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ refusalTimeoutMs: 5_000 });
      helpers.advanceTo(5_000);
      kinesis.fail('getRecords', { name: 'ExpiredTokenException', times: 2 });
      helpers.advanceTo(20_000);
      expect(worker.error).toBe(undefined);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
      kinesis.fail('getRecords', { name: 'ExpiredTokenException', times: Infinity });
      helpers.advanceTo(40_000);
      expect(codeOf(worker)).toBe('authentication-failed');
    }));

  it('where the service refuses each iterator that it has just given', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ refusalTimeoutMs: 60_000 });
      helpers.advanceTo(5_000);
      kinesis.fail('getRecords', { name: 'InvalidArgumentException', times: Infinity });
      helpers.advanceTo(120_000);
      expect(codeOf(worker)).toBe('source-failed');
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
    }));

  it.each(['NONSENSE', '', 'AFTER x', 'AT_TIMESTAMP -1'])('at a checkpoint that nobody has written: %j', (checkpoint) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      rewrite(workers.store, { checkpoint });
      const worker = workers.start();
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(5_000);
      expect(codeOf(worker)).toBe('store-failed');
      expect(worker.texts()).toEqual([]);
      expect(workers.rows().get(FIRST)?.checkpoint).toBe(checkpoint);
    }),
  );

  it.each(['rxsluice:1:b:!!!', 'rxsluice:1:r:////////', 'x', 'rxsluice:1:b:////'])(
    'never for acks that nobody has written, and loses nothing: %j',
    (acked) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        rewrite(workers.store, { acked });
        const worker = workers.start();
        kinesis.stream('s').append(0, 'a', 'b');
        helpers.advanceTo(5_000);
        expect(worker.texts()).toEqual(['a', 'b']);
      }),
  );
});

/** A row of the first shard, as another program has changed it. */
function rewrite(store: ReturnType<typeof workersOf>['store'], change: Partial<ShardLease>): void {
  const row: ShardLease = {
    shard: FIRST,
    counter: 7,
    owner: null,
    wantedBy: null,
    checkpoint: 'TRIM_HORIZON',
    acked: '',
    doneUntil: 0,
    parents: [],
    ...change,
  };
  from(store.add(GROUP, [row])).subscribe();
}

const POLICIES = ['error', 'earliest', 'latest'] as const;

describe('a position that is gone (I10)', () => {
  /** One worker has done `a` and not `b`, and has stopped. */
  const leftBehind = (helpers: Marbles) => {
    const kinesis = fakeKinesis();
    const stream = kinesis.stream('s');
    stream.retentionHours = 1 / 60;
    const workers = workersOf(helpers, kinesis);
    stream.append(0, 'a', 'b');
    const first = workers.start({ acks: false, drainTimeoutMs: 100 });
    helpers.advanceTo(1_000);
    first.ack('a');
    first.stop();
    helpers.advanceTo(3_000);
    expect(first.completed).toBe(true);
    return { kinesis, stream, workers, before: workers.rows().get(FIRST) as ShardLease };
  };
  const expectLost = (worker: Worker, policy: (typeof POLICIES)[number]): void => {
    expect(worker.eventsOf('position-lost')).toEqual([expect.objectContaining({ action: policy })]);
    expect(codeOf(worker)).toBe(policy === 'error' ? 'position-lost' : undefined);
  };

  it.each(POLICIES)('is told where retention has passed it: %s', (onPositionLost) =>
    marbles((helpers) => {
      const { stream, workers, before } = leftBehind(helpers);
      helpers.advanceTo(100_000);
      stream.append(0, 'c');
      const worker = workers.start({ onPositionLost });
      helpers.advanceTo(110_000);
      if (onPositionLost !== 'error') stream.append(0, 'd');
      helpers.advanceTo(120_000);
      expectLost(worker, onPositionLost);
      expect(worker.texts()).toEqual({ error: [], earliest: ['c', 'd'], latest: ['d'] }[onPositionLost]);
      const { checkpoint } = workers.rows().get(FIRST) as ShardLease;
      if (onPositionLost === 'error') expect(checkpoint).toBe(before.checkpoint);
      else expect(checkpoint).not.toBe(before.checkpoint);
    }),
  );

  it.each(POLICIES)('is told where nothing is there any more as it begins: %s', (onPositionLost) =>
    marbles((helpers) => {
      const { stream, workers } = leftBehind(helpers);
      helpers.advanceTo(100_000);
      const worker = workers.start({ onPositionLost });
      helpers.advanceTo(130_000);
      if (onPositionLost !== 'error') stream.append(0, 'c');
      helpers.advanceTo(140_000);
      expectLost(worker, onPositionLost);
      expect(worker.texts()).toEqual(onPositionLost === 'error' ? [] : ['c']);
    }),
  );

  it.each(['earliest', 'latest'] as const)(
    'is lost once, also where a worker begins before anything of there is done: %s',
    (onPositionLost) =>
      marbles((helpers) => {
        const { stream, workers, before } = leftBehind(helpers);
        helpers.advanceTo(100_000);
        if (onPositionLost === 'earliest') stream.append(0, 'c');
        const first = workers.start({ onPositionLost, acks: false, drainTimeoutMs: 100 });
        helpers.advanceTo(110_000);
        expectLost(first, onPositionLost);
        const { checkpoint } = workers.rows().get(FIRST) as ShardLease;
        expect(checkpoint).toMatch(
          { earliest: /^(TRIM_HORIZON|AT \d+)$/, latest: /^AT_TIMESTAMP \d+$/ }[onPositionLost],
        );
        expect(checkpoint).not.toBe(before.checkpoint);
        first.stop();
        helpers.advanceTo(115_000);
        stream.append(0, 'd');
        helpers.advanceTo(120_000);
        const second = workers.start({ onPositionLost });
        helpers.advanceTo(130_000);
        expect(second.eventsOf('position-lost')).toEqual([]);
        expect(second.texts()).toContain('d');
        end(helpers, second);
      }),
  );

  it('is not lost where all before it is done and retention has passed the last of it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.retentionHours = 1 / 60;
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a');
      const first = workers.start();
      helpers.advanceTo(100_000);
      first.stop();
      helpers.advanceTo(105_000);
      stream.append(0, 'b');
      const second = workers.start();
      helpers.advanceTo(110_000);
      expect(second.texts()).toEqual(['b']);
      expect(second.eventsOf('position-lost')).toEqual([]);
    }));

  it.each(POLICIES)('is told where the stream was made anew under its name meanwhile: %s', (onPositionLost) =>
    marbles((helpers) => {
      const { kinesis, workers } = leftBehind(helpers);
      kinesis.deleteStream('s');
      kinesis.createStream('s').append(0, 'c');
      const worker = workers.start({ onPositionLost });
      helpers.advanceTo(10_000);
      if (onPositionLost !== 'error') kinesis.stream('s').append(0, 'd');
      helpers.advanceTo(15_000);
      expectLost(worker, onPositionLost);
      expect(worker.texts()).toEqual({ error: [], earliest: ['c', 'd'], latest: ['d'] }[onPositionLost]);
    }),
  );

  it.each(POLICIES)('is told where the stream is made anew under a running worker: %s', (onPositionLost) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      kinesis.stream('s').append(0, 'a', 'b');
      const worker = workers.start({ onPositionLost, acks: false });
      helpers.advanceTo(2_500);
      worker.ack('b');
      kinesis.deleteStream('s');
      kinesis.createStream('s').append(0, 'c');
      helpers.advanceTo(10_000);
      if (onPositionLost !== 'error') kinesis.stream('s').append(0, 'd');
      helpers.advanceTo(15_000);
      expectLost(worker, onPositionLost);
      expect(worker.texts()).toEqual(
        { error: ['a', 'b'], earliest: ['a', 'b', 'c', 'd'], latest: ['a', 'b', 'd'] }[onPositionLost],
      );
      if (onPositionLost === 'error') return;
      worker.ack('c', 'd', 'a');
      helpers.advanceTo(18_000);
      expect(workers.rows().get(FIRST)?.checkpoint).toMatch(/^AFTER/);
      worker.stop();
      helpers.advanceTo(20_000);
      const next = workers.start({ onPositionLost });
      helpers.advanceTo(25_000);
      expect(next.texts()).toEqual([]);
    }),
  );

  it('goes on with what a shard became that is gone, where all of it was done', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a');
      const first = workers.start();
      helpers.advanceTo(5_000);
      first.stop();
      helpers.advanceTo(8_000);
      const [lower] = stream.split(0);
      (stream.shards as Map<number, unknown>).delete(0);
      stream.append(lower, 'b');
      const second = workers.start();
      helpers.advanceTo(20_000);
      expect(second.texts()).toEqual(['b']);
      expect(second.eventsOf('position-lost')).toEqual([]);
    }));

  it('looks again where Kinesis cannot be asked whether a shard is gone', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(5_000);
      const [lower] = stream.split(0);
      (stream.shards as Map<number, unknown>).delete(0);
      stream.append(lower, 'b');
      kinesis.fail('listShards', { code: 'ECONNRESET' });
      kinesis.fail('listShards', { name: 'LimitExceededException', times: 2 });
      helpers.advanceTo(30_000);
      expect(worker.error).toBe(undefined);
      expect(worker.texts()).toEqual(['b']);
    }));

  it('tells of the return of Kinesis where the shard was lost while it could not be asked', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      const worker = workers.start({ requestTimeoutMs: 5_000 });
      helpers.advanceTo(5_000);
      (stream.shards as Map<number, unknown>).delete(0);
      kinesis.hang('listShards');
      helpers.advanceTo(6_500);
      const row = workers.rows().get(FIRST) as ShardLease;
      from(workers.store.write(GROUP, [{ ...row, owner: 'another', counter: row.counter + 1 }])).subscribe();
      kinesis.fail('getRecords', { name: 'InternalFailureException', times: 3 });
      helpers.advanceTo(60_000);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }));
});

describe("until: 'end'", () => {
  it('reads what a shard became that ends with an empty page', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.endOfShard = 'empty-page';
      const stream = kinesis.stream('s');
      stream.append(0, 'a');
      const [lower, upper] = stream.split(0);
      stream.append(lower, 'b');
      stream.append(upper, 'c');
      const worker = workersOf(helpers, kinesis).start({ until: 'end' });
      helpers.advanceTo(60_000);
      expect(worker.completed).toBe(true);
      expect(worker.texts()).toEqual(expect.arrayContaining(['a', 'b', 'c']));
    }));
});

describe('aggregated records', () => {
  const aggregate = (...texts: readonly string[]): Uint8Array =>
    aggregateByAws(texts.map((text) => ({ partitionKey: 'k', data: Buffer.from(text) })));

  it('are not repeated up to a checkpoint within one, nor what was acked above it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const stream = kinesis.stream('s');
      stream.append(0, aggregate('a', 'b', 'c', 'd'), aggregate('e', 'f'), 'g');
      const first = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(1_000);
      expect(first.texts()).toEqual([...'abcdefg']);
      first.ack('a', 'b', 'd', 'f');
      first.stop();
      helpers.advanceTo(5_000);
      expect(workers.rows().get(FIRST)?.checkpoint).toMatch(/^AFTER \d+\/1$/);
      const second = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(8_000);
      expect(second.texts()).toEqual([...'ceg']);
      second.ack('g');
      second.stop();
      helpers.advanceTo(12_000);
      const third = workers.start();
      helpers.advanceTo(15_000);
      expect(third.texts()).toEqual([...'ce']);
    }));

  it('come as they are where they are cut off', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const whole = aggregate('a', 'b');
      kinesis.stream('s').append(0, whole.slice(0, -1), whole.slice(0, 5), 'c');
      const worker = workersOf(helpers, kinesis).start();
      helpers.advanceTo(2_000);
      expect(worker.values).toHaveLength(3);
      expect(worker.values[0]?.value).toEqual(whole.slice(0, -1));
      expect(worker.texts()[2]).toBe('c');
    }));

  it('are counted alike by a worker that could not ask for the shards at first', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const workers = workersOf(helpers, kinesis);
      // By the KPL, for a shard that was split before they were stored: `x` belongs to the other one.
      const data = sealed(
        keyEntry('k1'),
        keyEntry('k2'),
        hashKeyEntry('0'),
        hashKeyEntry(String(2n ** 128n - 1n)),
        ...(['a', 'x', 'b', 'x', 'c', 'd'] as const).map((text) => entry(0, text, { hashKey: text === 'x' ? 1 : 0 })),
      );
      expect(field(1, 'k')).toHaveLength(3);
      kinesis.stream('s').append(0, { key: 'a', data });
      const first = workers.start({ acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(2_000);
      expect(first.texts()).toEqual(['a', 'b', 'c', 'd']);
      first.ack('b', 'd');
      first.stop();
      helpers.advanceTo(6_000);
      kinesis.fail('listShards', { name: 'LimitExceededException', times: 3 });
      const second = workers.start();
      helpers.advanceTo(30_000);
      expect(second.texts()).toEqual(['a', 'c']);
    }));
});

describe('an unsubscribe leaves neither a call nor a timer behind', () => {
  const faults: Readonly<Record<string, (kinesis: FakeKinesis) => void>> = {
    ...Object.fromEntries(
      OPERATIONS.map((operation: FakeKinesisOperation) => [
        `while ${operation} hangs`,
        (kinesis: FakeKinesis) => kinesis.hang(operation, { times: Infinity }),
      ]),
    ),
    ...Object.fromEntries(
      OPERATIONS.map((operation: FakeKinesisOperation) => [
        `while ${operation} is throttled`,
        (kinesis: FakeKinesis) => kinesis.fail(operation, { name: 'ThrottlingException', times: Infinity }),
      ]),
    ),
    'while a shard is gone': (kinesis) =>
      kinesis.fail('getRecords', { name: 'ResourceNotFoundException', times: Infinity }),
  };

  it.each(Object.keys(faults))('%s', (name) => {
    for (const at of [0, 1, 3, 10, 250, 2_000, 9_000, 31_000]) {
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        faults[name]?.(kinesis);
        const worker = workersOf(helpers, kinesis).start();
        helpers.advanceTo(at);
        worker.unsubscribe();
        helpers.advanceTo(at + 25_000);
        expect(worker.eventsOf('closed')).toHaveLength(1);
        expect(kinesis.openCalls()).toEqual([]);
        expect(helpers.scheduler.actions).toHaveLength(0);
      });
    }
  });
});
