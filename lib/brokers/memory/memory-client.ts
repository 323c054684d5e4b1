import { SluiceError } from '../../core/errors.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { copyOfRecord } from './memory-bytes.js';
import { createGroup, type MemoryGroup } from './memory-group.js';
import { createLog, read, truncate, type MemoryLog, type MemoryRecord } from './memory-log.js';
import type { MemoryBrokerOptions, MemoryTopicOptions } from './memory-options.js';

/** @internal */
export interface MemoryTopic {
  readonly name: string;
  readonly logs: readonly MemoryLog[];
  readonly options: MemoryTopicOptions;
  /** Sources that read it: told of what is new, and of its end. */
  readonly readers: Set<MemoryReader>;
  /** Where the next message without a key goes. */
  turn: number;
}

/** @internal */
export interface MemoryReader {
  /** There is more to read. */
  wake(partition: number): void;
  /** The topic is deleted. */
  gone(): void;
}

const INTERNALS = Symbol.for('rxsluice.memory');

/** @internal */
export interface MemoryInternals {
  topic(name: string): MemoryTopic | undefined;
  group(id: string): MemoryGroup;
}

/**
 * A broker in this process: topics, partitions, consumer groups with rebalances, committed positions, retention. The
 * same guarantees as over a server, but for a restart of the process, which it does not survive. It has no clock and no
 * thread of its own, so it runs in virtual time under a `TestScheduler`.
 * @public
 */
export interface MemoryBroker {
  /** Adds a topic; one that exists is an error. */
  createTopic(name: string, options?: MemoryTopicOptions): void;
  /** Removes a topic and what is committed on it; sources that read it fail with `unknown-topic`. */
  deleteTopic(name: string): void;
  /** Drops the messages of a partition below an offset, as retention does. */
  deleteRecords(topic: string, partition: number, before: number): void;
  /** Copies of the messages that a partition keeps, or a whole topic, partition by partition. */
  messages(topic: string, partition?: number): readonly MemoryRecord[];
  /** The next offset to read for each partition, or `null` before the group's first commit. */
  committed(groupId: string, topic: string): readonly (number | null)[];
  /** What sources and publishers of this broker share. @internal */
  readonly [INTERNALS]: MemoryInternals;
}

/**
 * Makes a broker in this process.
 *
 * @example
 * ```ts
 * const broker = memoryBroker({ topics: { orders: { partitions: 4 }, 'orders-dlq': {} } });
 * ```
 * @public
 */
export function memoryBroker(options: MemoryBrokerOptions = {}): MemoryBroker {
  checkNames('memoryBroker', options, ['topics']);
  checkOptions('memoryBroker', { ...options }, { topics: { that: { be: TOPICS, holds: isRecord } } });
  const topics = new Map<string, MemoryTopic>();
  const groups = new Map<string, MemoryGroup>();

  const topicNamed = (name: string): MemoryTopic => {
    const topic = topics.get(name);
    if (topic === undefined) throw unknownTopic('memoryBroker', name);
    return topic;
  };

  const logOf = (name: string, partition: number): MemoryLog => {
    const log = topicNamed(name).logs[partition];
    if (log === undefined)
      throw new SluiceError('invalid-options', `memoryBroker: ${name} has no partition ${partition}.`);
    return log;
  };

  const groupOf = (id: string): MemoryGroup => {
    const group = groups.get(id) ?? createGroup((topic) => topicNamed(topic).logs.length);
    groups.set(id, group);
    return group;
  };

  const createTopic = (name: string, topicOptions: MemoryTopicOptions = {}): void => {
    checkTopic(name, topicOptions);
    if (topics.has(name)) throw new SluiceError('invalid-options', `memoryBroker: there is a topic ${name} already.`);
    const logs = Array.from({ length: topicOptions.partitions ?? 1 }, createLog);
    topics.set(name, { name, logs, options: topicOptions, readers: new Set(), turn: 0 });
  };

  for (const [name, topicOptions] of Object.entries(options.topics ?? {})) createTopic(name, topicOptions);

  return {
    createTopic,
    deleteTopic: (name) => {
      const { readers } = topicNamed(name);
      topics.delete(name);
      for (const reader of [...readers]) reader.gone();
      for (const group of groups.values()) group.forget(name);
    },
    deleteRecords: (name, partition, before) => {
      truncate(logOf(name, partition), before);
      for (const reader of [...topicNamed(name).readers]) reader.wake(partition);
    },
    messages: (name, partition) => {
      const logs = partition === undefined ? topicNamed(name).logs : [logOf(name, partition)];
      return logs.flatMap((log) => read(log, log.first, log.end - log.first).map(copyOfRecord));
    },
    committed: (groupId, name) =>
      topicNamed(name).logs.map((_, partition) => groupOf(groupId).committed(name, partition)),
    [INTERNALS]: { topic: (name) => topics.get(name), group: groupOf },
  };
}

const TOPICS = 'an object, such as { orders: { partitions: 4 } }';

function isRecord(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @internal */
export function internalsOf(broker: MemoryBroker): MemoryInternals {
  return broker[INTERNALS];
}

/** @internal */
export function isMemoryBroker(value: unknown): boolean {
  return typeof value === 'object' && value !== null && INTERNALS in value;
}

/** @internal */
export function unknownTopic(owner: string, topic: string): SluiceError {
  return new SluiceError('unknown-topic', `${owner}: there is no topic ${topic}. Create it first.`, {
    details: { topic },
  });
}

function checkTopic(name: string, options: MemoryTopicOptions): void {
  const owner = `memoryBroker, topic ${name}`;
  checkNames(owner, options, ['partitions', 'retainMessages', 'maxMessageBytes']);
  checkOptions(
    owner,
    { name, ...options },
    {
      name: { required: true, type: 'string' },
      partitions: { integer: true, min: 1, max: 1_024 },
      retainMessages: { integer: true, min: 1 },
      maxMessageBytes: { integer: true, min: 1 },
    },
  );
}
