import type { Observable } from 'rxjs';
import type { Delivery } from '../core/delivery.js';
import type { Message } from '../core/message.js';
import type { SourceOptions } from '../core/source-options.js';
import type { ConformanceTimings } from './conformance-timings.js';
import type { MessageFeature } from './message-feature.js';

/** What a source and its broker can do; a case that needs one that is off is skipped by name. @public */
export type SourceFeature =
  | MessageFeature
  /** Several groups read a topic, each for itself. */
  | 'groups'
  /** A new group may start at the oldest message. */
  | 'startEarliest'
  /** A new group may start at the end. */
  | 'startLatest'
  /** A new group may start at the first message of a time or later. */
  | 'startTimestamp'
  /** `until: 'end'` works. */
  | 'until'
  /** A log: each partition has a committed position, which `committed` of the test bed reads. Off in a queue. */
  | 'committedPositions'
  /** An ack is made durable also where an older message of its partition is unsettled: it does not come again. */
  | 'acksAbove'
  /** `attempt` counts the tries of a message. */
  | 'attempts'
  /** Members of a group share the partitions, which move when one joins. */
  | 'rebalance'
  /** A partition that moves is drained and committed first: where the work ends in time, nothing is repeated. */
  | 'cleanHandover'
  /** Retention can pass the committed position; `losePosition` of the test bed has it do so. */
  | 'positionLost'
  /** The broker gives away what a silent member owns, after `leaseMs` of the timings. */
  | 'leases'
  /** Partitions are split and merged while they are read; `reshard` of the test bed does it. */
  | 'reshard'
  /** `restartBroker` of the test bed works. */
  | 'brokerRestart'
  /** `openHandles` of the test bed tells what is open. */
  | 'openHandles';

/** What a source is asked for: {@link SourceOptions}, and what every broker calls differently. @public */
export interface SourceRequest extends SourceOptions {
  /** A topic of `createTopic`. */
  readonly topic: string;
  /** A group of `createGroup`. */
  readonly group: string;
  /** Where a group starts that has no position yet. Default: the source's own, which is the oldest message. */
  readonly start?: 'earliest' | 'latest' | Date;
  /** What to do where the position is gone (I10). Default: the source's own, which is `'error'`. */
  readonly onPositionLost?: 'error' | 'earliest' | 'latest';
}

/** One case's access to the broker, and the source under test. What may be a Promise need not be one. @public */
export interface SourceTestBed {
  /** Makes an empty topic that nobody else has; resolves with its name when it can be used. */
  createTopic(options: { readonly partitions: number }): Promise<string> | string;
  /**
   * Makes a group (a subscription, an application) that nobody else has, for a topic; what is published from here on must
   * reach it. Where groups are made by reading, a name that was never used.
   */
  createGroup(topic: string): Promise<string> | string;
  /** The source under test, not subscribed. Each call stands for another process: give it a client of its own. */
  source(request: SourceRequest): Observable<Delivery<Uint8Array | null>>;
  /** Stores messages in their order, beside the code under test; resolves when all are stored, rejects otherwise. */
  publish(topic: string, messages: readonly Message[]): Promise<unknown>;
  /** `committedPositions`: how many messages of each partition are below the committed position; `null`: none is committed. */
  committed?(group: string, topic: string): Promise<readonly (number | null)[]> | readonly (number | null)[];
  /** `positionLost`: drops the oldest messages of partition 0 up to and including the one at the group's committed position. */
  losePosition?(group: string, topic: string): Promise<unknown> | void;
  /**
   * `reshard`: splits each partition of a topic in two, or merges each with its neighbour; resolves when what is published goes
   * to those that come of it. A key stays within what came of its partition.
   */
  reshard?(topic: string, change: 'split' | 'merge'): Promise<unknown> | void;
  /** `brokerRestart`: ends the broker and starts it again with what it had stored; resolves when it can be used. */
  restartBroker?(): Promise<unknown>;
  /** `openHandles`: a word for each timer, socket and the like that is open, for instance by `process.getActiveResourcesInfo()`. */
  openHandles?(): Promise<readonly string[]> | readonly string[];
  /** Ends what `open` began. */
  close?(): Promise<unknown> | void;
}

/** What the author of a source writes to have it checked by `sourceConformance`. @public */
export interface SourceDriver {
  /** The source's name, for instance `fromKafka`. */
  readonly name: string;
  /** What can be checked; each feature is stated. */
  readonly features: Readonly<Record<SourceFeature, boolean>>;
  /** Default: those of `ConformanceTimings`. */
  readonly timings?: ConformanceTimings;
  /** Called at the start of each case that is run. */
  open(): Promise<SourceTestBed> | SourceTestBed;
}
