import type { KafkaClusterLike } from './kafka-client.js';
import type { TopicPartition } from './kafka-run.js';

// Of Kafka's protocol.
const READ_UNCOMMITTED = 0;
const READ_COMMITTED = 1;
const END = -1;
// How many partitions one request asks for: it is encoded and decoded at once.
const ASKED_AT_ONCE = 1_000;

type Told = (of: TopicPartition, end: string) => void;

/** The ends of partitions, as their leaders tell them. @internal */
export interface Ends {
  /** Asks each leader for its partitions; one that has not answered the last time is not asked again. Never rejects. */
  ask(cluster: KafkaClusterLike, partitions: readonly TopicPartition[], told: Told): Promise<void>;
}

/**
 * Fetches tell the end of a partition only while it is read, and another end than a reader of committed messages can come to. So the
 * leaders are asked, over the connections of the consumer beside those for fetches: an admin client would open its own each time, ask
 * for all partitions of a topic, whoever reads them, and take a time that grows by the square of them.
 * @internal
 */
export function createEnds(readUncommitted: boolean): Ends {
  const isolationLevel = readUncommitted ? READ_UNCOMMITTED : READ_COMMITTED;
  const asked = new Set<number>();

  const askLeader = async (
    cluster: KafkaClusterLike,
    leader: number,
    partitions: readonly TopicPartition[],
    told: Told,
  ): Promise<void> => {
    if (asked.has(leader)) return;
    asked.add(leader);
    try {
      const broker = await cluster.findBroker({ nodeId: String(leader) });
      for (let from = 0; from < partitions.length; from += ASKED_AT_ONCE) {
        const topics = questionsOf(partitions.slice(from, from + ASKED_AT_ONCE));
        const answer = await broker.listOffsets?.({ isolationLevel, topics });
        for (const { topic, partitions: ends } of answer?.responses ?? [])
          for (const { partition, offset } of ends) told({ topic, partition }, offset);
      }
    } finally {
      asked.delete(leader);
    }
  };

  return {
    ask: async (cluster, partitions, told) => {
      // What cannot be learned now gets older, and telemetry says how old.
      await Promise.allSettled(
        [...byLeader(cluster, partitions)].map(([leader, led]) => askLeader(cluster, leader, led, told)),
      );
    },
  };
}

function byLeader(cluster: KafkaClusterLike, partitions: readonly TopicPartition[]): Map<number, TopicPartition[]> {
  const leaders = new Map<string, Map<number, number | undefined>>();
  const led = new Map<number, TopicPartition[]>();
  for (const { topic, partition } of partitions) {
    const known = leaders.get(topic) ?? leadersOf(cluster, topic);
    leaders.set(topic, known);
    // -1: it has none at the moment.
    const leader = known.get(partition) ?? -1;
    if (leader < 0) continue;
    const all = led.get(leader);
    if (all === undefined) led.set(leader, [{ topic, partition }]);
    else all.push({ topic, partition });
  }
  return led;
}

function leadersOf(cluster: KafkaClusterLike, topic: string): Map<number, number | undefined> {
  try {
    return new Map(cluster.findTopicPartitionMetadata(topic).map(({ partitionId, leader }) => [partitionId, leader]));
  } catch {
    // Nothing is known of it yet.
    return new Map();
  }
}

function questionsOf(partitions: readonly TopicPartition[]) {
  const topics = new Map<string, { partition: number; timestamp: number }[]>();
  for (const { topic, partition } of partitions) {
    const asked = topics.get(topic) ?? [];
    topics.set(topic, asked);
    asked.push({ partition, timestamp: END });
  }
  return [...topics].map(([topic, asked]) => ({ topic, partitions: asked }));
}
