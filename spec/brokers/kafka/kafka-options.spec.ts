import { describe, expect, it } from '@jest/globals';
import { fromKafka, kafkaPublisher, type KafkaSourceOptions } from 'rxsluice/kafka';
import { resolveKafkaOptions } from '../../../lib/brokers/kafka/kafka-options.js';
import { fakeKafka } from '../../support/kafka-fake.js';
import { until } from '../../support/until.js';

const kafka = fakeKafka();
const base = { groupId: 'g', topics: ['t'] };
const source = (options: object) => () => fromKafka(kafka, { ...base, ...options });
const publisher = (options: object) => () => kafkaPublisher(kafka, { topic: 't', ...options });

describe('the options of fromKafka', () => {
  it('have the defaults that their docs say', () => {
    expect(resolveKafkaOptions(kafka, base)).toEqual({
      groupId: 'g',
      topics: ['t'],
      start: 'earliest',
      onPositionLost: 'error',
      drainOnRebalance: true,
      drainTimeoutMs: 10_000,
      commitIntervalMs: 500,
      commitEvery: 8_000,
      sessionTimeoutMs: 30_000,
      rebalanceTimeoutMs: 60_000,
      heartbeatIntervalMs: 1_000,
      fetchMaxWaitMs: 100,
      fetchMaxBytes: 10_485_760,
      fetchMaxBytesPerPartition: 1_048_576,
      fetchMinBytes: 1,
      metadataMaxAgeMs: 60_000,
      readUncommitted: false,
      rackId: '',
      refusalTimeoutMs: 300_000,
      until: null,
    });
  });

  it('give kafkajs the bounds of a fetch', async () => {
    const given: object[] = [];
    const client = fakeKafka({ t: 1 });
    const { consumer } = client;
    Object.assign(client, {
      consumer: (config: Parameters<typeof consumer>[0]) => {
        given.push(config);
        return consumer(config);
      },
    });
    const bounds = { fetchMaxBytes: 5_000, fetchMaxBytesPerPartition: 500 };
    const subscription = fromKafka(client, { ...base, ...bounds }).subscribe();
    await until('it has a consumer', () => given.length > 0);
    subscription.unsubscribe();
    expect(given[0]).toMatchObject({ maxBytes: 5_000, maxBytesPerPartition: 500 });
  });

  it('follow drainTimeoutMs, maxInFlight and maxSpan where they are not given', () => {
    const drain = resolveKafkaOptions(kafka, { ...base, drainTimeoutMs: 50_000 });
    expect([drain.sessionTimeoutMs, drain.rebalanceTimeoutMs]).toEqual([70_000, 80_000]);
    const every = (options: Partial<KafkaSourceOptions>) =>
      resolveKafkaOptions(kafka, { ...base, ...options }).commitEvery;
    expect([every({ maxInFlight: 10 }), every({ maxSpan: 5_000 }), every({ maxInFlight: 1, maxSpan: 1 })]).toEqual([
      80, 2_500, 1,
    ]);
  });

  it('name each topic once', () => {
    expect(resolveKafkaOptions(kafka, { ...base, topics: ['b', 'a', 'b'] }).topics).toEqual(['b', 'a']);
  });

  it.each<[object]>([
    [{ commitIntervalMs: 0 }],
    [{ commitIntervalMs: 60_000 }],
    [{ commitEvery: 1 }],
    [{ sessionTimeoutMs: 10_001 }],
    [{ sessionTimeoutMs: 6_000, drainTimeoutMs: 5_999 }],
    [{ sessionTimeoutMs: 1_800_000 }],
    [{ rebalanceTimeoutMs: 10_001 }],
    [{ rebalanceTimeoutMs: 1_800_000 }],
    [{ heartbeatIntervalMs: 1 }],
    [{ heartbeatIntervalMs: 10_000 }],
    [{ fetchMaxWaitMs: 1 }],
    [{ fetchMaxWaitMs: 5_000 }],
    [{ fetchMaxBytes: 1, fetchMaxBytesPerPartition: 2 ** 31 - 1, fetchMinBytes: 1 }],
    [{ start: 'latest', onPositionLost: 'latest', drainOnRebalance: false, readUncommitted: true, rackId: 'a' }],
    [{ start: new Date(0), metadataMaxAgeMs: 1_000 }],
    [{ start: [] }],
    [{ start: [{ topic: 't', partition: 0, offset: '9223372036854775807' }] }],
    [{ drainTimeoutMs: 1_770_000 }],
  ])('take %j', (options) => {
    expect(source(options)).not.toThrow();
  });

  it.each<[object, string]>([
    [{ groupId: '' }, 'groupId must be a string that is not empty, not an empty string.'],
    [{ groupId: undefined }, 'groupId must be a string that is not empty, not undefined.'],
    [{ topics: [] }, 'topics must be a list of topic names that is not empty, not an empty array.'],
    [{ topics: ['t', ''] }, 'is not empty, not an array of: a string, an empty string.'],
    [{ topics: 't' }, 'topics must be a list of topic names that is not empty, not a string.'],
    [{ topics: [/t/] }, 'topics must be a list of topic names that is not empty, not an array of: an object.'],
    [{ start: 'middle' }, "start must be 'earliest', 'latest', a Date or a list of { topic, partition, offset }"],
    [{ start: new Date(NaN) }, 'start must be'],
    [{ start: [{ topic: 't', partition: 0, offset: 5 }] }, 'start must be'],
    [{ start: [{ topic: 't', partition: 0.5, offset: '5' }] }, 'start must be'],
    [{ start: [{ topic: 't', partition: 0, offset: '-1' }] }, 'start must be'],
    [{ start: [null] }, 'start must be'],
    [{ onPositionLost: 'ignore' }, "onPositionLost must be 'error' or 'earliest' or 'latest', not 'ignore'."],
    [{ drainOnRebalance: 'no' }, 'drainOnRebalance must be true or false, not a string.'],
    [{ commitIntervalMs: -1 }, 'commitIntervalMs must be a number, at least 0 and at most 60000, not -1.'],
    [{ commitIntervalMs: 60_001 }, 'not 60001.'],
    [{ commitIntervalMs: NaN }, 'not NaN.'],
    [{ commitEvery: 0 }, 'commitEvery must be a whole number, at least 1, not 0.'],
    [{ commitEvery: 1.5 }, 'not 1.5.'],
    [{ sessionTimeoutMs: 5_999, drainTimeoutMs: 10 }, 'sessionTimeoutMs must be a whole number, at least 6000'],
    [{ sessionTimeoutMs: 10_000 }, 'above drainTimeoutMs (10000)'],
    [{ sessionTimeoutMs: 1_800_001 }, 'at most 1800000, not 1800001.'],
    [
      { rebalanceTimeoutMs: 10_000 },
      'rebalanceTimeoutMs must be a whole number, above drainTimeoutMs (10000) and at most 1800000',
    ],
    [{ rebalanceTimeoutMs: 1_800_001 }, 'not 1800001.'],
    [{ drainTimeoutMs: 1_790_000 }, 'sessionTimeoutMs must be'],
    [{ drainTimeoutMs: -1 }, 'drainTimeoutMs must be a number, at least 0'],
    [{ drainTimeoutMs: 'soon' }, 'drainTimeoutMs must be a number, at least 0 and at most 2147483647, not a string.'],
    [
      { heartbeatIntervalMs: 0 },
      'heartbeatIntervalMs must be a whole number, at least 1 and at most a third of sessionTimeoutMs (10000), not 0.',
    ],
    [{ heartbeatIntervalMs: 10_001 }, 'not 10001.'],
    [{ fetchMaxWaitMs: 0 }, 'fetchMaxWaitMs must be a whole number, at least 1 and at most 5000, not 0.'],
    [{ fetchMaxWaitMs: 5_001 }, 'not 5001.'],
    [{ fetchMaxBytes: 0 }, 'fetchMaxBytes must be'],
    [{ fetchMaxBytesPerPartition: 2 ** 31 }, 'fetchMaxBytesPerPartition must be'],
    [{ fetchMinBytes: 0 }, 'fetchMinBytes must be'],
    [{ metadataMaxAgeMs: 999 }, 'metadataMaxAgeMs must be a whole number, at least 1000'],
    [{ readUncommitted: 1 }, 'readUncommitted must be true or false, not 1.'],
    [{ rackId: '' }, 'rackId must be a string that is not empty'],
    [{ maxInFlight: 0 }, 'maxInFlight must be'],
    [{ maxSpan: 10 }, 'maxSpan must be'],
    [{ until: 'now' }, "until must be 'end', not 'now'."],
    [{ fromBeginning: true }, 'fromKafka: there is no option fromBeginning; there are groupId, topics, start,'],
    [{ topic: 't' }, 'there is no option topic;'],
  ])('refuse %j before anything is opened', (options, message) => {
    expect(source(options)).toThrow(message);
    expect(source(options)).toThrow(expect.objectContaining({ code: 'invalid-options' }));
    expect([kafka.open, kafka.consumers.length]).toEqual([0, 0]);
  });

  it.each<[unknown]>([[undefined], [null], [{}], [{ consumer: () => undefined, producer: () => undefined }]])(
    'refuse %j as a client',
    (client) => {
      expect(() => fromKafka(client as never, base)).toThrow('client must be a Kafka client, as kafkajs has it');
    },
  );
});

