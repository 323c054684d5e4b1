import { catchError, last, map, Observable, of, ReplaySubject, share, throwError } from 'rxjs';
import { exponential, type Backoff } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import type { Message } from '../../core/message.js';
import { checkNames, checkOptions } from '../../core/options.js';
import type { Publisher, PublisherConnection } from '../../core/publisher.js';
import { callKinesis } from './kinesis-call.js';
import type { KinesisClientLike } from './kinesis-client.js';
import { createConnection } from './kinesis-connection.js';
import { isDenied, isThrottled, kinesisError } from './kinesis-errors.js';
import { encodeMessage } from './kinesis-outgoing.js';
import { aggregating, oneEach } from './kinesis-packing.js';
import { isStream, streamInput } from './kinesis-stream.js';

/** What `kinesisPublisher` takes. @public */
export interface KinesisPublisherOptions {
  /** Where the messages go: the name or the ARN of a stream, which must exist. */
  readonly stream: string;
  /**
   * The partition key of a message, 1 to 256 characters; `undefined` for one that has none. Default: the message's own
   * key, where its bytes are text.
   */
  readonly partitionKey?: (message: Message) => string | undefined;
  /**
   * Decides the shard in the place of the partition key: a whole number from 0 to 2 ** 128 - 1, in decimal; `undefined`
   * leaves it to the key. A message without a key comes with one that was made up. Default: the key decides.
   */
  readonly hashKey?: (message: Message, partitionKey: string) => string | undefined;
  /**
   * What becomes of headers, which Kinesis does not have. `'json'` stores `{ "headers": …, "value": … }` as JSON in the
   * place of the value. `'drop'` leaves them out. Default: leaves them out, with one process warning.
   */
  readonly headers?: 'json' | 'drop';
  /**
   * Keeps the order of each key: one record of a key is out at a time, and what is published behind it waits until it is
   * confirmed. Without it the order is lost where Kinesis refuses a part of a request. Default: true.
   */
  readonly preserveOrder?: boolean;
  /**
   * Puts messages that wait behind one another in one record, as the KPL does: those of one key, those without a key, and
   * those that `hashKey` gives the same. Whoever reads must know aggregates. Default: false.
   */
  readonly aggregate?: boolean;
  /**
   * How many bytes an aggregate may have, its partition key included, 1 to 10 MiB, at most `maxRecordBytes`; a larger
   * message goes alone. Default: 51,200, or `maxRecordBytes` where that is less.
   */
  readonly maxAggregateBytes?: number;
  /** How many records one request may carry: a whole number, 1 to 500. Default: 500. */
  readonly maxBatch?: number;
  /**
   * How many bytes one request may carry, partition keys included, 1 to 10 MiB; a larger message goes alone.
   * Default: 5 MiB.
   */
  readonly maxBatchBytes?: number;
  /**
   * How many bytes one record may have, its partition key included, 1 to 10 MiB: a larger message is refused, as permanent,
   * and never sent. Not above what the stream is set to. Default: 1 MiB.
   */
  readonly maxRecordBytes?: number;
  /** How many requests may be under way at once: a whole number, 1 to 100. Default: 4. */
  readonly maxRequests?: number;
  /**
   * How long the first message waits for others, as long as the request has room, in milliseconds, 0 to 10,000. What
   * comes while all requests are under way is gathered anyway. Default: 0.
   */
  readonly lingerMs?: number;
  /**
   * How long a record waits that Kinesis throttled or failed to store, before it is sent again.
   * Default: exponential, 100 ms to 1 s, full jitter.
   */
  readonly backoff?: Backoff;
  /**
   * For how long such a record is sent again, from its first failure on, in milliseconds, 0 to 2 ** 31 - 1. Then it is
   * given up, as transient. Default: 60,000.
   */
  readonly retryTimeoutMs?: number;
  /**
   * How long one request may take, the client's own retries included, in milliseconds, 1 to 2 ** 31 - 1. Then it is cut off
   * and its calls fail. Default: 30,000.
   */
  readonly requestTimeoutMs?: number;
}

const OWNER = 'kinesisPublisher';
const MiB = 1024 * 1024;
const MOST_BYTES = 10 * MiB;
// That of the KPL.
const AGGREGATE_BYTES = 51_200;
const LONGEST_MS = 2 ** 31 - 1;

const OPTION_NAMES = [
  'stream',
  'partitionKey',
  'hashKey',
  'headers',
  'preserveOrder',
  'aggregate',
  'maxAggregateBytes',
  'maxBatch',
  'maxBatchBytes',
  'maxRecordBytes',
  'maxRequests',
  'lingerMs',
  'backoff',
  'retryTimeoutMs',
  'requestTimeoutMs',
];

