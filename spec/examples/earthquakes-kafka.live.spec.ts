import { expect, it } from '@jest/globals';
import { mismatches } from '../../examples/01-earthquakes/check.js';
import { runDemo } from '../../examples/01-earthquakes/demo.js';
import { kafkaDemo } from '../../examples/01-earthquakes/kafka-demo.js';
import { describeKafka } from '../servers/describe-kafka.js';

describeKafka('the earthquakes example on Kafka', (kafka) => {
  it('ends with the sums of the one in memory', async () => {
    const broker = await kafkaDemo({ brokers: kafka().brokers, stop: () => Promise.resolve() });
    const result = await runDemo(() => undefined, broker).finally(() => broker.close());
    expect(mismatches(result)).toEqual([]);
  });
});
