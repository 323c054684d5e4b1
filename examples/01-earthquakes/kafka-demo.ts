import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';
import { lastValueFrom, toArray } from 'rxjs';
import { ackEach, handle } from 'rxsluice';
import { fromKafka, kafkaPublisher } from 'rxsluice/kafka';
import { openKafka, type OpenKafka } from '../../spec/servers/open-kafka.js';
import type { DeadLetter, DemoBroker } from './demo-broker.js';

/** A real Apache Kafka: the one at `KAFKA_BROKERS`, else one that is started for the demo and removed after it. */
export async function kafkaDemo(opened?: OpenKafka): Promise<DemoBroker> {
  const server = opened ?? (await openKafka());
  // kafkajs logs what it then mends by itself; what it cannot mend arrives as a typed error.
  const kafka = new Kafka({ clientId: 'quakes', brokers: [...server.brokers], logLevel: logLevel.NOTHING });
  const run = randomUUID();
  const [quakes, deadLetters] = [`quakes-${run}`, `quakes-dlq-${run}`];
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({
    topics: [
      { topic: quakes, numPartitions: 4 },
      { topic: deadLetters, numPartitions: 4 },
    ],
  });

  return {
    name: `Apache Kafka at ${server.brokers.join(', ')}`,
    quakes: kafkaPublisher(kafka, { topic: quakes }),
    deadLetters: kafkaPublisher(kafka, { topic: deadLetters }),
    source: (options) => fromKafka(kafka, { groupId: `quake-watch-${run}`, topics: [quakes], ...options }),
    readDeadLetters: () =>
      lastValueFrom(
        fromKafka(kafka, { groupId: `quake-letters-${run}`, topics: [deadLetters], until: 'end' }).pipe(
          handle((value, { headers }): DeadLetter => ({ value, headers })),
          ackEach(),
          toArray(),
        ),
      ),
    close: async () => {
      await admin.deleteTopics({ topics: [quakes, deadLetters] });
      await admin.deleteGroups([`quake-watch-${run}`, `quake-letters-${run}`]);
      await admin.disconnect();
      await server.stop();
    },
  };
}
