import { isDate } from '../../core/is-date.js';
import type { LeaseStore } from '../../core/lease-store.js';
import { checkNames, checkOptions } from '../../core/options.js';
import { resolveSourceOptions, SOURCE_OPTION_NAMES, type SourceOptions } from '../../core/source-options.js';
import { MOST_SUB } from './kinesis-checkpoint.js';
import { isStream, streamName } from './kinesis-stream.js';

/** Where one shard starts. @public */
export interface KinesisStartPosition {
  /** The shard's id. */
  readonly shard: string;
  /** Of the first message to read, as text. */
  readonly sequenceNumber: string;
  /** Its place in an aggregated record, from 0. Default: `null`, the record as a whole. */
  readonly subSequenceNumber?: number | null;
}

/**
 * The consumer of the stream, as AWS calls it, that is sent the records by enhanced fan-out. All workers of a consumer of ours
 * share one, and nobody else may use it: Kinesis has one subscription a consumer and shard.
 *
 * - `true`: one of the name that `consumer` has, which then must be one for AWS too (see below).
 * - `consumerName`: 1 to 128 characters of `a-z A-Z 0-9 _ . -`. It is registered where there is none (20 a stream at most, 50
 *   with on-demand advantage), and never deregistered here, for other workers may use it.
 * - `consumerArn`: one that is registered already, of this stream.
 *
 * Needs HTTP/2, which the client speaks by default and not with a `NodeHttpHandler`. With that, and where whoever answers does not know
 * the calls, the source polls and says so by `misuse`, as the codes `fan-out-needs-http2` and `fan-out-unsupported`. Ends with
 * `not-authorized` where a permission is missing, and with `source-failed` where the consumer cannot be registered within 60
 * seconds, or there is none of that ARN.
 * @public
 */
export type KinesisFanOut = true | { readonly consumerName: string } | { readonly consumerArn: string };

/** What `fromKinesis` takes beside the options of every source. @public */
export interface KinesisSourceOptions extends SourceOptions {
  /** The stream's name, or its ARN, as another account's needs. */
  readonly stream: string;
  /** Who consumes: 1 to 200 characters. Its workers share the shards; each consumer has every message. */
  readonly consumer: string;
  /** Where the workers share the shards, and their checkpoints are: `postgresLeaseStore`, `memoryLeaseStore` or your own. */
  readonly leases: LeaseStore;
  /**
   * The name of this worker in the lease store, for people: 1 to 100 characters. A random part is added, so that two of one
   * name do no harm. Default: `'worker'`.
   */
  readonly worker?: string;
  /**
   * Where the consumer starts that has no checkpoints yet: the oldest records, what comes from now on, the first records of
   * a time or later, or given positions (their ancestors are left out, all other shards start at their oldest record). It is
   * durable before anything is emitted (I10). A time to come is waited for. A worker that goes on from `'latest'` without having finished a message
   * starts 10 seconds before that time, since clocks differ. Shards that come of a reshard start at their oldest record.
   * Default: `'earliest'`.
   */
  readonly start?: 'earliest' | 'latest' | Date | readonly KinesisStartPosition[];
  /**
   * What to do where retention has passed the checkpoint, or the stream was made anew (I10). `'error'` ends the stream and
   * leaves the checkpoint as it is; the others go on at the shard's oldest record or at its end. Default: `'error'`.
   */
  readonly onPositionLost?: 'error' | 'earliest' | 'latest';
  /**
   * How long a worker may give no sign of life before others take its shards, in milliseconds, 1,000 to 600,000. It writes to the
   * store three times in that time. Default: 10,000.
   */
  readonly leaseMs?: number;
  /** How long a finished message may wait for its checkpoint, in milliseconds, 0 to 60,000. Default: 1,000. */
  readonly checkpointIntervalMs?: number;
  /**
   * Writes a checkpoint at once when this many messages of a shard have been finished since the last: a whole number of at
   * least 1. It bounds what comes again after a crash. Default: half of `maxSpan`.
   */
  readonly checkpointEvery?: number;
  /**
   * The shortest time between two reads of a shard, in milliseconds, 0 to 60,000. Kinesis allows five reads a second and
   * shard, to all consumers together: n consumers take n × 200. Default: 250.
   */
  readonly readIntervalMs?: number;
  /** The time between two reads of a shard that has nothing new, in milliseconds, 1 to 60,000. Default: 1,000. */
  readonly pollMs?: number;
  /**
   * How many records a read may bring: 1 to 10,000; fewer are asked for where as many would be more than 4 MiB, by those that
   * came before. Default: 1,000.
   */
  readonly recordsPerRead?: number;
  /**
   * Reads by enhanced fan-out: Kinesis sends the records of a shard as they come, up to 2 MB a second to this consumer alone,
   * and AWS charges for it. Default: by polling.
   */
  readonly fanOut?: KinesisFanOut;
  /** How often the shards are looked at again without an occasion, in milliseconds, 1,000 to 3,600,000. Default: 120,000. */
  readonly shardSyncMs?: number;
  /** How long a call of the client may take, in milliseconds, 100 to 600,000. Default: 30,000. */
  readonly requestTimeoutMs?: number;
}

