import { describe, expect, it } from '@jest/globals';
import { environment } from '../../../lib/core/environment.js';
import { SluiceError } from '../../../lib/core/errors.js';
import { faultyLeases } from '../../support/lease-faults.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import type { FakeSubscription } from '../../support/kinesis-fake-fan-out.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf, type Worker } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';

const FIRST = shardId(0);
const fanOut = { consumerName: 'efo' } as const;

function codeOf({ error }: Worker): string | undefined {
  return error instanceof SluiceError ? error.code : undefined;
}

function lastOf(kinesis: FakeKinesis, shard = FIRST): FakeSubscription {
  return kinesis.subscriptionsOf(shard).at(-1) as FakeSubscription;
}

function positionsOf(kinesis: FakeKinesis): (string | undefined)[] {
  return kinesis.subscriptionsOf(FIRST).map(({ position: { Type, SequenceNumber } }) => SequenceNumber ?? Type);
}

/** The shortest time between two calls of a shard. */
function shortestPause(kinesis: FakeKinesis, shard = FIRST): number {
  const times = kinesis.callsOf('subscribeToShard', shard).map(({ at }) => at);
  return Math.min(...times.slice(1).map((at, index) => at - (times[index] as number)));
}

describe('a subscription that ends', () => {
  it('cleanly and without children is no end of the shard: the next one is behind what came', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const stream = kinesis.stream('s');
      const [, second] = stream.append(0, 'a', 'b');
      const worker = workers.start({ fanOut, acks: false });
      helpers.advanceTo(2_000);
      worker.ack('a', 'b');
      lastOf(kinesis).end();
      helpers.advanceTo(4_000);
      stream.append(0, 'c');
      helpers.advanceTo(10_000);
      expect(worker.texts()).toEqual(['a', 'b', 'c']);
      expect(positionsOf(kinesis)).toEqual(['TRIM_HORIZON', second]);
      expect(workers.rows().get(FIRST)?.checkpoint).toBe(`AFTER ${second}`);
      expect(worker.events.filter(({ type }) => type === 'unavailable' || type === 'revoked')).toEqual([]);
      worker.ack('c');
    }));

  it('after five minutes, where it was not renewed, is followed by another', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fanOut.subscriptionMs = 20_000;
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      for (let at = 1_000; at < 100_000; at += 1_000) helpers.at(at, () => stream.append(0, `at ${at}`));
      helpers.advanceTo(120_000);
      expect(worker.texts()).toEqual(Array.from({ length: 99 }, (_, n) => `at ${(n + 1) * 1_000}`));
      expect(kinesis.subscriptions.filter(({ state }) => state === 'ended').length).toBeGreaterThan(3);
      expect(worker.eventsOf('unavailable')).toEqual([]);
    }));

  it.each([
    [{ name: 'InternalFailureException' }],
    [{ name: 'KMSInvalidStateException' }],
    [{ name: 'KMSThrottlingException' }],
    [{ name: 'ResourceInUseException' }],
    [{ code: 'ECONNRESET' }],
    [{ code: 'ERR_HTTP2_STREAM_ERROR', name: 'Error' }],
  ])(
    'by an error is followed by another, behind what came and not behind the checkpoint, and nobody is told: %j',
    (shape) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const workers = workersOf(helpers, kinesis);
        const stream = kinesis.stream('s');
        const [, second] = stream.append(0, 'a', 'b');
        const worker = workers.start({ fanOut, acks: false });
        helpers.advanceTo(2_000);
        lastOf(kinesis).fail(shape);
        stream.append(0, 'c');
        helpers.advanceTo(20_000);
        expect(worker.texts()).toEqual(['a', 'b', 'c']);
        expect(positionsOf(kinesis)).toEqual(['TRIM_HORIZON', second]);
        expect(workers.rows().get(FIRST)?.checkpoint).toBe('TRIM_HORIZON');
        expect(worker.eventsOf('unavailable')).toEqual([]);
        // Within five seconds of a call that succeeded the service refuses the next.
        expect(kinesis.callsOf('subscribeToShard').map(({ outcome }) => outcome)).toEqual(['answered', 'answered']);
        worker.ack('a', 'b', 'c');
      }),
  );

  it('by an error before anything came is told, with growing pauses, and told again when it is back', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      for (let at = 1_000; at <= 60_000; at += 500)
        helpers.at(at, () => kinesis.openSubscriptions()[0]?.fail({ code: 'ECONNRESET' }));
      helpers.advanceTo(500);
      kinesis.openSubscriptions()[0]?.fail({ code: 'ECONNRESET' });
      helpers.advanceTo(62_000);
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(90_000);
      expect(worker.texts()).toEqual(['a']);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }));

  it('again and again without one event is told', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fanOut.subscriptionMs = 0;
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(60_000);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.error).toBe(undefined);
      kinesis.fanOut.subscriptionMs = 300_000;
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(90_000);
      expect(worker.texts()).toEqual(['a']);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }));

  it('not at all, and brings nothing, is given up after a minute', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fanOut.quietMs = Infinity;
      workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(59_000);
      expect(kinesis.subscriptions).toHaveLength(1);
      helpers.advanceTo(65_000);
      expect(kinesis.subscriptions.map(({ state }) => state)).toEqual(['aborted', 'open']);
    }));
});

