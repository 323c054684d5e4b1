import { asyncScheduler, defer, EMPTY, finalize, from, retry, Subscription, switchMap, throwError, timer } from 'rxjs';
import { exponential, waitOf } from '../../core/backoff.js';
import type { QueueAdapter, QueueEngine } from '../../core/queue-engine.js';
import { callPubSub } from './pubsub-call.js';
import type { PubSubSubscriptionLike } from './pubsub-client.js';
import { concurrentStreamsOf, type ReadingNumbers, type ReadingSeat } from './pubsub-concurrent-streams.js';
import { grpcNameOf } from './pubsub-errors.js';
import type { ResolvedPubSubOptions } from './pubsub-options.js';
import { pullMessages } from './pubsub-pull.js';
import { shortName } from './pubsub-names.js';
import type { PubSubReader } from './pubsub-reader.js';
import { readyClient } from './pubsub-ready.js';
import type { PubSubRecord } from './pubsub-record.js';
import { cannotBeRead, clientClosed, isMendable, needsStreaming, pubsubSourceError } from './pubsub-source-errors.js';
import { streamCount } from './pubsub-stream-options.js';
import { streamMessages } from './pubsub-streaming.js';

/** How often the first call may fail in a row: after that nothing says that there is a service at all. */
const FIRST_TRIES = 5;

/** How often is looked whether the client was closed. */
const LOOK_MS = 1_000;

/** How often a source that has fewer streams than it wants asks for one: another may take it away again, which is not to happen all the time. */
const MORE_LOOKS = 60;

/** A message that is given back as its consumer ends uses up one of these. */
const FEW_ATTEMPTS = 10;

/** The service gives no shorter lease. */
const SHORTEST_DEADLINE_S = 10;

/** What the service tells of a subscription; all of it optional, as in protobuf. */
interface SubscriptionInfo {
  readonly topic?: string | null;
  readonly ackDeadlineSeconds?: number | null;
  readonly enableExactlyOnceDelivery?: boolean | null;
  readonly enableMessageOrdering?: boolean | null;
  readonly detached?: boolean | null;
  readonly pushConfig?: { readonly pushEndpoint?: string | null } | null;
  readonly bigqueryConfig?: { readonly table?: string | null } | null;
  readonly cloudStorageConfig?: { readonly bucket?: string | null } | null;
  readonly deadLetterPolicy?: { readonly maxDeliveryAttempts?: number | null } | null;
}

