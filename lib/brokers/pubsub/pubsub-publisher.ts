import {
  catchError,
  defer,
  map,
  Observable,
  of,
  ReplaySubject,
  retry,
  share,
  switchMap,
  throwError,
  timer,
} from 'rxjs';
import { exponential, waitOf, type Backoff } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import { SluiceError } from '../../core/errors.js';
import type { Message, MessageHeaders } from '../../core/message.js';
import { checkNames, checkOptions, LONGEST_TIMER_MS } from '../../core/options.js';
import type { Publisher, PublisherConnection } from '../../core/publisher.js';
import { concurrentStreamsOf } from './pubsub-concurrent-streams.js';
import { createConnection } from './pubsub-connection.js';
import { grpcNameOf, pubsubError } from './pubsub-errors.js';
import type { PubSubPublisherClientLike, PubSubServiceLike } from './pubsub-publisher-client.js';
import { readyClient } from './pubsub-ready.js';
import { callService, patienceMs } from './pubsub-sender.js';

/** What `pubsubPublisher` takes. @public */
export interface PubSubPublisherOptions {
  /** Where the messages go: the name of a topic, or `projects/…/topics/…`; it must exist. */
  readonly topic: string;
  /**
   * The ordering key of a message, 1 to 1,024 bytes; `undefined` for one whose order is nobody's, which is also faster: each
   * request carries one key. Default: the message's own key, where its bytes are text.
   */
  readonly orderingKey?: (message: Message) => string | undefined;
  /**
   * The attributes of a message, instead of its headers: texts, or bytes that are UTF-8. For what Pub/Sub does not take of headers
   * of other brokers. Default: all its headers; a message with one that is no text, is repeated or too long is refused.
   */
  readonly attributes?: (message: Message) => MessageHeaders;
  /** How many messages one request may carry: a whole number, 1 to 1,000. Default: 1,000. */
  readonly maxBatch?: number;
  /**
   * How many bytes one request may carry, keys and attributes included, 1 to 9,000,000; a larger message goes alone.
   * Default: 2,000,000.
   */
  readonly maxBatchBytes?: number;
  /**
   * How many requests may be under way at once: one a key, and at most 4 without a key. A whole number, 1 to 1,000.
   * Default: 100, which is how many a connection takes; all publishers of a `PubSub` share what its sources leave of it, but for 20
   * that acks and leases have.
   */
  readonly maxRequests?: number;
  /**
   * How long the first message of a request waits for others, as long as it has room, in milliseconds, 0 to 10,000. What
   * comes while a request of its key is under way is gathered anyway. Default: 0.
   */
  readonly lingerMs?: number;
  /**
   * How long a request waits that Pub/Sub throttled, or that did not reach it, before it is sent again.
   * Default: exponential, 100 ms to 1 s, full jitter.
   */
  readonly backoff?: Backoff;
  /**
   * For how long a throttled request is sent again, from its first failure on, in milliseconds, 0 to 2 ** 31 - 1. Then it is
   * given up, as transient. One that does not reach Pub/Sub is sent again for 10 s of it at most. Default: 60,000.
   */
  readonly retryTimeoutMs?: number;
  /**
   * How long one request may take, in milliseconds, 1 to 2 ** 31 - 1. Then it is cut off and its calls fail. Also how long
   * `connect` waits for each of its steps. Default: 30,000.
   */
  readonly requestTimeoutMs?: number;
}

interface Opened {
  readonly service: PubSubServiceLike;
  /** The full one. */
  readonly topicName: string;
}