describe('a checkpoint', () => {
  it('whose record has not come yet is where the next subscription begins, whatever empty events say', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const [first] = kinesis.stream('s').append(0, 'a', 'b', 'c', 'd');
      const left = workers.start({ fanOut, acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(1_000);
      left.ack('a', 'c');
      left.stop();
      helpers.advanceTo(10_000);
      kinesis.latencyMs = 50;
      kinesis.fanOut.eventRecords = 0;
      const worker = workers.start({ fanOut });
      while (kinesis.subscriptions.length < 2) helpers.advanceTo(helpers.now() + 1);
      lastOf(kinesis).send({ Records: [], ContinuationSequenceNumber: first, MillisBehindLatest: 1 });
      while (lastOf(kinesis).taken.length < 1) helpers.advanceTo(helpers.now() + 1);
      lastOf(kinesis).fail({ code: 'ECONNRESET' });
      kinesis.fanOut.eventRecords = 1_000;
      helpers.advanceTo(30_000);
      expect(positionsOf(kinesis).slice(1)).toEqual([first, first]);
      expect(kinesis.subscriptions.at(-1)?.position.Type).toBe('AT_SEQUENCE_NUMBER');
      expect(worker.texts()).toEqual(['b', 'd']);
      expect(worker.eventsOf('position-lost')).toEqual([]);
    }));
});

describe('a shard that is gone', () => {
  it('is followed by what it became, where all of it was done', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a');
      const first = workers.start({ fanOut });
      helpers.advanceTo(5_000);
      first.stop();
      helpers.advanceTo(8_000);
      const [lower] = stream.split(0);
      (stream.shards as Map<number, unknown>).delete(0);
      stream.append(lower, 'b');
      const second = workers.start({ fanOut });
      helpers.advanceTo(30_000);
      expect(second.texts()).toEqual(['b']);
      expect(second.eventsOf('position-lost')).toEqual([]);
    }));
});

