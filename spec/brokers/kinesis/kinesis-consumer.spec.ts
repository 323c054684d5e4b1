import { describe, expect, it } from '@jest/globals';
import { type SluiceError } from '../../../lib/core/errors.js';
import { fakeKinesis, type FakeKinesis } from '../../support/kinesis-fake.js';
import { shardId } from '../../support/kinesis-fake-stream.js';
import { workersOf, type Worker } from '../../support/kinesis-workers.js';
import { marbles } from '../../support/marbles.js';
import { call, within } from '../../support/virtual-call.js';

const FIRST = shardId(0);
const fanOut = { consumerName: 'efo' } as const;

function failureOf({ error }: Worker): SluiceError {
  return error as SluiceError;
}

function callsOf(kinesis: FakeKinesis): string[] {
  return kinesis.calls
    .filter(({ operation }) => operation.endsWith('StreamConsumer'))
    .map(({ operation, outcome }) => `${operation} ${outcome}`);
}

describe('the consumer of fanOut', () => {
  it('is registered where there is none, and waited for until it is active', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 3 });
      kinesis.fanOut.creatingMs = 12_000;
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(11_900);
      expect(kinesis.callsOf('subscribeToShard')).toEqual([]);
      helpers.advanceTo(20_000);
      expect(worker.texts()).toEqual(['a']);
      const [first, second] = callsOf(kinesis);
      expect([first, second]).toEqual([
        'describeStreamConsumer ResourceNotFoundException',
        'registerStreamConsumer answered',
      ]);
      expect(kinesis.callsOf('registerStreamConsumer')).toHaveLength(1);
      // For all shards together, with growing pauses.
      expect(kinesis.callsOf('describeStreamConsumer').length).toBeLessThan(12);
    }));

  it('is taken as it is where there is one, without the permission to register', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      within(
        helpers,
        1,
        call(() => kinesis.registerStreamConsumer({ StreamARN: kinesis.stream('s').arn, ConsumerName: 'efo' })),
      );
      kinesis.fail('registerStreamConsumer', { name: 'AccessDeniedException', times: Infinity });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(2_000);
      expect(worker.texts()).toEqual(['a']);
    }));

  it('has the name of the consumer of ours where fanOut is true', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      workersOf(helpers, kinesis).start({ fanOut: true, consumer: 'billing' });
      helpers.advanceTo(2_000);
      expect(kinesis.subscriptionsOf(FIRST)[0]?.consumerArn).toContain('consumer/billing:');
    }));

  it('that another worker registers at the same time is waited for', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const registering = call(() =>
        kinesis.registerStreamConsumer({ StreamARN: kinesis.stream('s').arn, ConsumerName: 'efo' }),
      );
      within(helpers, 1, registering);
      kinesis.fail('describeStreamConsumer', { name: 'ResourceNotFoundException' });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(1_500);
      expect(callsOf(kinesis).slice(1)).toEqual([
        'describeStreamConsumer ResourceNotFoundException',
        'registerStreamConsumer ResourceInUseException',
        'describeStreamConsumer answered',
      ]);
      expect(worker.texts()).toEqual(['a']);
    }));

  it('may be given by its ARN, and is then neither looked at nor registered', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const registering = call(() =>
        kinesis.registerStreamConsumer({ StreamARN: kinesis.stream('s').arn, ConsumerName: 'x' }),
      );
      const { Consumer } = within(helpers, 1, registering) as { Consumer: { ConsumerARN: string } };
      const worker = workersOf(helpers, kinesis).start({ fanOut: { consumerArn: Consumer.ConsumerARN } });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(2_000);
      expect(worker.texts()).toEqual(['a']);
      expect(callsOf(kinesis)).toEqual(['registerStreamConsumer answered']);
    }));

  it('that was deregistered under it is registered anew, and nothing is repeated', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const stream = kinesis.stream('s');
      const worker = workersOf(helpers, kinesis).start({ fanOut, acks: false });
      stream.append(0, 'a');
      helpers.advanceTo(8_000);
      kinesis.deregister('s', 'efo');
      helpers.advanceTo(20_000);
      stream.append(0, 'b');
      stream.append(1, 'c');
      helpers.advanceTo(21_000);
      expect(worker.texts()).toEqual(['a', 'b', 'c']);
      expect(new Set(kinesis.openSubscriptions().map(({ consumerArn }) => consumerArn)).size).toBe(1);
      expect(kinesis.callsOf('registerStreamConsumer')).toHaveLength(2);
      expect(worker.eventsOf('unavailable')).toEqual([]);
      worker.ack('a', 'b', 'c');
    }));

  it('is not deregistered when the source ends', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(2_000);
      worker.stop();
      helpers.advanceTo(5_000);
      const describing = call(() =>
        kinesis.describeStreamConsumer({ StreamARN: kinesis.stream('s').arn, ConsumerName: 'efo' }),
      );
      expect(within(helpers, 1, describing)).toMatchObject({ ConsumerDescription: { ConsumerStatus: 'ACTIVE' } });
    }));
});