const OWN_NAMES: readonly string[] = [
  'stream',
  'consumer',
  'leases',
  'worker',
  'start',
  'onPositionLost',
  'leaseMs',
  'checkpointIntervalMs',
  'checkpointEvery',
  'readIntervalMs',
  'pollMs',
  'recordsPerRead',
  'fanOut',
  'shardSyncMs',
  'requestTimeoutMs',
];

/** What `fromKinesis` uses once defaults are filled in. @internal */
export interface ResolvedKinesisOptions extends Required<
  Omit<
    KinesisSourceOptions,
    Exclude<keyof SourceOptions, 'drainTimeoutMs' | 'refusalTimeoutMs' | 'maxBufferedBytes'> | 'fanOut'
  >
> {
  readonly until: 'end' | null;
  readonly fanOut: Exclude<KinesisFanOut, true> | null;
}

const CALLS = ['listShards', 'describeStreamSummary', 'getShardIterator', 'getRecords'];
const FAN_OUT_CALLS = ['registerStreamConsumer', 'describeStreamConsumer', 'subscribeToShard'];
const STORE_CALLS = ['list', 'add', 'write', 'remove'];

/** Checks the options of a Kinesis source and fills in the defaults. @internal */
export function resolveKinesisOptions(client: unknown, options: KinesisSourceOptions): ResolvedKinesisOptions {
  checkNames('fromKinesis', options, [...OWN_NAMES, ...SOURCE_OPTION_NAMES]);
  const { drainTimeoutMs, maxSpan, refusalTimeoutMs, maxBufferedBytes } = resolveSourceOptions('fromKinesis', options);
  const ms = (min: number, max: number) => ({ integer: true, min, max });
  checkOptions(
    'fromKinesis',
    { client, ...options },
    {
      client: { required: true, that: { be: 'a Kinesis of @aws-sdk/client-kinesis', holds: has(CALLS) } },
      stream: { required: true, that: { be: 'the name or the ARN of a stream', holds: isStream } },
      consumer: { required: true, that: { be: 'a text of 1 to 200 characters', holds: isText(200) } },
      leases: {
        required: true,
        that: { be: 'a lease store, such as postgresLeaseStore(db)', holds: has(STORE_CALLS) },
      },
      worker: { that: { be: 'a text of 1 to 100 characters', holds: isText(100) } },
      start: { that: { be: START, holds: isStart, isNamed: true } },
      onPositionLost: { oneOf: ['error', 'earliest', 'latest'] },
      leaseMs: ms(1_000, 600_000),
      checkpointIntervalMs: ms(0, 60_000),
      checkpointEvery: { integer: true, min: 1 },
      readIntervalMs: ms(0, 60_000),
      pollMs: ms(1, 60_000),
      recordsPerRead: ms(1, 10_000),
      fanOut: { that: { be: FAN_OUT, holds: (value) => isFanOut(value, options) } },
      shardSyncMs: ms(1_000, 3_600_000),
      requestTimeoutMs: ms(100, 600_000),
    },
  );
  const { fanOut } = options;
  if (fanOut !== undefined) {
    const be = 'a client with registerStreamConsumer, describeStreamConsumer and subscribeToShard, for fanOut';
    checkOptions('fromKinesis', { client }, { client: { that: { be, holds: has(FAN_OUT_CALLS) } } });
  }
  return {
    stream: options.stream,
    consumer: options.consumer,
    leases: options.leases,
    worker: options.worker ?? 'worker',
    start: options.start ?? 'earliest',
    onPositionLost: options.onPositionLost ?? 'error',
    leaseMs: options.leaseMs ?? 10_000,
    checkpointIntervalMs: options.checkpointIntervalMs ?? 1_000,
    checkpointEvery: options.checkpointEvery ?? Math.max(1, Math.floor(maxSpan / 2)),
    readIntervalMs: options.readIntervalMs ?? 250,
    pollMs: options.pollMs ?? 1_000,
    recordsPerRead: options.recordsPerRead ?? 1_000,
    fanOut: fanOut === true ? { consumerName: options.consumer } : (fanOut ?? null),
    shardSyncMs: options.shardSyncMs ?? 120_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    drainTimeoutMs,
    refusalTimeoutMs,
    maxBufferedBytes,
    until: options.until ?? null,
  };
}