describe('a call that subscribes', () => {
  it('is refused within five seconds of another, and then takes the shard over', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.append(0, 'a');
      // Of another consumer of ours, with the same one of AWS.
      const other = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(2_000);
      const opened = lastOf(kinesis);
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(4_000);
      expect(worker.texts()).toEqual([]);
      helpers.advanceTo(8_500);
      expect(opened.state).toBe('ResourceInUseException');
      expect(worker.texts()).toEqual(['a']);
      const [, refused, made] = kinesis.callsOf('subscribeToShard', FIRST);
      expect([refused?.outcome, made?.outcome]).toEqual(['ResourceInUseException', 'answered']);
      expect((made?.at ?? 0) - (refused?.at ?? 0)).toBeGreaterThan(5_000);
      expect(worker.eventsOf('unavailable')).toEqual([]);
      other.unsubscribe();
      stream.append(0, 'b');
      helpers.advanceTo(20_000);
      expect(worker.texts()).toEqual(['a', 'b']);
    }));

  it.each([0, 0.5, 0.999])(
    'goes through a storm of throttling and tells nobody, one a second at most: chance %d',
    (chance) =>
      marbles((helpers) => {
        environment.random = () => chance;
        const kinesis = fakeKinesis();
        kinesis.fail('subscribeToShard', { name: 'LimitExceededException', times: 10 });
        kinesis.fail('subscribeToShard', { name: 'ProvisionedThroughputExceededException', times: 10 });
        const worker = workersOf(helpers, kinesis).start({ fanOut });
        kinesis.stream('s').append(0, 'a');
        helpers.advanceTo(250_000);
        expect(worker.texts()).toEqual(['a']);
        expect(worker.eventsOf('unavailable')).toEqual([]);
        expect(shortestPause(kinesis)).toBeGreaterThanOrEqual(1_000);
      }),
  );

  it('and hangs is cut off', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.hang('subscribeToShard', { times: 2 });
      const worker = workersOf(helpers, kinesis).start({ fanOut, requestTimeoutMs: 2_000 });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(30_000);
      expect(worker.texts()).toEqual(['a']);
      expect(kinesis.callsOf('subscribeToShard').map(({ outcome }) => outcome)).toEqual([
        'AbortError',
        'AbortError',
        'answered',
      ]);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }));

  it('and whose answer is lost is made again, once the shard can be taken over from itself', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fail('subscribeToShard', { code: 'ECONNRESET', done: true });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(30_000);
      expect(worker.texts()).toEqual(['a']);
    }));

  it('fails as not-authorized where it is refused, and says what is needed', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fail('subscribeToShard', { name: 'AccessDeniedException', times: Infinity });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(30_000);
      expect(codeOf(worker)).toBe('not-authorized');
      expect((worker.error as Error).message).toContain('kinesis:SubscribeToShard');
      expect(kinesis.callsOf('getRecords')).toEqual([]);
    }));

  it('fails as authentication-failed where credentials have run out for good, and not where they are renewed', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fail('subscribeToShard', { name: 'ExpiredTokenException', times: 2 });
      const worker = workersOf(helpers, kinesis).start({ refusalTimeoutMs: 5_000, fanOut });
      helpers.advanceTo(20_000);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
      kinesis.fail('subscribeToShard', { name: 'ExpiredTokenException', times: Infinity });
      lastOf(kinesis).end();
      helpers.advanceTo(60_000);
      expect(codeOf(worker)).toBe('authentication-failed');
    }));

  it('tells where somebody else takes the shard again and again, and goes on', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      for (let at = 10_000; at < 100_000; at += 1_000) {
        helpers.at(at, () => kinesis.openSubscriptions()[0]?.fail({ name: 'ResourceInUseException' }));
      }
      helpers.advanceTo(110_000);
      expect(worker.eventsOf('misuse')).toMatchObject([{ code: 'fan-out-consumer-shared' }]);
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(115_000);
      expect(worker.texts()).toEqual(['a']);
    }));
});