describe('fromKinesis with fanOut fails', () => {
  it('where the stream has all the consumers that it may have', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      kinesis.fanOut.consumers = 0;
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(100_000);
      expect(failureOf(worker)).toMatchObject({ code: 'source-failed', details: { stream: 's', consumer: 'efo' } });
      expect(failureOf(worker).message).toContain('deregister one');
      expect(failureOf(worker).cause).toMatchObject({ name: 'LimitExceededException' });
    }));

  it('not where too many are being made for a while', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fail('registerStreamConsumer', { name: 'LimitExceededException', times: 5 });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      kinesis.stream('s').append(0, 'a');
      helpers.advanceTo(60_000);
      expect(worker.texts()).toEqual(['a']);
    }));

  it.each(['describeStreamConsumer', 'registerStreamConsumer'] as const)('where it may not: %s', (operation) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fail(operation, { name: 'AccessDeniedException', times: Infinity });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(5_000);
      expect(failureOf(worker)).toMatchObject({ code: 'not-authorized', cause: { name: 'AccessDeniedException' } });
      expect(failureOf(worker).message).toContain('kinesis:RegisterStreamConsumer');
    }),
  );

  it('where it does not become active', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      kinesis.fanOut.creatingMs = Infinity;
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(80_000);
      expect(failureOf(worker)).toMatchObject({ code: 'source-failed' });
      expect(failureOf(worker).message).toContain('CREATING');
    }));

  it('where there is no consumer of the ARN that is given', () =>
    marbles((helpers) => {
      const consumerArn = 'arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/none:1';
      const worker = workersOf(helpers, fakeKinesis()).start({ fanOut: { consumerArn } });
      helpers.advanceTo(10_000);
      expect(failureOf(worker)).toMatchObject({ code: 'source-failed', details: { consumer: consumerArn } });
    }));

  it('where the stream is deleted under it', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis({ s: 2 });
      const worker = workersOf(helpers, kinesis).start({ fanOut });
      helpers.advanceTo(5_000);
      kinesis.deleteStream('s');
      helpers.advanceTo(20_000);
      expect(failureOf(worker)).toMatchObject({ code: 'unknown-topic' });
    }));
});

const POLICIES = ['error', 'earliest', 'latest'] as const;

describe('a position that is gone (I10), with fanOut', () => {
  it.each(POLICIES)('is told where the stream is made anew under a running worker: %s', (onPositionLost) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const workers = workersOf(helpers, kinesis);
      kinesis.stream('s').append(0, 'a', 'b');
      const worker = workers.start({ fanOut, onPositionLost });
      helpers.advanceTo(6_000);
      kinesis.deleteStream('s');
      kinesis.createStream('s').append(0, 'c');
      helpers.advanceTo(20_000);
      if (onPositionLost !== 'error') kinesis.stream('s').append(0, 'd');
      helpers.advanceTo(30_000);
      expect(worker.eventsOf('position-lost')).toMatchObject([{ action: onPositionLost }]);
      expect(worker.texts()).toEqual(
        { error: ['a', 'b'], earliest: ['a', 'b', 'c', 'd'], latest: ['a', 'b', 'd'] }[onPositionLost],
      );
      expect(kinesis.openSubscriptions()).toHaveLength(onPositionLost === 'error' ? 0 : 1);
    }),
  );

  it.each(POLICIES)('is told where retention has passed it: %s', (onPositionLost) =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.retentionHours = 1 / 60;
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a', 'b');
      const first = workers.start({ fanOut, acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(1_000);
      first.ack('a');
      first.stop();
      helpers.advanceTo(100_000);
      stream.append(0, 'c');
      const worker = workers.start({ fanOut, onPositionLost });
      helpers.advanceTo(115_000);
      if (onPositionLost !== 'error') stream.append(0, 'd');
      helpers.advanceTo(125_000);
      expect(worker.eventsOf('position-lost')).toMatchObject([{ action: onPositionLost }]);
      expect(worker.texts()).toEqual({ error: [], earliest: ['c', 'd'], latest: ['d'] }[onPositionLost]);
    }),
  );

  it('goes on at the latest record where it was when it was lost, whatever ends the subscription meanwhile', () =>
    marbles((helpers) => {
      const kinesis = fakeKinesis();
      const stream = kinesis.stream('s');
      stream.retentionHours = 1 / 60;
      const workers = workersOf(helpers, kinesis);
      stream.append(0, 'a', 'b');
      const first = workers.start({ fanOut, acks: false, drainTimeoutMs: 100 });
      helpers.advanceTo(1_000);
      first.ack('a');
      first.stop();
      helpers.advanceTo(100_000);
      stream.append(0, 'c');
      const second = workers.start({ fanOut, onPositionLost: 'latest' });
      helpers.advanceTo(101_500);
      kinesis.fanOut.quietMs = Infinity;
      const opened = (): number => kinesis.callsOf('subscribeToShard').length;
      const before = opened();
      while (opened() === before) helpers.advanceTo(helpers.now() + 100);
      helpers.advanceTo(helpers.now() + 100);
      kinesis.openSubscriptions()[0]?.fail({ code: 'ECONNRESET' });
      stream.append(0, 'd');
      helpers.advanceTo(helpers.now() + 20_000);
      expect(second.texts()).toContain('d');
    }));
});
