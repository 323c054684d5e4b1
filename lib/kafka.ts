export type {
  KafkaAdminLike,
  KafkaAssignerLike,
  KafkaBatchLike,
  KafkaBatchPayloadLike,
  KafkaBrokerLike,
  KafkaClientLike,
  KafkaClusterLike,
  KafkaConsumerConfig,
  KafkaConsumerEvent,
  KafkaConsumerLike,
  KafkaCoordinatorLike,
  KafkaMembership,
  KafkaOffsetsByTopic,
  KafkaProducerConfig,
  KafkaProducerLike,
  KafkaRecord,
} from './brokers/kafka/kafka-client.js';
export type { KafkaSourceOptions, KafkaStartPosition } from './brokers/kafka/kafka-options.js';
export { kafkaPublisher } from './brokers/kafka/kafka-publisher.js';
export type { KafkaPublisherOptions } from './brokers/kafka/kafka-publisher.js';
export type { KafkaPosition } from './brokers/kafka/kafka-record.js';
export { fromKafka } from './brokers/kafka/kafka-source.js';