describe('a source that is full', () => {
  const FULL = { fanOut, acks: false, maxInFlight: 2, maxSpan: 4, maxBufferedBytes: 1 } as const;

  it('takes one event at most beyond its bound, keeps the subscription through a short stall, and loses nothing', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fanOut.eventRecords = 1;
      const all = Array.from({ length: 40 }, (_, n) => `${n}`);
      kinesis.stream('s').append(0, ...all);
      const worker = workersOf(helpers, kinesis).start(FULL);
      helpers.advanceTo(20_000);
      expect(worker.texts()).toEqual(['0', '1']);
      const [only] = kinesis.subscriptionsOf(FIRST);
      // Two are out, one waits to be.
      expect(only?.taken).toHaveLength(3);
      expect(only?.isPulled).toBe(false);
      for (const text of all) {
        worker.ack(text);
        helpers.advanceTo(helpers.now() + 10);
      }
      expect(worker.texts()).toEqual(all);
      expect(kinesis.subscriptionsOf(FIRST)).toHaveLength(1);
    }));

  it('ends the subscription of a long stall, and subscribes anew behind what came once it takes more', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fanOut.eventRecords = 1;
      const all = Array.from({ length: 10 }, (_, n) => `${n}`);
      kinesis.stream('s').append(0, ...all);
      const worker = workersOf(helpers, kinesis).start(FULL);
      helpers.advanceTo(35_000);
      expect(kinesis.subscriptionsOf(FIRST).map(({ state }) => state)).toEqual(['aborted']);
      helpers.advanceTo(280_000);
      expect(kinesis.subscriptionsOf(FIRST)).toHaveLength(1);
      for (const text of all) {
        worker.ack(text);
        helpers.advanceTo(helpers.now() + 1_000);
      }
      expect(worker.texts()).toEqual(all);
      expect(kinesis.subscriptionsOf(FIRST)).toHaveLength(2);
      expect(worker.eventsOf('unavailable')).toEqual([]);
    }));

  it.each([
    ['gives it away', 5_000],
    ['gives it up with the subscription and has it again', 60_000],
  ])('holds back an event that came when it filled, and %s: a stall of %d ms', (_, stallMs) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start(FULL);
      helpers.advanceTo(2_000);
      // Both are being waited for when the first fills the source.
      stream.append(0, 'a', 'b', 'c');
      stream.append(1, 'x', 'y');
      helpers.advanceTo(2_000 + stallMs);
      expect(worker.texts()).toHaveLength(2);
      for (let turn = 0; turn < 8; turn++) {
        worker.ack(...worker.out.keys());
        helpers.advanceTo(helpers.now() + 3_000);
      }
      expect(worker.texts().sort()).toEqual(['a', 'b', 'c', 'x', 'y']);
    }),
  );
});

describe('a lease that is in doubt', () => {
  it('has nothing given away that comes meanwhile, and no new subscription', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const worker = workers.start({ fanOut, leases, leaseMs: 3_000 });
      helpers.advanceTo(5_000);
      leases.fault = () => 'fails';
      helpers.advanceTo(9_000);
      kinesis.stream('s').append(0, 'a', 'b');
      helpers.advanceTo(60_000);
      expect(worker.texts()).toEqual([]);
      expect(kinesis.openSubscriptions()).toEqual([]);
      const calls = kinesis.callsOf('subscribeToShard').length;
      helpers.advanceTo(100_000);
      expect(kinesis.callsOf('subscribeToShard')).toHaveLength(calls);
      leases.fault = () => null;
      helpers.advanceTo(110_000);
      expect(worker.texts()).toEqual(['a', 'b']);
    }));

  it('keeps it from subscribing anew where the subscription ends meanwhile', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      const leases = faultyLeases(workers.store);
      const worker = workers.start({ fanOut, leases, leaseMs: 3_000 });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(5_000);
      // Another one may have it by now, and the call would take its subscription from it.
      leases.fault = () => 'fails';
      helpers.advanceTo(9_000);
      lastOf(kinesis).end();
      helpers.advanceTo(30_000);
      expect(kinesis.callsOf('subscribeToShard')).toHaveLength(1);
      leases.fault = () => null;
      kinesis.stream('s').append(0, 'b');
      helpers.advanceTo(40_000);
      expect(worker.texts()).toEqual(['a', 'b']);
    }));

  it('that is lost ends the subscription at once, and its new owner goes on', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      kinesis.stream('s').append(0, 'a');
      const leases = faultyLeases(workers.store);
      const first = workers.start({ fanOut, leases, leaseMs: 3_000, acks: false });
      helpers.advanceTo(5_000);
      leases.fault = () => 'fails';
      helpers.advanceTo(7_000);
      const second = workers.start({ fanOut, leaseMs: 3_000 });
      helpers.advanceTo(20_000);
      leases.fault = () => null;
      helpers.advanceTo(40_000);
      expect(second.texts()).toEqual(['a']);
      expect(first.eventsOf('revoked')).toMatchObject([{ drained: false }]);
      expect(kinesis.openSubscriptions()).toHaveLength(1);
      expect(lastOf(kinesis).state).toBe('open');
      kinesis.stream('s').append(0, 'b');
      helpers.advanceTo(41_000);
      expect([first.texts(), second.texts()]).toEqual([['a'], ['a', 'b']]);
    }));
});