describe('the options of kafkaPublisher', () => {
  it.each<[object]>([
    [{}],
    [{ maxBatch: 1, maxBatchBytes: 1, lingerMs: 0, compression: 'none' }],
    [{ maxBatchBytes: 2 ** 31 - 1, lingerMs: 10_000, compression: 'gzip' }],
  ])('take %j', (options) => {
    expect(publisher(options)).not.toThrow();
  });

  it.each<[object, string]>([
    [{ topic: '' }, 'kafkaPublisher: topic must be a string that is not empty'],
    [{ maxBatch: 0 }, 'maxBatch must be a whole number, at least 1, not 0.'],
    [{ maxBatchBytes: 0 }, 'maxBatchBytes must be a whole number, at least 1'],
    [{ maxBatchBytes: 2 ** 31 }, 'maxBatchBytes must be'],
    [{ lingerMs: -1 }, 'lingerMs must be a number, at least 0 and at most 10000, not -1.'],
    [{ lingerMs: 10_001 }, 'not 10001.'],
    [{ compression: 'snappy' }, "compression must be 'none' or 'gzip', not 'snappy'."],
    [{ acks: 1 }, 'kafkaPublisher: there is no option acks;'],
  ])('refuse %j before anything is opened', (options, message) => {
    expect(publisher(options)).toThrow(message);
    expect([kafka.open, kafka.producers.length]).toEqual([0, 0]);
  });

  it('refuse what is no client', () => {
    expect(() => kafkaPublisher({} as never, { topic: 't' })).toThrow('client must be a Kafka client');
  });
});
