import { afterAll, beforeAll, it } from '@jest/globals';
import { describeIf } from './describe-if.js';
import { kafkaTestClient, type KafkaTestClient } from './kafka-test-client.js';
import { givenBrokers } from './open-kafka.js';
import { sharedKafka } from './shared-kafka.js';
import { whyNoKafka } from './why-no-kafka.js';

const isUsers = givenBrokers().length > 0;
const missing = isUsers ? undefined : await whyNoKafka();

/**
 * A `describe` on the Kafka that all spec files of a run share: the user's (`KAFKA_BROKERS`), or one that the first of
 * them starts. `kafka()` is for the tests and hooks inside; the topics and groups made through it are deleted afterwards.
 */
export function describeKafka(name: string, specs: (kafka: () => KafkaTestClient) => void): void {
  describeIf(name, missing, () => {
    let client: KafkaTestClient;
    beforeAll(async () => {
      client = kafkaTestClient(await sharedKafka());
    });
    afterAll(() => client?.close());
    specs(() => client);
  });
}

/** An `it` for the SASL listener, which the user's broker need not have. */
export const itSasl = isUsers ? it.skip : it;