describe('where fan-out cannot be had', () => {
  it.each(['describeStreamConsumer', 'registerStreamConsumer', 'subscribeToShard'] as const)(
    'as %s is unknown, it polls and says so once',
    (operation) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis({ s: 2 });
        kinesis.fail(operation, { name: 'UnknownOperationException', times: Infinity });
        const stream = kinesis.stream('s');
        stream.append(0, 'a');
        stream.append(1, 'b');
        const worker = workersOf(helpers, kinesis).start({ fanOut });
        helpers.advanceTo(10_000);
        expect(worker.texts().sort()).toEqual(['a', 'b']);
        expect(worker.eventsOf('misuse')).toMatchObject([{ code: 'fan-out-unsupported' }]);
        const [lower] = stream.split(0);
        stream.append(lower, 'c');
        const calls = kinesis.callsOf(operation).length;
        helpers.advanceTo(40_000);
        expect(worker.texts().at(-1)).toBe('c');
        expect(kinesis.callsOf(operation)).toHaveLength(calls);
        expect(worker.eventsOf('misuse')).toHaveLength(1);
      }),
  );

  it.each([
    ['http/1.1', false, true],
    ['http/1.1', true, false],
    ['h2', false, false],
    [undefined, false, false],
  ])(
    'by a handler of %s, an endpoint given by the user %s: it polls and says so, %s',
    (handlerProtocol, isCustomEndpoint, polls) =>
      marbles((helpers) => {
        const kinesis = fakeKinesis();
        const config = { requestHandler: { metadata: { handlerProtocol } }, isCustomEndpoint };
        kinesis.stream('s').append(0, 'a');
        const worker = workersOf(helpers, kinesis).start({ fanOut, client: Object.assign(kinesis, { config }) });
        helpers.advanceTo(5_000);
        expect(worker.texts()).toEqual(['a']);
        expect(kinesis.subscriptions.length === 0).toBe(polls);
        expect(worker.eventsOf('misuse')).toMatchObject(polls ? [{ code: 'fan-out-needs-http2' }] : []);
      }),
  );

  it.each([
    [{ name: 'InternalFailureException' }],
    [{ name: 'ServiceUnavailableException' }],
    [{ code: 'ECONNRESET' }],
    [{ code: 'ERR_HTTP2_GOAWAY_SESSION' }],
  ])('for a while only, it does not poll: %j', (shape) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      for (const operation of ['describeStreamConsumer', 'registerStreamConsumer', 'subscribeToShard'] as const) {
        kinesis.fail(operation, { ...shape, times: 6 });
      }
      kinesis.stream('s').append(0, 'a');
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(200_000);
      expect(worker.texts()).toEqual(['a']);
      expect(kinesis.callsOf('getRecords')).toEqual([]);
      expect(worker.eventsOf('misuse')).toEqual([]);
      expect(worker.eventsOf('unavailable')).toHaveLength(1);
      expect(worker.eventsOf('recovered')).toHaveLength(1);
    }),
  );
});