/**
 * Publishes to a stream of Kinesis, over a `Kinesis` of `@aws-sdk/client-kinesis` 3 that stays yours.
 *
 * ```ts
 * retryToDlq({ format: 'json', deadLetters: kinesisPublisher(client, { stream: 'orders-dlq', headers: 'drop' }) })
 * ```
 *
 * Kinesis may refuse any record of a request and store those after it, so at most one record of a key is out at a time:
 * whatever fails and is sent again, a key keeps its order. Many keys fill a request. A message that is given up, as
 * transient, takes along those that wait behind it. What no record can hold (too large, no text as its key, a
 * partition, a time-stamp) is refused message by message, as permanent; a service that is out fails the call. Then some of
 * its messages may be stored all the same: at least once. `connect` fails with `unknown-topic`, `connection-failed`,
 * `authentication-failed` or `not-authorized`.
 * @public
 */
export function kinesisPublisher(client: KinesisClientLike, options: KinesisPublisherOptions): Publisher<Message> {
  checkPublisherOptions(client, options);
  const {
    stream,
    partitionKey,
    hashKey,
    headers,
    preserveOrder = true,
    aggregate = false,
    maxBatch = 500,
    maxBatchBytes = 5 * MiB,
    maxRecordBytes = MiB,
    maxAggregateBytes = Math.min(AGGREGATE_BYTES, maxRecordBytes),
    maxRequests = 4,
    lingerMs = 0,
    backoff = exponential({ initialMs: 100, maxMs: 1_000 }),
    retryTimeoutMs = 60_000,
    requestTimeoutMs = 30_000,
  } = options;
  const encoding = { partitionKey, hashKey, headers: headers ?? 'drop', maxRecordBytes };
  const packing = aggregate ? aggregating(maxAggregateBytes, maxRecordBytes) : oneEach;
  let warned = headers !== undefined;

  const encode = (message: Message) => {
    if (!warned && Object.keys(message.headers ?? {}).length > 0) {
      warned = true;
      environment.warn(
        `${OWNER} (stream ${stream}): Kinesis has no headers, so those of the messages are left out. ` +
          "Take headers: 'json' to store them with the value, or headers: 'drop' if nobody misses them.",
      );
    }
    return encodeMessage(message, encoding);
  };

  const connections = new Observable<PublisherConnection<Message>>((subscriber) => {
    const connection = createConnection(client, {
      stream,
      encode,
      packing,
      preserveOrder,
      maxBatch,
      maxBatchBytes,
      maxRequests,
      lingerMs,
      backoff,
      retryTimeoutMs,
      requestTimeoutMs,
    });
    const looking = callKinesis(requestTimeoutMs, (call) => client.describeStreamSummary(streamInput(stream), call))
      .pipe(
        last(),
        // It does not keep us from publishing: the right to look at a stream is another one, and an account may look 20 times a
        // second, while many workers start at once. What they publish tells as well.
        catchError((error: unknown) => (isThrottled(error) || isDenied(error) ? of(null) : throwError(() => error))),
        map(() => ({ publish: connection.publish })),
      )
      .subscribe({
        next: (made) => subscriber.next(made),
        error: (error: unknown) =>
          subscriber.error(kinesisError(OWNER, error, { stream, otherwise: 'publish-failed' })),
      });
    return () => {
      looking.unsubscribe();
      connection.close();
    };
  }).pipe(share({ connector: () => new ReplaySubject(1) }));
  return { connect: () => connections };
}

function checkPublisherOptions(client: KinesisClientLike, options: KinesisPublisherOptions): void {
  checkNames(OWNER, options, OPTION_NAMES);
  const boolean = { that: { be: 'true or false', holds: (value: unknown) => typeof value === 'boolean' } };
  checkOptions(
    OWNER,
    { client, ...options },
    {
      client: {
        required: true,
        that: { be: 'a Kinesis of @aws-sdk/client-kinesis, which its KinesisClient is not', holds: isClient },
      },
      stream: { required: true, that: { be: 'the name or the ARN of a stream', holds: isStream } },
      partitionKey: { type: 'function' },
      hashKey: { type: 'function' },
      headers: { oneOf: ['json', 'drop'] },
      preserveOrder: boolean,
      aggregate: boolean,
      maxAggregateBytes: { integer: true, min: 1, max: { value: options.maxRecordBytes ?? MiB, of: 'maxRecordBytes' } },
      maxBatch: { integer: true, min: 1, max: 500 },
      maxBatchBytes: { integer: true, min: 1, max: MOST_BYTES },
      maxRecordBytes: { integer: true, min: 1, max: MOST_BYTES },
      maxRequests: { integer: true, min: 1, max: 100 },
      lingerMs: { min: 0, max: 10_000 },
      backoff: { type: 'function' },
      retryTimeoutMs: { min: 0, max: LONGEST_MS },
      requestTimeoutMs: { min: 1, max: LONGEST_MS },
    },
  );
}

function isClient(value: unknown): boolean {
  const client = value as Partial<KinesisClientLike> | null | undefined;
  return [client?.describeStreamSummary, client?.putRecords].every((member) => typeof member === 'function');
}
