import type { Kafka } from 'kafkajs';
import { until } from '../../support/until.js';

/**
 * Waits until the broker that this client connects to knows the topic, and the leader of each partition serves it.
 * kafkajs' own `waitForLeaders` asks one broker what it heard of, and fails where that is nothing yet; a producer that
 * meets a partition that is not served yet sends the others again.
 */
export async function untilTopicIsReady(kafka: Kafka, topic: string): Promise<void> {
  const admin = kafka.admin();
  const isReady = async (): Promise<boolean> => {
    try {
      await admin.fetchTopicMetadata({ topics: [topic] });
      await admin.fetchTopicOffsets(topic);
      return true;
    } catch (error) {
      if (error instanceof Error && 'retriable' in error && error.retriable === true) return false;
      throw error;
    }
  };
  await admin.connect();
  try {
    await until(`${topic} is ready`, isReady);
  } finally {
    await admin.disconnect();
  }
}
