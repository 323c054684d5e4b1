import { Kafka, logLevel } from 'kafkajs';
import { lastValueFrom, of, toArray } from 'rxjs';
import { ackEach, handle } from 'rxsluice';
import { fromKafka, kafkaPublisher } from 'rxsluice/kafka';
import { kafkaTestClient, type KafkaTestClient } from '../../spec/servers/kafka-test-client.js';
import { givenBrokers, openKafka } from '../../spec/servers/open-kafka.js';
import { whyNoKafka } from '../../spec/servers/why-no-kafka.js';
import { MAX_IN_FLIGHT, PARTITIONS, type QuakeBroker, type StoredMessage } from './quake-broker.js';

// The quakes are years old, and Kafka keeps a message for a week of its timestamp.
const CONFIG = { 'retention.ms': '-1' };

/** Runs on the Kafka that `KAFKA_BROKERS` names, else on one that is started for it. Removes what was made. */
export async function onKafka(use: (broker: QuakeBroker) => Promise<void>): Promise<void> {
  const given = givenBrokers().length > 0;
  const missing = given ? undefined : await whyNoKafka();
  if (missing !== undefined) {
    throw new Error(`${missing}. Install it, or name a broker: KAFKA_BROKERS=localhost:9092 npm start -- --kafka`);
  }
  if (!given) console.log('Starting an Apache Kafka; the first time Maven fetches it.');
  const server = await openKafka();
  const helper = kafkaTestClient(server);
  try {
    await use(await kafkaQuakes(helper, given ? 'the Kafka of KAFKA_BROKERS' : 'an Apache Kafka of its own'));
  } finally {
    await helper.close();
    await server.stop();
  }
}

async function kafkaQuakes(helper: KafkaTestClient, name: string): Promise<QuakeBroker> {
  const quakes = await helper.createTopic({ prefix: 'quakes', partitions: PARTITIONS, config: CONFIG });
  const deadLetters = await helper.createTopic({ prefix: 'quakes-dlq', partitions: PARTITIONS, config: CONFIG });
  const alerts = await helper.createTopic({ prefix: 'quake-alerts', partitions: PARTITIONS, config: CONFIG });
  const options = { groupId: helper.groupId('quake-watch'), topics: [quakes], maxInFlight: MAX_IN_FLIGHT } as const;
  const kafka = new Kafka({ clientId: 'quake-watch', brokers: [...helper.brokers], logLevel: logLevel.NOTHING });
  const storedIn = (topic: string): Promise<StoredMessage[]> => {
    const reader = { groupId: helper.groupId('quake-reader'), topics: [topic], until: 'end' } as const;
    const stored = fromKafka(kafka, reader).pipe(
      handle((value, { headers }) => of<StoredMessage>({ value, headers })),
      ackEach(),
      toArray(),
    );
    return lastValueFrom(stored);
  };
  return {
    name,
    feed: kafkaPublisher(kafka, { topic: quakes }),
    source: ({ telemetry, stop }) => fromKafka(kafka, { ...options, until: 'end', telemetry, stop }),
    deadLetters: kafkaPublisher(kafka, { topic: deadLetters }),
    alerts: kafkaPublisher(kafka, { topic: alerts }),
    storedDeadLetters: () => storedIn(deadLetters),
    storedAlerts: () => storedIn(alerts),
  };
}
