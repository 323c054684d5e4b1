import { isDate } from '../../core/is-date.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { resolveSourceOptions, SOURCE_OPTION_NAMES, type SourceOptions } from '../../core/source-options.js';
import type { KafkaClientLike } from './kafka-client.js';

/** Where one partition starts. @public */
export interface KafkaStartPosition {
  /** The topic's name. */
  readonly topic: string;
  /** From 0. */
  readonly partition: number;
  /** The offset of the first message to read, as text. */
  readonly offset: string;
}

/** What `fromKafka` takes beside the options of every source. @public */
export interface KafkaSourceOptions extends SourceOptions {
  /** The consumer group: its members share the partitions, each group gets every message. */
  readonly groupId: string;
  /** Which topics to read, at least one. Members of a group may differ in theirs. */
  readonly topics: readonly string[];
  /**
   * Where a partition starts that the group has no committed position of: the oldest message, the end, the first message
   * of a time or later, or given positions (a partition that is not among them starts at the oldest message). It is
   * made durable before anything is emitted (I10). A partition that is added while the source runs starts at the oldest
   * message by `'latest'` too. Default: `'earliest'`.
   */
  readonly start?: 'earliest' | 'latest' | Date | readonly KafkaStartPosition[];
  /**
   * What to do where the position is gone: retention passed it, or the topic was made anew (I10). `'error'` ends the
   * stream and leaves the committed position as it is; the others go on at the oldest message or at the end.
   * Default: `'error'`.
   */
  readonly onPositionLost?: 'error' | 'earliest' | 'latest';
  /**
   * Whether a rebalance waits until started work is done and committed, at most `drainTimeoutMs`: with it a deploy
   * repeats nothing. Without it what is under way is cut off at once and comes again. Default: true.
   */
  readonly drainOnRebalance?: boolean;
  /** How long a finished message may wait for its commit, in milliseconds, 0 to 60,000. Default: 500. */
  readonly commitIntervalMs?: number;
  /**
   * Commits a partition at once when this many messages have been finished since the last commit: a whole number of at
   * least 1. It bounds what comes again after a crash. Default: half of `maxSpan`.
   */
  readonly commitEvery?: number;
  /**
   * How long the broker waits for a sign of life before it gives our partitions away, in milliseconds, 6,000 to
   * 1,800,000 (the broker's own bounds) and longer than `drainTimeoutMs`. Default: 30,000, or `drainTimeoutMs` + 20,000
   * where that is more.
   */
  readonly sessionTimeoutMs?: number;
  /**
   * How long the broker waits for members to join again in a rebalance, in milliseconds, at most 1,800,000 and longer
   * than `drainTimeoutMs`. Default: 60,000, or `drainTimeoutMs` + 30,000 where that is more.
   */
  readonly rebalanceTimeoutMs?: number;
  /** How often a sign of life is sent, in milliseconds: it decides how soon a rebalance is noticed. Default: 1,000. */
  readonly heartbeatIntervalMs?: number;
  /**
   * How long the broker may hold a fetch that finds nothing, in milliseconds, 1 to 5,000: the longest delay of a resumed
   * partition and of a stop. Default: 100.
   */
  readonly fetchMaxWaitMs?: number;
  /** How many bytes one fetch may bring. Default: 10 MiB. */
  readonly fetchMaxBytes?: number;
  /** How many bytes one fetch may bring of one partition; a larger message still comes, alone. Default: 1 MiB. */
  readonly fetchMaxBytesPerPartition?: number;
  /** How many bytes the broker gathers before it answers a fetch, within `fetchMaxWaitMs`. Default: 1. */
  readonly fetchMinBytes?: number;
  /**
   * How often the topics are looked at again, in milliseconds, 1,000 to 2,147,483,647: how soon partitions that are added
   * are found. Default: 60,000.
   */
  readonly metadataMaxAgeMs?: number;
  /** Reads messages of transactions that are not committed too. Default: false. */
  readonly readUncommitted?: boolean;
  /** The rack of this consumer, to read from the nearest replica. Default: none. */
  readonly rackId?: string;
}

const OWN_NAMES: readonly string[] = [
  'groupId',
  'topics',
  'start',
  'onPositionLost',
  'drainOnRebalance',
  'commitIntervalMs',
  'commitEvery',
  'sessionTimeoutMs',
  'rebalanceTimeoutMs',
  'heartbeatIntervalMs',
  'fetchMaxWaitMs',
  'fetchMaxBytes',
  'fetchMaxBytesPerPartition',
  'fetchMinBytes',
  'metadataMaxAgeMs',
  'readUncommitted',
  'rackId',
];

/** What `fromKafka` uses once defaults are filled in. @internal */
export interface ResolvedKafkaOptions extends Required<
  Omit<
    KafkaSourceOptions,
    Exclude<keyof SourceOptions, 'until' | 'drainTimeoutMs' | 'refusalTimeoutMs'> | 'until' | 'topics'
  >
> {
  readonly topics: readonly string[];
  readonly until: 'end' | null;
}

