export { fromKinesis } from './brokers/kinesis/from-kinesis.js';
export type {
  KinesisCallOptions,
  KinesisChildShardLike,
  KinesisClientLike,
  KinesisConsumerLike,
  KinesisEntryLike,
  KinesisFanOutEventLike,
  KinesisIteratorType,
  KinesisPageLike,
  KinesisPutResultLike,
  KinesisRecordLike,
  KinesisShardLike,
  KinesisStartingPositionLike,
  KinesisStreamEventLike,
  KinesisStreamSummaryLike,
} from './brokers/kinesis/kinesis-client.js';
export type { KinesisFanOut, KinesisSourceOptions, KinesisStartPosition } from './brokers/kinesis/kinesis-options.js';
export { kinesisPublisher } from './brokers/kinesis/kinesis-publisher.js';
export type { KinesisPublisherOptions } from './brokers/kinesis/kinesis-publisher.js';
export type { KinesisPosition } from './brokers/kinesis/kinesis-record.js';
export { sharedHashKeys } from './brokers/kinesis/shared-hash-keys.js';