/** Looks at the subscription once, then reads it in the way that is asked for. @internal */
export function connectPubSub(
  engine: QueueEngine<PubSubRecord>,
  subscription: PubSubSubscriptionLike,
  short: string,
  options: ResolvedPubSubOptions,
): QueueAdapter<PubSubRecord> {
  const { pubsub, name } = subscription;
  const looking = new Subscription();
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  let seat: ReadingSeat | null = null;
  let reader: PubSubReader<PubSubRecord> | null = null;
  let wanted = true;
  let looks = 0;

  const begin = (info: SubscriptionInfo): void => {
    const why = whyUnreadable(info);
    if (why !== null) {
      engine.fail(cannotBeRead(short, why));
      return;
    }
    if (options.mode === 'pull' && info.enableExactlyOnceDelivery === true) {
      engine.fail(needsStreaming(short));
      return;
    }
    // A topic that was deleted is told as `_deleted-topic_`.
    engine.assign({ topic: shortName(info.topic ?? name), partition: short });
    // The user may end the pipeline as he is told of it; what would be opened after that, nobody would close.
    if (looking.closed) return;
    const deadlineMs = (info.ackDeadlineSeconds ?? SHORTEST_DEADLINE_S) * 1_000;
    // Who may not look at it does not know.
    const isOrdered = info.enableMessageOrdering !== false;
    const open = (maxStreams: number): PubSubReader<PubSubRecord> => {
      const granted = { ...options, maxStreams };
      return options.mode === 'pull'
        ? pullMessages(engine, subscription, short, granted, isOrdered, deadlineMs)
        : streamMessages(engine, subscription, short, granted, isOrdered);
    };
    seat?.take({
      begin: (streams) => {
        reader = open(streams);
        if (!wanted) reader.demand(false);
        reader.start();
      },
      lessen: () => reader?.lessen(),
      full: warnOfFullClient,
    });
    warnOfFewAttempts(info);
    // Streams and calls that are under way outlive a client that is closed, and say nothing of it.
    looking.add(
      asyncScheduler.schedule(function look() {
        if (!pubsub.isOpen) {
          engine.fail(clientClosed(short));
          return;
        }
        looks++;
        if (looks % MORE_LOOKS === 0 && seat?.more() === true) reader?.more();
        this.schedule(undefined, LOOK_MS);
      }, LOOK_MS),
    );
  };

  const look = defer(() => {
    if (!pubsub.isOpen) throw clientClosed(short);
    return readyClient(pubsub, 'SubscriberClient', options.requestTimeoutMs);
  }).pipe(
    switchMap(() =>
      callPubSub<SubscriptionInfo>(pubsub, 'getSubscription', { subscription: name }, options.requestTimeoutMs),
    ),
  );

  const warnOfFewAttempts = ({ deadLetterPolicy }: SubscriptionInfo): void => {
    const attempts = deadLetterPolicy?.maxDeliveryAttempts ?? 0;
    if (attempts === 0 || attempts >= FEW_ATTEMPTS) return;
    engine.misuse(
      'few-delivery-attempts',
      `fromPubSub (subscription ${short}): its dead letter policy allows ${attempts} delivery attempts. A message that is ` +
        'fetched and given back, as at each deploy, uses one up without having been worked on. Allow more, or take ' +
        'retryToDlq in the place of the policy.',
    );
  };

  const warnOfFullClient = ({ sources, most, connection }: ReadingNumbers): void =>
    engine.misuse(
      'too-many-subscriptions',
      `fromPubSub (subscription ${short}): it waits, and reads nothing until another source has ended. ${sources} sources share ` +
        `this PubSub object. Its connection takes ${connection} streams and calls at once, of which ${most} may be streams of ` +
        `sources, one each at least. Make more PubSub objects, and give each ${most} sources at most.`,
    );

  return {
    start: () => {
      seat = concurrentStreamsOf(pubsub).join(options.mode === 'pull' ? options.maxStreams : streamCount(options));
      looking.add(
        look
          .pipe(
            retry({
              delay: (error: unknown, failures) => {
                if (!pubsub.isOpen) return throwError(() => clientClosed(short));
                if (!isMendable(error) || failures >= FIRST_TRIES) return throwError(() => error);
                return timer(waitOf(backoff, failures));
              },
            }),
          )
          .subscribe({
            next: begin,
            error: (error: unknown) => {
              // To consume takes no permission to look.
              if (grpcNameOf(error) === 'PERMISSION_DENIED') begin({});
              else engine.fail(pubsubSourceError(short, error, 'connection-failed'));
            },
          }),
      );
    },
    demand: (next) => {
      wanted = next;
      reader?.demand(next);
    },
    ack: (records) => (reader as QueueAdapter<PubSubRecord>).ack(records),
    nack: (records, tried) => reader?.nack(records, tried),
    leaving: () => {
      looking.unsubscribe();
      // One that still waits for its turn must not have it any more.
      if (reader === null) seat?.leave();
      reader?.leaving?.();
    },
    close: () => from(reader?.close() ?? EMPTY).pipe(finalize(() => seat?.leave())),
  };
}

function whyUnreadable(info: SubscriptionInfo): string | null {
  if (info.detached === true) return 'it was detached from its topic and gets nothing any more. Make a new one.';
  if (info.pushConfig?.pushEndpoint) return 'it pushes to an endpoint. Make one that is pulled from.';
  if (info.bigqueryConfig?.table) return 'it writes to BigQuery. Make one that is pulled from.';
  if (info.cloudStorageConfig?.bucket) return 'it writes to Cloud Storage. Make one that is pulled from.';
  return null;
}
