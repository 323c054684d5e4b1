import { describe, expect, it } from '@jest/globals';
import { fromKinesis } from '../../../lib/brokers/kinesis/from-kinesis.js';
import type { KinesisClientLike } from '../../../lib/brokers/kinesis/kinesis-client.js';
import type { KinesisSourceOptions } from '../../../lib/brokers/kinesis/kinesis-options.js';
import { memoryLeaseStore } from '../../../lib/memory.js';
import { fakeKinesis } from '../../support/kinesis-fake.js';
import { refusal } from '../../support/options.js';

const ARN = 'arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/efo:1700000000';

function make(options: object, client: KinesisClientLike = fakeKinesis()): void {
  const given = { stream: 's', consumer: 'c', leases: memoryLeaseStore(), ...options } as KinesisSourceOptions;
  fromKinesis(client, given);
}

describe('the options of fromKinesis', () => {
  it.each([[true], [{ consumerName: 'efo' }], [{ consumerName: 'A-z_0.9' }], [{ consumerArn: ARN }], [undefined]])(
    'take fanOut %j',
    (fanOut) => {
      expect(() => make({ fanOut })).not.toThrow();
    },
  );

  it.each([
    [false],
    ['efo'],
    [null],
    [{}],
    [{ consumerName: '' }],
    [{ consumerName: 'a b' }],
    [{ consumerName: 'x'.repeat(129) }],
    [{ consumerName: 'efo', consumerArn: ARN }],
    [{ consumerArn: 'efo' }],
    [{ consumerArn: ARN.replace('stream/s/', 'stream/other/') }],
    [{ name: 'efo' }],
  ])('do not take fanOut %j', (fanOut) => {
    expect(refusal(() => make({ fanOut }))).toContain('fanOut');
  });

  it('take fanOut true only where AWS would take the name of the consumer', () => {
    expect(refusal(() => make({ fanOut: true, consumer: 'every order' }))).toContain('fanOut');
  });

  it('take a client without the calls of fan-out only where none is asked for', () => {
    const { registerStreamConsumer, describeStreamConsumer, subscribeToShard, ...polled } = fakeKinesis();
    expect([registerStreamConsumer, describeStreamConsumer, subscribeToShard]).not.toContain(undefined);
    expect(() => make({}, polled)).not.toThrow();
    expect(refusal(() => make({ fanOut: true }, polled))).toContain('subscribeToShard');
  });

  it.each([
    [999_999_999, true],
    [1_000_000_000, false],
  ])('take a subSequenceNumber of nine digits at most: %d, %s', (subSequenceNumber, isTaken) => {
    const start = [{ shard: 'shardId-000000000000', sequenceNumber: '1', subSequenceNumber }];
    if (isTaken) expect(() => make({ start })).not.toThrow();
    else expect(refusal(() => make({ start }))).toContain('start');
  });
});