const START =
  "'earliest', 'latest', a Date or a list of { shard, sequenceNumber } with a sequence number of digits, as text";
const FAN_OUT =
  'true, where consumer is a name that AWS takes (1 to 128 characters of a-z A-Z 0-9 _ . -), or { consumerName } with such a ' +
  'name, or { consumerArn } with the ARN of a consumer of the stream';
const CONSUMER_NAME = /^[a-zA-Z0-9_.-]{1,128}$/;
const CONSUMER_ARN = /^arn:[^:]*:kinesis:[^:]*:\d{12}:stream\/([^/:]+)\/consumer\/[a-zA-Z0-9_.-]{1,128}:\d+$/;

function isFanOut(value: unknown, { stream, consumer }: KinesisSourceOptions): boolean {
  const isName = (name: unknown): boolean => typeof name === 'string' && CONSUMER_NAME.test(name);
  if (value === true) return isName(consumer);
  if (typeof value !== 'object' || value === null || Object.keys(value).length !== 1) return false;
  const { consumerName, consumerArn } = value as { consumerName?: unknown; consumerArn?: unknown };
  if (consumerArn === undefined) return isName(consumerName);
  return typeof consumerArn === 'string' && CONSUMER_ARN.exec(consumerArn)?.[1] === streamName(stream);
}

function has(names: readonly string[]): (value: unknown) => boolean {
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

function isText(most: number): (value: unknown) => boolean {
  return (value) => typeof value === 'string' && value !== '' && value.length <= most && !value.includes('\0');
}

function isStart(value: unknown): boolean {
  if (value === 'earliest' || value === 'latest') return true;
  if (isDate(value)) return value.getTime() >= 0;
  return Array.isArray(value) && value.length > 0 && value.every(isStartPosition);
}

function isStartPosition(value: unknown): boolean {
  const { shard, sequenceNumber, subSequenceNumber = null } = (value ?? {}) as Partial<KinesisStartPosition>;
  const isSub =
    subSequenceNumber === null ||
    (Number.isInteger(subSequenceNumber) && subSequenceNumber >= 0 && subSequenceNumber <= MOST_SUB);
  return isText(200)(shard) && typeof sequenceNumber === 'string' && /^\d{1,129}$/.test(sequenceNumber) && isSub;
}