const OWNER = 'pubsubPublisher';
const MOST_MESSAGES = 1_000;
// Below the 10 MB of a request, which count its frame as well.
const MOST_BATCH_BYTES = 9_000_000;
// It does not keep us from publishing: the right to look at a topic is another one, and others may look too often.
const CANNOT_LOOK = new Set<string | null>(['PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'UNIMPLEMENTED']);

const OPTION_NAMES = [
  'topic',
  'orderingKey',
  'attributes',
  'maxBatch',
  'maxBatchBytes',
  'maxRequests',
  'lingerMs',
  'backoff',
  'retryTimeoutMs',
  'requestTimeoutMs',
];

/**
 * Publishes to a topic of Google Pub/Sub, over a `PubSub` of `@google-cloud/pubsub` 5 or 6 that stays yours.
 *
 * ```ts
 * retryToDlq({ deadLetters: pubsubPublisher(pubsub, { topic: 'orders-dlq' }) })
 * ```
 *
 * The key becomes the ordering key, headers become attributes. One request of a key is out at a time: whatever fails and is
 * sent again, a key keeps its order, and nobody needs to resume it. A message that is given up, as transient, takes along
 * those that wait behind it. What Pub/Sub will never take (too large, neither value nor header, a header that is no text)
 * is refused message by message, as permanent, most of it before it is sent; a service that is out, a topic that was deleted
 * or a right that was withdrawn fails the call. Then some of its messages may be stored all the same: at least once.
 * `connect` fails with `unknown-topic`, `connection-failed`, `authentication-failed` or `not-authorized`.
 * @public
 */
export function pubsubPublisher(
  pubsub: PubSubPublisherClientLike,
  options: PubSubPublisherOptions,
): Publisher<Message> {
  checkPublisherOptions(pubsub, options);
  const {
    topic,
    orderingKey,
    attributes,
    maxBatch = MOST_MESSAGES,
    maxBatchBytes = 2_000_000,
    maxRequests = 100,
    lingerMs = 0,
    backoff = exponential({ initialMs: 100, maxMs: 1_000 }),
    retryTimeoutMs = 60_000,
    requestTimeoutMs = 30_000,
  } = options;
  const settings = {
    topic,
    orderingKey,
    attributes,
    maxBatch,
    maxBatchBytes,
    maxRequests,
    lingerMs,
    backoff,
    retryTimeoutMs,
    requestTimeoutMs,
  };

  const connections = new Observable<PublisherConnection<Message>>((subscriber) => {
    let connection: ReturnType<typeof createConnection> | null = null;
    const opening = open(pubsub, settings).subscribe({
      next: ({ service, topicName }) => {
        connection = createConnection(service, topicName, settings, concurrentStreamsOf(pubsub).publishes);
        subscriber.next({ publish: connection.publish });
      },
      error: (error: unknown) => subscriber.error(pubsubError(OWNER, error, { topic, otherwise: 'publish-failed' })),
    });
    return () => {
      opening.unsubscribe();
      connection?.close();
    };
  }).pipe(share({ connector: () => new ReplaySubject(1) }));
  return { connect: () => connections };
}

function open(
  pubsub: PubSubPublisherClientLike,
  {
    topic,
    backoff,
    retryTimeoutMs,
    requestTimeoutMs,
  }: {
    readonly topic: string;
    readonly backoff: Backoff;
    readonly retryTimeoutMs: number;
    readonly requestTimeoutMs: number;
  },
): Observable<Opened> {
  const checkOpen = (): void => {
    if (!pubsub.isOpen) throw closedPubSub(topic);
  };
  const lookAt = ({ service, topicName }: Opened): Observable<unknown> => {
    let failedAt: number | null = null;
    return callService(requestTimeoutMs, (call) => service.getTopic({ topic: topicName }, call)).pipe(
      catchError((error: unknown) => (CANNOT_LOOK.has(grpcNameOf(error)) ? of(null) : throwError(() => error))),
      retry({
        delay: (error: unknown, failures) => {
          const now = environment.now();
          const leftMs = (failedAt ??= now) + patienceMs(error, retryTimeoutMs) - now;
          return leftMs > 0 ? timer(Math.min(leftMs, waitOf(backoff, failures))) : throwError(() => error);
        },
      }),
    );
  };
  return defer(() => {
    checkOpen();
    return readyClient(pubsub, 'PublisherClient', requestTimeoutMs);
  }).pipe(
    map((given) => given as PubSubServiceLike),
    map((client) => ({
      topicName: topic.includes('/') ? topic : `projects/${pubsub.projectId}/topics/${topic}`,
      service: {
        initialize: () => client.initialize(),
        getTopic: (request, call) => client.getTopic(request, call),
        publish: (request, call) => {
          checkOpen();
          return client.publish(request, call);
        },
      } satisfies PubSubServiceLike,
    })),
    switchMap((opened) => lookAt(opened).pipe(map(() => opened))),
  );
}

function closedPubSub(topic: string): SluiceError {
  return new SluiceError(
    'connection-failed',
    `${OWNER} (topic ${topic}): the PubSub object is closed. Close it after what uses it.`,
    { details: { owner: OWNER, topic } },
  );
}

function checkPublisherOptions(pubsub: PubSubPublisherClientLike, options: PubSubPublisherOptions): void {
  checkNames(OWNER, options, OPTION_NAMES);
  checkOptions(
    OWNER,
    { pubsub, ...options },
    {
      pubsub: { required: true, that: { be: 'a PubSub of @google-cloud/pubsub 5 or 6', holds: isPubSub } },
      topic: { required: true, that: { be: 'the name of a topic, or projects/…/topics/…', holds: isTopic } },
      orderingKey: { type: 'function' },
      attributes: { type: 'function' },
      maxBatch: { integer: true, min: 1, max: MOST_MESSAGES },
      maxBatchBytes: { integer: true, min: 1, max: MOST_BATCH_BYTES },
      maxRequests: { integer: true, min: 1, max: 1_000 },
      lingerMs: { min: 0, max: 10_000 },
      backoff: { type: 'function' },
      retryTimeoutMs: { min: 0, max: LONGEST_TIMER_MS },
      requestTimeoutMs: { min: 1, max: LONGEST_TIMER_MS },
    },
  );
}

function isPubSub(value: unknown): boolean {
  const { getClientAsync_, isOpen } = (value ?? {}) as Partial<PubSubPublisherClientLike>;
  return typeof getClientAsync_ === 'function' && typeof isOpen === 'boolean';
}

function isTopic(value: unknown): boolean {
  return typeof value === 'string' && /^(projects\/[^/]+\/topics\/)?[^/]+$/.test(value);
}
