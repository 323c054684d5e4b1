import type { SourceOptions } from '../../core/source-options.js';

/** How a topic of the memory broker is laid out and bounded. @public */
export interface MemoryTopicOptions {
  /** How many partitions, a whole number, 1 to 1,024. Default: 1. */
  readonly partitions?: number;
  /** How many messages a partition keeps; the oldest are dropped first. A whole number, at least 1. Default: all. */
  readonly retainMessages?: number;
  /** The largest message taken, key, value and headers together, in bytes. Default: no limit. */
  readonly maxMessageBytes?: number;
}

/** What a memory broker begins with. @public */
export interface MemoryBrokerOptions {
  /** The topics that it has from the start, by name. Default: none. */
  readonly topics?: Readonly<Record<string, MemoryTopicOptions>>;
}

/** What `fromMemory` takes beside the options of every source. @public */
export interface MemorySourceOptions extends SourceOptions {
  /** The consumer group: its members share the partitions, each group gets every message. */
  readonly groupId: string;
  /** Which topics to read, at least one. */
  readonly topics: readonly string[];
  /**
   * Where a group starts that has no committed position: the oldest message, the end, or the first message of a time or
   * later. Default: `'earliest'`.
   */
  readonly start?: 'earliest' | 'latest' | Date;
  /** What to do where retention passed the position (I10). Default: `'error'`. */
  readonly onPositionLost?: 'error' | 'earliest' | 'latest';
}

/** What `memoryPublisher` takes. @public */
export interface MemoryPublisherOptions {
  /** Where the messages go. */
  readonly topic: string;
}
