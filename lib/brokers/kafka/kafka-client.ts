/// <reference types="node" preserve="true" />
/**
 * The part of a kafkajs `Kafka` that this library uses. Any client of this shape does: `new Kafka({ … })` of kafkajs
 * 2.2.4, a fork of it, or a fake. It stays yours: brokers, TLS, SASL, time-outs, its log level and its logger.
 * @public
 */
export interface KafkaClientLike {
  /** Makes a consumer; nothing is opened yet. */
  consumer(config: KafkaConsumerConfig): KafkaConsumerLike;
  /** Makes a producer; nothing is opened yet. */
  producer(config: KafkaProducerConfig): KafkaProducerLike;
  /** Makes an admin client; nothing is opened yet. */
  admin(): KafkaAdminLike;
}

/** What `fromKafka` sets on a consumer. @public */
export interface KafkaConsumerConfig {
  /** The consumer group. */
  readonly groupId: string;
  /** One: ours. */
  // kafkajs declares a mutable array of its own assigner type.
  readonly partitionAssigners: ((config: {
    readonly cluster: KafkaClusterLike;
    readonly groupId: string;
  }) => KafkaAssignerLike)[];
  /** In milliseconds. */
  readonly sessionTimeout: number;
  /** In milliseconds. */
  readonly rebalanceTimeout: number;
  /** In milliseconds. */
  readonly heartbeatInterval: number;
  /** Of one fetch. */
  readonly maxBytesPerPartition: number;
  /** Of one fetch. */
  readonly minBytes: number;
  /** Of one fetch. */
  readonly maxBytes: number;
  /** How long the broker may hold a fetch. */
  readonly maxWaitTimeInMs: number;
  /** How old what is known of the topics may get, in milliseconds. */
  readonly metadataMaxAge: number;
  /** Whether messages of open transactions are read. */
  readonly readUncommitted: boolean;
  /** To read from the nearest replica. */
  readonly rackId: string;
  /** Always false. */
  readonly allowAutoTopicCreation: boolean;
  /** Of kafkajs itself. */
  readonly retry: {
    readonly retries: number;
    readonly initialRetryTime: number;
    readonly maxRetryTime: number;
    readonly restartOnFailure: (error: Error) => Promise<boolean>;
  };
}

/** A record as kafkajs decodes it. @public */
export interface KafkaRecord {
  /** Bytes, or none. */
  readonly key: Uint8Array | null;
  /** Bytes; `null` is a tombstone. */
  readonly value: Uint8Array | null;
  /** Milliseconds since 1970, as text. */
  readonly timestamp: string;
  /** As text: it may pass what a number holds. */
  readonly offset: string;
  /** A repeated header is a list; `null` is a header without a value, which kafkajs has and does not declare. */
  readonly headers?: Readonly<Record<string, Uint8Array | string | null | (Uint8Array | string | null)[] | undefined>>;
}

/** The records of one partition out of one fetch. @public */
export interface KafkaBatchLike {
  /** The topic's name. */
  readonly topic: string;
  /** From 0. */
  readonly partition: number;
  /** The end of the partition. */
  readonly highWatermark: string;
  /** In their order, without control records. */
  readonly messages: readonly KafkaRecord[];
  /** The offset that the fetch asked for; kafkajs has it and does not declare it. */
  readonly fetchedOffset?: string;
  /** The newest offset of the fetch, control records included. */
  lastOffset(): string;
}

/** What kafkajs hands to `eachBatch`. @public */
export interface KafkaBatchPayloadLike {
  /** What was fetched. */
  readonly batch: KafkaBatchLike;
  /** Moves the read position past an offset. */
  resolveOffset(offset: string): void;
  /** Commits in the generation of the moment, once. */
  commitOffsetsIfNecessary(offsets: KafkaOffsetsByTopic): Promise<void>;
}

/** Offsets as `commitOffsetsIfNecessary` takes them. @public */
export interface KafkaOffsetsByTopic {
  /** By topic and partition. */
  // Mutable, as kafkajs declares them.
  topics: { topic: string; partitions: { partition: number; offset: string; metadata: string }[] }[];
}

/** The part of a kafkajs consumer that is used. @public */
export interface KafkaConsumerLike {
  /** The names of the events. */
  readonly events: {
    readonly GROUP_JOIN: 'consumer.group_join';
    readonly REBALANCING: 'consumer.rebalancing';
    readonly COMMIT_OFFSETS: 'consumer.commit_offsets';
    readonly HEARTBEAT: 'consumer.heartbeat';
    readonly CRASH: 'consumer.crash';
    readonly FETCH: 'consumer.fetch';
    readonly START_BATCH_PROCESS: 'consumer.start_batch_process';
  };
  /** Opens the connections. */
  connect(): Promise<void>;
  /** Says what to read. */
  subscribe(subscription: { topics: string[]; fromBeginning: boolean }): Promise<void>;
  /** Joins the group and reads. */
  run(config: {
    autoCommit: boolean;
    eachBatchAutoResolve: boolean;
    partitionsConsumedConcurrently: number;
    eachBatch: (payload: KafkaBatchPayloadLike) => Promise<void>;
  }): Promise<void>;
  /** Commits, again and again until it is done. */
  commitOffsets(offsets: { topic: string; partition: number; offset: string }[]): Promise<void>;
  /** Fetches these no more. */
  pause(topics: { topic: string; partitions: number[] }[]): void;
  /** Fetches these again. */
  resume(topics: { topic: string; partitions: number[] }[]): void;
  /** Moves the read position. */
  seek(target: { topic: string; partition: number; offset: string }): void;
  /** Leaves the group. */
  stop(): Promise<void>;
  /** Closes the connections. */
  disconnect(): Promise<void>;
  /** Listens; the answer ends it. */
  on(event: KafkaConsumerEvent, listener: (event: { payload: unknown }) => void): () => void;
}

