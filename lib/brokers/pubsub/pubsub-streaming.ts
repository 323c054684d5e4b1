import { asapScheduler, concat, defer, EMPTY, from, takeUntil, timer } from 'rxjs';
import { environment } from '../../core/environment.js';
import type { QueueEngine } from '../../core/queue-engine.js';
import { createAckOrder } from './pubsub-ack-order.js';
import { callPubSub } from './pubsub-call.js';
import type { PubSubMessageLike, PubSubSubscriptionLike } from './pubsub-client.js';
import { groupsOf } from './pubsub-groups.js';
import { createIdCalls } from './pubsub-id-calls.js';
import { createInventory } from './pubsub-inventory.js';
import { createLeaseRetries } from './pubsub-lease-retries.js';
import { lastCallsMs } from './pubsub-last-calls.js';
import { letGo } from './pubsub-let-go.js';
import { createLiveStream, type LiveStream } from './pubsub-live-stream.js';
import { MOST_REQUEST_BYTES } from './pubsub-most-bytes.js';
import type { ResolvedPubSubOptions } from './pubsub-options.js';
import { createOutages } from './pubsub-outages.js';
import type { PubSubReader } from './pubsub-reader.js';
import type { PubSubArrival, PubSubRecord } from './pubsub-record.js';
import { createSilence } from './pubsub-silence.js';
import { createSlowCalls } from './pubsub-slow-calls.js';
import { mayAckLater, pubsubFailure } from './pubsub-source-errors.js';
import type { HeldByStream } from './pubsub-undispensed.js';
import { groupMs, streamCount, streamOptions, type PubSubStreamOptions } from './pubsub-stream-options.js';

type StreamRecord = PubSubRecord<PubSubMessageLike>;

/** What the client may take beyond a drain to settle what is out. */
const LAST_CALLS_MS = 1_000;

/** The client's own least lease where delivery is exactly once. */
const EXACTLY_ONCE_LEASE_MS = 60_000;

/** For how much of a lease its call is tried again: later it may be over, and the service sends its message and what follows again. */
const LEASE_PART = 0.75;

/** Acks that are under way at once, each with up to 2,000. */
const MOST_ACK_CALLS = 4;

/**
 * Messages as the service pushes them, over subscription objects of our own. What the client promises and does not keep is
 * kept here: the bound is the engine's, every message that it has is handed out at once, so that nothing waits in it, and all of
 * them are settled by us before it closes.
 * @internal
 */
