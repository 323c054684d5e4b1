import { isDate } from '../../core/is-date.js';
import type { KafkaAdminLike, KafkaClientLike } from './kafka-client.js';
import { kafkaError } from './kafka-errors.js';
import type { KafkaStartPosition, ResolvedKafkaOptions } from './kafka-options.js';
import type { TopicPartition } from './kafka-run.js';

/** What the log of a partition holds: from `low` up to, not including, `high`. @internal */
export interface LogBounds {
  readonly low: string;
  readonly high: string;
}

/** Where a partition begins. @internal */
export interface StartPosition extends LogBounds {
  /** The next offset to read. */
  readonly offset: string;
  /** The group has it stored. */
  readonly stored: boolean;
  /** What is stored beside it. */
  readonly metadata: string | null;
}

/** `orders/3` @internal */
export function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** Opens an admin client for as long as `ask` runs: an idle connection of kafkajs costs a timer of 1 ms. @internal */
export async function withAdmin<T>(client: KafkaClientLike, ask: (admin: KafkaAdminLike) => Promise<T>): Promise<T> {
  const admin = client.admin();
  try {
    await admin.connect();
    return await ask(admin);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/** How many partitions each topic has; fails with `unknown-topic` for the first that the broker does not have. @internal */
export async function countPartitions(
  owner: string,
  admin: KafkaAdminLike,
  topics: readonly string[],
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const topic of topics) {
    try {
      const found = await admin.fetchTopicMetadata({ topics: [topic] });
      counts.set(topic, found.topics[0]?.partitions.length ?? 0);
    } catch (error) {
      throw kafkaError(owner, error, { topic });
    }
  }
  return counts;
}

/** The bounds of every partition of some topics, by name. @internal */
export async function fetchBounds(admin: KafkaAdminLike, topics: readonly string[]): Promise<Map<string, LogBounds>> {
  const bounds = new Map<string, LogBounds>();
  for (const topic of topics) {
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      bounds.set(nameOf({ topic, partition }), { low, high });
    }
  }
  return bounds;
}

/**
 * Where each partition of some topics begins: at what the group has committed, else where `start` says; for one that was
 * not there before, `'latest'` would skip what was published to it meanwhile.
 * @internal
 */
export async function fetchStarts(
  admin: KafkaAdminLike,
  { groupId, start }: ResolvedKafkaOptions,
  topics: readonly string[],
  counts: ReadonlyMap<string, number>,
): Promise<Map<string, StartPosition>> {
  const bounds = await fetchBounds(admin, topics);
  const starts = new Map<string, StartPosition>();
  for (const { topic, partitions } of await admin.fetchOffsets({ groupId, topics: [...topics] })) {
    const fresh = partitions.some(({ offset }) => isNone(offset));
    const times = fresh && isDate(start) ? await offsetsAt(admin, topic, start) : null;
    for (const { partition, offset, metadata } of partitions) {
      const name = nameOf({ topic, partition });
      const { low, high } = bounds.get(name) ?? { low: '0', high: '0' };
      const isNew = partition >= (counts.get(topic) ?? 0);
      const latest = start === 'latest' && !isNew ? high : undefined;
      const fallback = latest ?? times?.get(partition) ?? givenFor(start, topic, partition) ?? low;
      starts.set(name, { low, high, offset: isNone(offset) ? fallback : offset, stored: !isNone(offset), metadata });
    }
  }
  return starts;
}

// What kafkajs stores by itself where a position was out of range: it must not pass for "never committed" (I10).
const RESET = new Set(['-2']);

function isNone(offset: string): boolean {
  return offset.startsWith('-') && !RESET.has(offset);
}

async function offsetsAt(admin: KafkaAdminLike, topic: string, time: Date): Promise<Map<number, string>> {
  const offsets = await admin.fetchTopicOffsetsByTimestamp(topic, time.getTime());
  return new Map(offsets.map(({ partition, offset }) => [partition, offset]));
}

function givenFor(start: ResolvedKafkaOptions['start'], topic: string, partition: number): string | undefined {
  if (typeof start === 'string' || isDate(start)) return undefined;
  const isIt = (given: KafkaStartPosition): boolean => given.topic === topic && given.partition === partition;
  return start.find(isIt)?.offset;
}