/** The events that are listened to. @public */
export type KafkaConsumerEvent = KafkaConsumerLike['events'][keyof KafkaConsumerLike['events']];

/** The part of kafkajs' cluster that is used: it comes with the making of an assigner. @public */
export interface KafkaClusterLike {
  /** The broker that coordinates a group by now. */
  findGroupCoordinator(group: { groupId: string }): Promise<KafkaCoordinatorLike>;
  /** Learns of a topic. */
  addTargetTopic(topic: string): Promise<void>;
  /** The partitions of a known topic, and which broker leads each. */
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader?: number }[];
  /** A broker by its number. */
  findBroker(node: { nodeId: string }): Promise<KafkaBrokerLike>;
}

/** The part of kafkajs' broker that is asked for the ends of partitions. @public */
export interface KafkaBrokerLike {
  /** Whether it can be asked at once. */
  isConnected(): boolean;
  /** The ends of partitions that it leads; kafkajs has it and does not declare it. Without it no lag is told. */
  listOffsets?(question: {
    /** 1: up to the oldest open transaction, which is what a reader of committed messages may read. 0: the end itself. */
    isolationLevel: number;
    /** A time-stamp of -1 asks for the end. */
    topics: { topic: string; partitions: { partition: number; timestamp: number }[] }[];
  }): Promise<{ responses: { topic: string; partitions: { partition: number; offset: string }[] }[] }>;
}

/** The part of kafkajs' broker that is used. @public */
export interface KafkaCoordinatorLike {
  /** Commits as a member of a generation. */
  offsetCommit(commit: KafkaMembership & { groupId: string; topics: KafkaOffsetsByTopic['topics'] }): Promise<unknown>;
}

/** A member of a group, as the events of kafkajs name it. @public */
export interface KafkaMembership {
  /** Given by the coordinator. */
  readonly memberId: string;
  /** Counts the joins of the group. */
  readonly groupGenerationId: number;
}

/** What decides who reads what. @public */
export interface KafkaAssignerLike {
  /** Members of a group agree on it. */
  readonly name: string;
  /** Of the encoding. */
  readonly version: number;
  /** What is told of this member when it joins. */
  protocol(subscription: { topics: string[] }): { name: string; metadata: Buffer };
  /** Who reads what; only the leader is asked. */
  assign(group: {
    members: { memberId: string; memberMetadata: Buffer }[];
    topics: string[];
  }): Promise<{ memberId: string; memberAssignment: Buffer }[]>;
}

/** The part of a kafkajs admin client that is used. @public */
export interface KafkaAdminLike {
  /** Opens the connections. */
  connect(): Promise<void>;
  /** Closes the connections. */
  disconnect(): Promise<void>;
  /** The partitions of topics, and which broker leads each. */
  fetchTopicMetadata(options: {
    topics: string[];
  }): Promise<{ topics: { name: string; partitions: { partitionId: number; leader?: number }[] }[] }>;
  /** What a group has committed. */
  fetchOffsets(options: {
    groupId: string;
    topics: string[];
  }): Promise<{ topic: string; partitions: { partition: number; offset: string; metadata: string | null }[] }[]>;
  /** What the partitions of a topic hold. */
  fetchTopicOffsets(topic: string): Promise<{ partition: number; low: string; high: string }[]>;
  /** The first offsets of a time. */
  fetchTopicOffsetsByTimestamp(topic: string, timestamp: number): Promise<{ partition: number; offset: string }[]>;
}

/** What `kafkaPublisher` sets on a producer. @public */
export interface KafkaProducerConfig {
  /** Always true. */
  readonly idempotent: boolean;
  /** Always false. */
  readonly allowAutoTopicCreation: boolean;
  /** Of kafkajs itself. */
  readonly retry: { readonly retries: number };
  /** Passes on the partition that a message names. */
  readonly createPartitioner?: () => (args: {
    topic: string;
    partitionMetadata: { partitionId: number }[];
    message: { key?: Buffer | string | null; partition?: number };
  }) => number;
}

/** The part of a kafkajs producer that is used. @public */
export interface KafkaProducerLike {
  /** Opens the connections. */
  connect(): Promise<void>;
  /** Closes the connections. */
  disconnect(): Promise<void>;
  /** Sends, and answers with the first offset of each partition. */
  sendBatch(batch: {
    acks: number;
    compression: number;
    topicMessages: {
      topic: string;
      messages: {
        key: Buffer | null;
        value: Buffer | null;
        headers: Record<string, Buffer | string | (Buffer | string)[]>;
        partition?: number;
        timestamp?: string;
      }[];
    }[];
  }): Promise<{ partition: number; baseOffset?: string }[]>;
}
