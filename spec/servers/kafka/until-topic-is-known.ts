import { KafkaJSProtocolError, type Kafka } from 'kafkajs';
import { until } from '../../support/until.js';

// kafkajs' own `waitForLeaders` asks one broker, and fails where that has not heard of the topic yet.
const NOT_YET = ['UNKNOWN_TOPIC_OR_PARTITION', 'LEADER_NOT_AVAILABLE'];

/** Waits until the broker that this client connects to knows the topic, and a leader of each of its partitions. */
export async function untilTopicIsKnown(kafka: Kafka, topic: string): Promise<void> {
  const admin = kafka.admin();
  const isKnown = async (): Promise<boolean> => {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0));
    } catch (error) {
      if (error instanceof KafkaJSProtocolError && NOT_YET.includes(error.type)) return false;
      throw error;
    }
  };
  await admin.connect();
  try {
    await until(`the broker knows ${topic}`, isKnown, 10_000);
  } finally {
    await admin.disconnect();
  }
}
