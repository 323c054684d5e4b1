import { afterAll, beforeAll } from '@jest/globals';
import { describeIf } from './describe-if.js';
import { startKafka, type KafkaServer, type StartKafkaOptions } from './kafka.js';
import { whyNoKafka } from './why-no-kafka.js';

const missing = await whyNoKafka();

/** A `describe` with a Kafka of its own, for specs that restart or kill it; never the user's. */
export function describeOwnKafka(
  name: string,
  specs: (server: () => KafkaServer) => void,
  options?: StartKafkaOptions,
): void {
  describeIf(name, missing, () => {
    let server: KafkaServer;
    beforeAll(async () => {
      server = await startKafka(options);
    });
    afterAll(() => server?.stop());
    specs(() => server);
  });
}
