import type { MessageHeaders, Message } from '../core/message.js';
import type { Publisher } from '../core/publisher.js';
import type { ConformanceTimings } from './conformance-timings.js';
import type { MessageFeature } from './message-feature.js';

/** What a publisher and its broker can do; a case that needs one that is off is skipped by name. @public */
export type PublisherFeature =
  | MessageFeature
  /** A message larger than `maxMessageBytes` of the test bed is refused. */
  | 'maxMessageBytes'
  /** A topic that does not exist is refused, not made. */
  | 'unknownTopics'
  /** `openHandles` of the test bed tells what is open. */
  | 'openHandles';

/** A message as the broker keeps it. @public */
export interface StoredMessage {
  /** Where it is; 0 where the broker has no partitions. */
  readonly partition: number;
  /** `null` where there is none. */
  readonly key: Uint8Array | string | null;
  /** `null`: a tombstone. */
  readonly value: Uint8Array | string | null;
  /** By name; a repeated one is a list. */
  readonly headers: MessageHeaders;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

/** One case's access to the broker, and the publisher under test. What may be a Promise need not be one. @public */
export interface PublisherTestBed {
  /** Makes an empty topic that nobody else has; resolves with its name when it can be used. */
  createTopic(options: { readonly partitions: number }): Promise<string> | string;
  /** The publisher under test, not connected. The topic may be one that does not exist. */
  publisher(topic: string): Publisher<Message>;
  /** All that is stored in a topic, each partition in its order, read beside the code under test. */
  read(topic: string): Promise<readonly StoredMessage[]> | readonly StoredMessage[];
  /** `maxMessageBytes`: the largest message that a topic of `createTopic` takes, in bytes. */
  readonly maxMessageBytes?: number;
  /** `openHandles`: a word for each timer, socket and the like that is open, for instance by `process.getActiveResourcesInfo()`. */
  openHandles?(): Promise<readonly string[]> | readonly string[];
  /** Ends what `open` began. */
  close?(): Promise<unknown> | void;
}

/** What the author of a publisher writes to have it checked by `publisherConformance`. @public */
export interface PublisherDriver {
  /** The publisher's name, for instance `kafkaPublisher`. */
  readonly name: string;
  /** What can be checked; each feature is stated. */
  readonly features: Readonly<Record<PublisherFeature, boolean>>;
  /** Default: those of `ConformanceTimings`. */
  readonly timings?: ConformanceTimings;
  /** Called at the start of each case that is run. */
  open(): Promise<PublisherTestBed> | PublisherTestBed;
}
