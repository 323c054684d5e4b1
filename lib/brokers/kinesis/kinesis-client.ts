/**
 * The part of the `Kinesis` of `@aws-sdk/client-kinesis` 3 that this library uses. Any client of this shape does. It stays
 * yours: region, credentials, endpoint, request handler, its own retries.
 *
 * ```ts
 * const client = new Kinesis({ region: 'eu-central-1', requestHandler: new NodeHttpHandler() });
 * ```
 * @public
 */
export interface KinesisClientLike {
  /** The shards of a stream, a page at a time. */
  listShards(
    input: {
      StreamName?: string;
      StreamARN?: string;
      /** With it neither the stream's name nor its ARN may be given. */
      NextToken?: string;
      MaxResults?: number;
    },
    options?: KinesisCallOptions,
  ): Promise<{ Shards?: KinesisShardLike[] | undefined; NextToken?: string | undefined }>;
  /** What is known of a stream as a whole. */
  describeStreamSummary(
    input: { StreamName?: string; StreamARN?: string },
    options?: KinesisCallOptions,
  ): Promise<{ StreamDescriptionSummary?: KinesisStreamSummaryLike | undefined }>;
  /** Where to begin to read; an iterator holds for five minutes. */
  getShardIterator(
    input: {
      StreamName?: string;
      StreamARN?: string;
      ShardId: string;
      ShardIteratorType: KinesisIteratorType;
      StartingSequenceNumber?: string;
      Timestamp?: Date;
    },
    options?: KinesisCallOptions,
  ): Promise<{ ShardIterator?: string | undefined }>;
  /** One page: at most 10,000 records and 10 MB. */
  getRecords(
    input: { ShardIterator: string; Limit?: number; StreamARN?: string },
    options?: KinesisCallOptions,
  ): Promise<KinesisPageLike>;
  /** Stores records; an answer may say that some of them were not. */
  putRecords(
    input: { StreamName?: string; StreamARN?: string; Records: KinesisEntryLike[] },
    options?: KinesisCallOptions,
  ): Promise<{ FailedRecordCount?: number | undefined; Records: KinesisPutResultLike[] | undefined }>;
  /** Registers a consumer with enhanced fan-out. Only `fanOut` needs it, as the two that follow. */
  registerStreamConsumer?(
    input: { StreamARN: string; ConsumerName: string },
    options?: KinesisCallOptions,
  ): Promise<{ Consumer?: KinesisConsumerLike | undefined }>;
  /** What is known of a registered consumer. */
  describeStreamConsumer?(
    input: { StreamARN?: string; ConsumerName?: string; ConsumerARN?: string },
    options?: KinesisCallOptions,
  ): Promise<{ ConsumerDescription?: KinesisConsumerLike | undefined }>;
  /** Has the records of a shard sent, for at most five minutes. The signal of the call ends what is sent, too. */
  subscribeToShard?(
    input: { ConsumerARN: string; ShardId: string; StartingPosition: KinesisStartingPositionLike },
    options?: KinesisCallOptions,
  ): Promise<{ EventStream?: AsyncIterable<KinesisStreamEventLike> | undefined }>;
}

/** How a call is cut off. @public */
export interface KinesisCallOptions {
  /** Ends the call. */
  readonly abortSignal?: AbortSignal;
}

/** Where an iterator begins. @public */
export type KinesisIteratorType =
  'AT_SEQUENCE_NUMBER' | 'AFTER_SEQUENCE_NUMBER' | 'TRIM_HORIZON' | 'LATEST' | 'AT_TIMESTAMP';

