import { it } from '@jest/globals';
import { count, lastValueFrom } from 'rxjs';
import { ackEach, type Position } from '../../lib/index.js';
import { fromKafka, kafkaPublisher, type KafkaPosition } from '../../lib/kafka.js';
import { describeKafka } from '../servers/describe-kafka.js';
import type { KafkaTestClient } from '../servers/kafka-test-client.js';
import { rawProduce } from '../servers/kafka/raw-produce.js';
import { expectSound } from '../support/hostile-corpus/expect-sound.js';
import type { CorpusDriver } from '../support/hostile-corpus/run-corpus.js';
import { randomSeed } from '../support/seed.js';

// A batch has message.max.bytes, 1,048,588, at most; one of a record has 77 bytes beside a value of that size.
const MOST_BYTES = 1_048_588 - 77;
const MOST = { rss: 1_500, heap: 1_200 };
const SHAPE = { broker: 'kafka', mostBytes: MOST_BYTES, flood: 20_000 } as const;

const seed = randomSeed();

describeKafka(`what would do harm, among 10,000 good messages of Kafka, seed ${seed}`, (kafka) => {
  it.each(['headers', 'json'] as const)(
    'is done, a dead letter or refused, each as it should; dead letters as %s',
    async (format) => expectSound(await kafkaDriver(kafka()), SHAPE, { seed, format, most: MOST }),
  );
});

async function kafkaDriver(kafka: KafkaTestClient): Promise<CorpusDriver> {
  const topic = await kafka.createTopic({ partitions: 4 });
  const dlq = await kafka.createTopic({ partitions: 4 });
  const client = kafka.newKafka();
  const groupId = kafka.groupId();
  return {
    publisher: kafkaPublisher(client, { topic }),
    deadLetters: kafkaPublisher(client, { topic: dlq }),
    source: (options) => fromKafka(client, { ...options, groupId, topics: [topic] }),
    idOf: (position: Position) => {
      const { partition, offset } = position as KafkaPosition;
      return `${topic}/${partition}/${offset}`;
    },
    sendRaw: async ({ make }) => {
      const offset = await rawProduce(kafka.brokers[0] as string, topic, 0, make() as Uint8Array);
      return [`${topic}/0/${offset}`];
    },
    letters: async () =>
      (await kafka.readAll(dlq)).map(({ headers, value }) => ({
        headers: Object.fromEntries(Object.entries(headers).map(([name, given]) => [name, String(given)])),
        bytes: value?.length ?? 0,
      })),
    leftOver: () =>
      lastValueFrom(fromKafka(client, { groupId, topics: [topic], until: 'end' }).pipe(ackEach(), count())),
  };
}
