export { fromKinesis } from './brokers/kinesis/from-kinesis.js';
export type {
  KinesisCallOptions,
  KinesisChildShardLike,
  KinesisClientLike,
  KinesisEntryLike,
  KinesisIteratorType,
  KinesisPageLike,
  KinesisPutResultLike,
  KinesisRecordLike,
  KinesisShardLike,
  KinesisStreamSummaryLike,
} from './brokers/kinesis/kinesis-client.js';
export type { KinesisSourceOptions, KinesisStartPosition } from './brokers/kinesis/kinesis-options.js';
export { kinesisPublisher } from './brokers/kinesis/kinesis-publisher.js';
export type { KinesisPublisherOptions } from './brokers/kinesis/kinesis-publisher.js';
export type { KinesisPosition } from './brokers/kinesis/kinesis-record.js';
export { sharedHashKeys } from './brokers/kinesis/shared-hash-keys.js';
