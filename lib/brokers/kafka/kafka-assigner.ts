import type { KafkaAssignerLike, KafkaClusterLike } from './kafka-client.js';

/** kafkajs' own name and encoding, so that a group may mix plain kafkajs consumers with ours. */
const NAME = 'RoundRobinAssigner';
const VERSION = 0;

type Topics = Pick<KafkaClusterLike, 'addTargetTopic' | 'findTopicPartitionMetadata'>;

/** @internal */
export interface AssignerOptions {
  /** Called before each join. A throw holds the join back (`REBALANCE_IN_PROGRESS`) or gives it up (anything else). */
  readonly beforeJoin: () => void;
  /** Members of the group that read other topics than this one. */
  readonly onMixedTopics: (topics: readonly string[]) => void;
}

/**
 * Shares the partitions of each topic round robin among the members that read that topic. kafkajs' own shares the
 * leader's topics among all: with two topic lists in one group some are read by nobody.
 * @internal
 */
export function kafkaAssigner(options: AssignerOptions) {
  return ({ cluster }: { readonly cluster: Topics }): KafkaAssignerLike => ({
    name: NAME,
    version: VERSION,
    protocol: ({ topics }) => {
      options.beforeJoin();
      return { name: NAME, metadata: encodeTopics(topics) };
    },
    assign: async ({ members, topics }) => {
      const readers = members
        .map(({ memberId, memberMetadata }) => ({ memberId, topics: decodeTopics(memberMetadata) }))
        .sort((a, b) => (a.memberId < b.memberId ? -1 : 1));
      const wanted = [...new Set(readers.flatMap((reader) => reader.topics))].sort();
      const foreign = wanted.filter((topic) => !topics.includes(topic));
      if (readers.some((reader) => reader.topics.length !== wanted.length)) options.onMixedTopics(wanted);
      // The leader knows the partitions of its own topics only; one that is gone has none to share.
      for (const topic of foreign) await cluster.addTargetTopic(topic).catch(() => undefined);
      const shares = new Map(readers.map(({ memberId }) => [memberId, new Map<string, number[]>()]));
      let turn = 0;
      for (const topic of wanted) {
        const takers = readers.filter((reader) => reader.topics.includes(topic));
        for (const { partitionId } of cluster.findTopicPartitionMetadata(topic)) {
          const { memberId } = takers[turn++ % takers.length] as { memberId: string };
          const share = shares.get(memberId) as Map<string, number[]>;
          share.set(topic, [...(share.get(topic) ?? []), partitionId]);
        }
      }
      return [...shares].map(([memberId, share]) => ({ memberId, memberAssignment: encodeShare(share) }));
    },
  });
}

function encodeTopics(topics: readonly string[]): Buffer {
  return Buffer.concat([int16(VERSION), int32(topics.length), ...topics.map(text), int32(0)]);
}

function encodeShare(share: ReadonlyMap<string, readonly number[]>): Buffer {
  const topics = [...share].map(([topic, partitions]) =>
    Buffer.concat([text(topic), int32(partitions.length), ...partitions.map(int32)]),
  );
  return Buffer.concat([int16(VERSION), int32(share.size), ...topics, int32(0)]);
}

function decodeTopics(metadata: Buffer): string[] {
  let at = 2;
  const count = metadata.readInt32BE(at);
  at += 4;
  return Array.from({ length: count }, () => {
    const length = metadata.readInt16BE(at);
    const topic = metadata.toString('utf8', at + 2, at + 2 + length);
    at += 2 + length;
    return topic;
  });
}

function int16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([int16(bytes.length), bytes]);
}