const START =
  "'earliest', 'latest', a Date or a list of { topic, partition, offset } with an offset of digits, as text";
const LONGEST_SESSION_MS = 1_800_000;
const MOST_BYTES = 2 ** 31 - 1;

/** Checks the options of a Kafka source and fills in the defaults. @internal */
export function resolveKafkaOptions(client: KafkaClientLike, options: KafkaSourceOptions): ResolvedKafkaOptions {
  checkNames('fromKafka', options, [...OWN_NAMES, ...SOURCE_OPTION_NAMES]);
  const { drainTimeoutMs, maxSpan, refusalTimeoutMs } = resolveSourceOptions('fromKafka', options);
  const boolean = { be: 'true or false', holds: (value: unknown) => typeof value === 'boolean' };
  const bytes = { integer: true, min: 1, max: MOST_BYTES };
  const drain = { value: drainTimeoutMs, of: 'drainTimeoutMs' };
  const {
    sessionTimeoutMs = Math.max(30_000, drainTimeoutMs + 20_000),
    rebalanceTimeoutMs = Math.max(60_000, drainTimeoutMs + 30_000),
  } = options;
  // The two with their defaults: a long drain takes these beyond what a broker allows.
  checkOptions(
    'fromKafka',
    { client, ...options, sessionTimeoutMs, rebalanceTimeoutMs },
    {
      client: { required: true, that: { be: 'a Kafka client, as kafkajs has it', holds: isClient } },
      groupId: { required: true, type: 'string' },
      topics: { required: true, that: { be: 'a list of topic names that is not empty', holds: isTopicList } },
      start: { that: { be: START, holds: isStart, isNamed: true } },
      onPositionLost: { oneOf: ['error', 'earliest', 'latest'] },
      drainOnRebalance: { that: boolean },
      commitIntervalMs: { min: 0, max: 60_000 },
      commitEvery: { integer: true, min: 1 },
      sessionTimeoutMs: { integer: true, min: 6_000, above: drain, max: LONGEST_SESSION_MS },
      rebalanceTimeoutMs: { integer: true, above: drain, max: LONGEST_SESSION_MS },
      heartbeatIntervalMs: {
        integer: true,
        min: 1,
        max: { value: thirdOf(sessionTimeoutMs), of: 'a third of sessionTimeoutMs' },
      },
      fetchMaxWaitMs: { integer: true, min: 1, max: 5_000 },
      fetchMaxBytes: bytes,
      fetchMaxBytesPerPartition: bytes,
      fetchMinBytes: bytes,
      metadataMaxAgeMs: { integer: true, min: 1_000, max: 2 ** 31 - 1 },
      readUncommitted: { that: boolean },
      rackId: { type: 'string' },
    },
    { client, ...options },
  );
  return {
    groupId: options.groupId,
    topics: [...new Set(options.topics)],
    start: options.start ?? 'earliest',
    onPositionLost: options.onPositionLost ?? 'error',
    drainOnRebalance: options.drainOnRebalance ?? true,
    drainTimeoutMs,
    refusalTimeoutMs,
    commitIntervalMs: options.commitIntervalMs ?? 500,
    commitEvery: options.commitEvery ?? Math.max(1, Math.floor(maxSpan / 2)),
    sessionTimeoutMs,
    rebalanceTimeoutMs,
    heartbeatIntervalMs: options.heartbeatIntervalMs ?? 1_000,
    fetchMaxWaitMs: options.fetchMaxWaitMs ?? 100,
    fetchMaxBytes: options.fetchMaxBytes ?? 10 * 1024 * 1024,
    fetchMaxBytesPerPartition: options.fetchMaxBytesPerPartition ?? 1024 * 1024,
    fetchMinBytes: options.fetchMinBytes ?? 1,
    metadataMaxAgeMs: options.metadataMaxAgeMs ?? 60_000,
    readUncommitted: options.readUncommitted ?? false,
    rackId: options.rackId ?? '',
    until: options.until ?? null,
  };
}

// It may be anything, and is refused then, by its own rule.
function thirdOf(ms: unknown): number {
  return typeof ms === 'number' ? Math.floor(ms / 3) : 0;
}

function isTopicList(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((name) => typeof name === 'string' && name !== '');
}

/** Whether it has what a Kafka client has. @internal */
export function isClient(value: unknown): boolean {
  const client = value as Partial<KafkaClientLike> | null | undefined;
  return [client?.consumer, client?.producer, client?.admin].every((member) => typeof member === 'function');
}

function isStart(value: unknown): boolean {
  if (value === 'earliest' || value === 'latest') return true;
  if (isDate(value)) return !Number.isNaN(value.getTime());
  return Array.isArray(value) && value.every(isStartPosition);
}

function isStartPosition(value: unknown): boolean {
  const { topic, partition, offset } = (value ?? {}) as Partial<KafkaStartPosition>;
  return (
    typeof topic === 'string' && Number.isInteger(partition) && typeof offset === 'string' && /^\d{1,19}$/.test(offset)
  );
}
