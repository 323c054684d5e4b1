import { afterAll, beforeAll, describe } from '@jest/globals';
import { publisherConformance, sourceConformance } from '../../lib/testing.js';
import { describeKafka } from '../servers/describe-kafka.js';
import { describeOwnKafka } from '../servers/describe-own-kafka.js';
import { kafkaTestClient, type KafkaTestClient } from '../servers/kafka-test-client.js';
import { checkAll } from './check-all.js';
import { kafkaPublisherDriver, kafkaSourceDriver } from './kafka-drivers.js';

// Side by side, kafkajs' admin had no offsets of a topic that is there.
const IN_TURN = { inTurn: true };

describeKafka('Kafka', (kafka) => {
  describe('fromKafka conforms', () => {
    const driver = kafkaSourceDriver(kafka);
    checkAll(driver, sourceConformance(driver), IN_TURN);
  });

  describe('kafkaPublisher conforms', () => {
    const driver = kafkaPublisherDriver(kafka);
    checkAll(driver, publisherConformance(driver), IN_TURN);
  });
});

describeOwnKafka('a Kafka that restarts', (server) => {
  let client: KafkaTestClient;
  beforeAll(() => {
    client = kafkaTestClient(server());
  });
  afterAll(() => client?.close());

  const driver = kafkaSourceDriver(
    () => client,
    () => server().restart(),
  );
  checkAll(
    driver,
    sourceConformance(driver).filter(({ needs }) => needs.includes('brokerRestart')),
    IN_TURN,
  );
});