export function streamMessages(
  engine: QueueEngine<StreamRecord>,
  subscription: PubSubSubscriptionLike,
  short: string,
  options: ResolvedPubSubOptions,
  isOrdered: boolean,
): PubSubReader<StreamRecord> {
  const { pubsub } = subscription;
  const longestLeaseMs = Math.max(options.ackDeadlineMs, EXACTLY_ONCE_LEASE_MS);
  const slowCalls = createSlowCalls();
  const inventory = createInventory<PubSubMessageLike>({ isOrdered, longestLeaseMs, slowCalls });
  const order = createAckOrder();
  const leases = createLeaseRetries(LEASE_PART * options.ackDeadlineMs, slowCalls);
  const most = options.maxInFlight + options.readAhead;
  const mostBytes = Math.max(options.maxBufferedBytes, MOST_REQUEST_BYTES);
  // All that are not closed yet; and those that read: fewer once others over the client need them.
  const streams = new Set<LiveStream>();
  const reading: LiveStream[] = [];
  const { refusalTimeoutMs } = options;
  const outages = createOutages(engine, { pubsub, short, refusalTimeoutMs, streams: () => reading.length });
  const silence = createSilence(engine, pubsub, subscription.name, options);
  let flooded = false;
  let arrived: StreamRecord[] = [];

  const call = (method: string, reqOpts: object) =>
    callPubSub(pubsub, method, { subscription: subscription.name, ...reqOpts }, options.requestTimeoutMs);

  const ackFailed = (error: unknown, acks: number): void => {
    const failure = pubsubFailure(short, error);
    for (let told = 0; told < acks; told++) engine.ackFailed(failure);
  };

  const receive = (message: PubSubMessageLike): void => {
    outages.answered();
    silence.heard();
    const record = inventory.receive(arrivalOf(message));
    if (record === 'too-early') message.nack();
    else if (record !== 'held' && arrived.push(record) === 1) asapScheduler.schedule(pushArrived);
  };

  // The client hands out each message of an answer in a tick of its own, and all ticks come before the microtask.
  const pushArrived = (): void => {
    const records = arrived;
    arrived = [];
    engine.push(records);
    stopFlood();
  };

  // The emulator, and a service under way to a new limit, push more than was asked for. What is on its way over a stream that
  // is ended comes again only once its lease is over, so it is ended for the bound on memory, not for a count. A stream that is
  // opened again has its bound anew, whatever is held of the one before.
  const stopFlood = (): void => {
    const { size, bytes } = inventory;
    if (flooded || (bytes <= 2 * mostBytes && (size <= 2 * most || bytes <= options.maxBufferedBytes))) return;
    flooded = true;
    for (const stream of streams) stream.pause();
  };

  const resumeIfRoom = (): void => {
    if (!flooded || inventory.size > most || inventory.bytes > mostBytes) return;
    flooded = false;
    for (const stream of streams) stream.resume();
  };

  const optionsFor = (closeMs: number): PubSubStreamOptions =>
    streamOptions({ ...options, maxStreams: reading.length }, closeMs, leases.interceptor);

  // Renewed without a look at what it brought before, one that fails again and again would bring its part each time.
  const isTooMuch = ({ messages, bytes }: HeldByStream): boolean => {
    const { maxMessages, maxBytes } = optionsFor(0).flowControl;
    return messages > maxMessages || bytes > maxBytes;
  };

  const newStream = (): LiveStream =>
    createLiveStream({
      open: () => pubsub.subscription(subscription.name, optionsFor(options.maxExtensionMs)),
      receive,
      giveBack: (ackIds) => call('modifyAckDeadline', { ackIds, ackDeadlineSeconds: 0 }),
      lost: outages.lost,
      failed: outages.failed,
      ackFailed,
      isTooMuch,
    });

  const addStream = (): LiveStream => {
    const stream = newStream();
    streams.add(stream);
    reading.push(stream);
    return stream;
  };

  // Those that are open keep their part of the bound until they are renewed.
  const retune = (): void => {
    for (const stream of reading) stream.retune(optionsFor(options.maxExtensionMs));
  };

  for (let missing = streamCount(options); missing > 0; missing--) addStream();

  const acks = createIdCalls({
    call: (ackIds) => call('acknowledge', { ackIds }),
    isMendable: (error) => mayAckLater(pubsub, error),
    mostCalls: MOST_ACK_CALLS,
    lingerMs: groupMs(options),
  });

  // Without exactly-once delivery an ack is best effort: the work goes on without its answer.
  const ackUnanswered = (records: readonly StreamRecord[]): (readonly null[])[] => {
    const ackIds: string[] = [];
    for (const record of records) {
      for (const message of record.handles) {
        if (letGo(message)) ackIds.push(message.ackId);
        else message.ack();
      }
      inventory.acked(record);
    }
    for (const group of groupsOf(ackIds)) {
      acks.send(group, (error) => {
        if (error !== null) ackFailed(error, group.length);
      });
    }
    resumeIfRoom();
    return [records.map(noError)];
  };

  const ackOne = (record: StreamRecord): Promise<unknown> => {
    let handles: readonly PubSubMessageLike[] = [];
    const send = (): Promise<unknown> => {
      handles = [...record.handles];
      const answers = handles.map((message) => message.ackWithResponse().then(noError, (error: unknown) => error));
      return answers.at(-1) as Promise<unknown>;
    };
    return order.send(record.orderedBy, send).then((error) => {
      inventory.acked(record);
      const late = record.handles.slice(handles.length);
      if (error === null) for (const message of late) void message.ackWithResponse().catch(() => undefined);
      else for (const message of late) receive(message);
      resumeIfRoom();
      return error === null ? null : pubsubFailure(short, error);
    });
  };

  return {
    start: () => {
      silence.start();
      for (const stream of streams) stream.connect();
    },
    // The client knows no way to pause; the service stops at its own count of what is out.
    demand: () => undefined,
    more: () => {
      const stream = addStream();
      retune();
      if (flooded) stream.pause();
      else stream.connect();
    },
    lessen: () => {
      const last = reading.pop() as LiveStream;
      // Messages that the stream has brought are still worked on; those on their way over it come again once their lease is over.
      last.leave(optionsFor(options.maxExtensionMs));
      last.whenClosed(() => void streams.delete(last));
      retune();
    },
    ack: (records) => (records.some(isAnswered) ? Promise.all(records.map(ackOne)) : ackUnanswered(records)),
    nack: (records, tried) => {
      for (const record of records) {
        inventory.nacked(record, tried);
        for (const message of record.handles) message.nack();
      }
      resumeIfRoom();
    },
    leaving: () => {
      outages.end();
      silence.end();
      for (const stream of streams) stream.leave(optionsFor(options.drainTimeoutMs + LAST_CALLS_MS));
    },
    close: () => {
      const endsAt = environment.now() + lastCallsMs(options);
      return concat(
        defer(() => from(Promise.all([...streams].map((stream) => new Promise<void>(stream.whenClosed))))),
        defer(() => acks.idle().pipe(takeUntil(timer(Math.max(0, endsAt - environment.now()))))),
        defer(() => {
          acks.end();
          leases.end();
          return EMPTY;
        }),
      );
    },
  };
}

function isAnswered({ handles }: StreamRecord): boolean {
  return handles.some(({ isExactlyOnceDelivery }) => isExactlyOnceDelivery !== false);
}

function noError(): null {
  return null;
}

function arrivalOf(message: PubSubMessageLike): PubSubArrival<PubSubMessageLike> {
  const { id, data, attributes, orderingKey, publishTime, deliveryAttempt } = message;
  return {
    id,
    data,
    attributes,
    orderingKey,
    deliveryAttempt,
    publishedAt: publishTime.getTime(),
    handle: message,
  };
}
