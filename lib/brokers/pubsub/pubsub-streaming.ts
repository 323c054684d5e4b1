import { asapScheduler, asyncScheduler, defer, from, merge, type Observable, type Subscription } from 'rxjs';
import { exponential, waitOf } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import type { QueueAdapter, QueueEngine } from '../../core/queue-engine.js';
import { callPubSub } from './pubsub-call.js';
import type { PubSubMessageLike, PubSubStreamLike, PubSubSubscriptionLike } from './pubsub-client.js';
import { groupsOf } from './pubsub-groups.js';
import { createInventory } from './pubsub-inventory.js';
import type { ResolvedPubSubOptions } from './pubsub-options.js';
import { createOutages } from './pubsub-outages.js';
import type { PubSubArrival, PubSubRecord } from './pubsub-record.js';
import { whyOver } from './pubsub-source-errors.js';
import { streamOptions } from './pubsub-stream-options.js';
import { forgetHeld, undispensedOf } from './pubsub-undispensed.js';

type StreamRecord = PubSubRecord<PubSubMessageLike>;

/** For how long what is done after a drain may still be on its way to the service. */
const LAST_CALLS_MS = 1_000;

/** How often is looked for what a stream that closes was about to hand out. */
const LOOK_MS = 100;

/** What the client says on `debug` of a call or a stream that failed; nothing of it is sure to be there. */
interface DebugErrorLike {
  readonly code?: unknown;
  readonly ackIds?: readonly unknown[];
  readonly message?: string;
}

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
): QueueAdapter<StreamRecord> {
  const { pubsub } = subscription;
  const inventory = createInventory<PubSubMessageLike>();
  const backoff = exponential({ initialMs: 100, maxMs: 30_000 });
  const most = options.maxInFlight + options.readAhead;
  const outages = createOutages(engine);
  // All that are not closed yet: those before the last one wait for what they gave.
  const open = new Map<PubSubStreamLike, (() => void)[]>();
  const closing = new WeakSet<PubSubStreamLike>();
  let current: PubSubStreamLike | null = null;
  let left = false;
  let failures = 0;
  let reopening: Subscription | null = null;
  let arrived: StreamRecord[] = [];

  const connect = (): void => {
    const stream = pubsub.subscription(subscription.name, streamOptions(options, options.maxExtensionMs));
    current = stream;
    open.set(stream, []);
    // Without a listener of its errors the process would end by one that comes late.
    stream.on('error', (error) => lost(stream, error));
    stream.on('close', () => {
      lost(stream, null);
      closed(stream);
    });
    stream.on('debug', ({ error }) => onDebug(stream, error ?? {}));
    stream.on('message', receive);
  };

  const closed = (stream: PubSubStreamLike): void => {
    if (closing.has(stream)) return;
    closing.add(stream);
    // What its last calls brought is here one turn later, and not to be given back by a stream that is closed.
    asyncScheduler.schedule(() => {
      const groups = groupsOf(undispensedOf(stream).map(({ ackId }) => ackId));
      forgetHeld(stream);
      const gone = (): void => {
        const waiters = open.get(stream) ?? [];
        open.delete(stream);
        for (const done of waiters) done();
      };
      // Where it fails, they come again once their leases have run out.
      merge(...groups.map(giveBack)).subscribe({ error: gone, complete: gone });
    });
  };

  const giveBack = (ackIds: readonly string[]): Observable<unknown> => {
    const request = { subscription: subscription.name, ackIds, ackDeadlineSeconds: 0 };
    return callPubSub(pubsub, 'modifyAckDeadline', request, options.requestTimeoutMs);
  };

  const lost = (stream: PubSubStreamLike, error: unknown): void => {
    if (stream !== current) return;
    current = null;
    // Not each error ends its stream: one that goes on would be read beside the next.
    if (error !== null) end(stream);
    if (left) return;
    const reason = error ?? new Error('the stream was closed');
    const over = whyOver(pubsub, short, reason);
    if (over !== null) {
      engine.fail(over);
      return;
    }
    failures++;
    outages.failed(reason);
    reopen(waitOf(backoff, failures));
  };

  const reopen = (delayMs: number): void => {
    reopening ??= asyncScheduler.schedule(() => {
      reopening = null;
      if (!left) connect();
    }, delayMs);
  };

  const onDebug = (stream: PubSubStreamLike, error: DebugErrorLike): void => {
    if (error.ackIds !== undefined) {
      if (/"ack"/.test(error.message ?? '')) for (const _ of error.ackIds) engine.ackFailed(error);
    } else if (stream === current && typeof error.code === 'number') {
      outages.failed(error);
    }
  };

  const receive = (message: PubSubMessageLike): void => {
    failures = 0;
    outages.answered();
    const record = inventory.receive(arrivalOf(message));
    if (record === 'too-early') message.nack();
    else if (record !== 'held' && arrived.push(record) === 1) asapScheduler.schedule(pushArrived);
  };

  // The client hands out each message of an answer in a tick of its own, and all ticks come before the microtask.
  const pushArrived = (): void => {
    const records = arrived;
    arrived = [];
    const [oldest] = records;
    if (oldest !== undefined) engine.lag({ lagMs: Math.max(0, environment.wallClock() - oldest.publishedAt) });
    engine.push(records);
    stopFlood();
  };

  // The emulator, and a service under way to a new limit, push more than was asked for. What is on its way over a stream that
  // is ended comes again only once its lease is over, so it is ended for the bound on memory, not for a count.
  const stopFlood = (): void => {
    if (current === null || inventory.size <= 2 * most || inventory.bytes <= options.maxBufferedBytes) return;
    const flooding = current;
    current = null;
    end(flooding);
  };

  const resumeIfRoom = (): void => {
    if (current === null && reopening === null && failures === 0 && !left && inventory.size <= most) reopen(0);
  };

  const end = (stream: PubSubStreamLike): void => {
    const looking = asyncScheduler.schedule(function look() {
      for (const message of undispensedOf(stream)) message.nack();
      this.schedule(undefined, LOOK_MS);
    }, LOOK_MS);
    const gone = (): void => {
      looking.unsubscribe();
      closed(stream);
    };
    stream.close().then(gone, gone);
  };

  // Without exactly-once delivery there is no answer to wait for, and a promise a message would be most of what an ack takes.
  const ackUnanswered = (records: readonly StreamRecord[]): (readonly null[])[] => {
    for (const record of records) {
      for (const message of record.handles) message.ack();
      inventory.acked(record);
    }
    resumeIfRoom();
    return [records.map(noError)];
  };

  const ackOne = (record: StreamRecord): Promise<unknown> => {
    const handles = [...record.handles];
    const answers = handles.map((message) => message.ackWithResponse().then(noError, (error: unknown) => error));
    return (answers.at(-1) as Promise<unknown>).then((error) => {
      inventory.acked(record);
      const late = record.handles.slice(handles.length);
      if (error === null) for (const message of late) void message.ackWithResponse().catch(() => undefined);
      else for (const message of late) receive(message);
      resumeIfRoom();
      return error === null ? null : error;
    });
  };

  return {
    start: connect,
    // The client knows no way to pause; the service stops at its own count of what is out.
    demand: () => undefined,
    ack: (records) => (records.some(isAnswered) ? Promise.all(records.map(ackOne)) : ackUnanswered(records)),
    nack: (records) => {
      for (const record of records) {
        inventory.nacked(record);
        for (const message of record.handles) message.nack();
      }
      resumeIfRoom();
    },
    leaving: () => {
      left = true;
      reopening?.unsubscribe();
      outages.end();
      // Those before it end by themselves, once what they gave is settled.
      const last = current;
      current = null;
      if (last === null) return;
      last.setOptions(streamOptions(options, options.drainTimeoutMs + LAST_CALLS_MS));
      end(last);
    },
    close: () =>
      defer(() => {
        const ends = [...open].map(([, waiters]) => new Promise<void>((done) => void waiters.push(done)));
        return from(Promise.all(ends));
      }),
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