/** A shard, as `listShards` tells it. @public */
export interface KinesisShardLike {
  /** Unique in the stream for good. */
  ShardId: string | undefined;
  /** The shard that it was split from, or the first one that it was merged of. */
  ParentShardId?: string | undefined;
  /** The second one that it was merged of. */
  AdjacentParentShardId?: string | undefined;
  /** Which hash keys it has: 128 bits, in decimal. */
  HashKeyRange: { StartingHashKey: string | undefined; EndingHashKey: string | undefined } | undefined;
  /** It is closed where there is an end. */
  SequenceNumberRange:
    { StartingSequenceNumber: string | undefined; EndingSequenceNumber?: string | undefined } | undefined;
}

/** A stream, as `describeStreamSummary` tells it. @public */
export interface KinesisStreamSummaryLike {
  /** Its name. */
  StreamName: string | undefined;
  /** Its ARN, which names the account too. */
  StreamARN: string | undefined;
  /** For how long records are kept. */
  RetentionPeriodHours: number | undefined;
}

/** A record, as `getRecords` gives it. @public */
export interface KinesisRecordLike {
  /** Some 56 digits, ascending within a shard. */
  SequenceNumber: string | undefined;
  /** When it was stored, by the clock of the service. */
  ApproximateArrivalTimestamp?: Date | undefined;
  /** The payload, or many in one, as the KPL aggregates them. */
  Data: Uint8Array | undefined;
  /** Missing in streams that ignore keys. */
  PartitionKey?: string | undefined;
}

/** What `getRecords` answers with. @public */
export interface KinesisPageLike {
  /** In their order; none does not mean the end. */
  Records?: KinesisRecordLike[] | undefined;
  /** Missing where the shard has ended: after these records nothing comes any more. */
  NextShardIterator?: string | undefined;
  /** How far behind the end of the shard this page is. */
  MillisBehindLatest?: number | undefined;
  /** What a shard that has ended became. */
  ChildShards?: KinesisChildShardLike[] | undefined;
}

/** A shard that comes of another. @public */
export interface KinesisChildShardLike {
  /** Its id. */
  ShardId: string | undefined;
  /** All of what it comes of. */
  ParentShards: string[] | undefined;
}

/** A consumer that is registered for enhanced fan-out. @public */
export interface KinesisConsumerLike {
  /** Holds the time of its registration: one that is registered anew has another. */
  ConsumerARN: string | undefined;
  /** `ACTIVE` once it can be subscribed to. */
  ConsumerStatus: string | undefined;
}

/** Where what is sent begins. @public */
export interface KinesisStartingPositionLike {
  /** How it is given. */
  Type: KinesisIteratorType;
  /** The record to begin at or behind. */
  SequenceNumber?: string;
  /** The time to begin at. */
  Timestamp?: Date;
}

/** One event of what is sent. Errors among them are thrown by the SDK. @public */
export interface KinesisStreamEventLike {
  /** Records. */
  SubscribeToShardEvent?: KinesisFanOutEventLike | undefined;
}

/** Records, as `subscribeToShard` sends them. @public */
export interface KinesisFanOutEventLike {
  /** In their order; none does not mean the end. */
  Records?: KinesisRecordLike[] | undefined;
  /** All up to here has been sent, also where it is no record's. */
  ContinuationSequenceNumber?: string | undefined;
  /** How far behind the end of the shard these records are. */
  MillisBehindLatest?: number | undefined;
  /** What the shard became: after these records nothing comes any more. */
  ChildShards?: KinesisChildShardLike[] | undefined;
}

/** A record to be stored. @public */
export interface KinesisEntryLike {
  /** The payload. */
  Data: Uint8Array;
  /** 1 to 256 characters. */
  PartitionKey: string;
  /** Decides the shard in the place of the key: 128 bits, in decimal. */
  ExplicitHashKey?: string;
}

/** What became of one record, as `putRecords` tells it. @public */
export interface KinesisPutResultLike {
  /** Where it is stored. */
  SequenceNumber?: string | undefined;
  /** Where it is stored. */
  ShardId?: string | undefined;
  /** Why it is not. */
  ErrorCode?: string | undefined;
  /** Why it is not, for people. */
  ErrorMessage?: string | undefined;
}
