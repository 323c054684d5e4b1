import type { protos } from '@google-cloud/pubsub';
import { grpc } from 'google-gax';
import { newAckId, isAckId } from './ack-id.js';
import { backlog } from './backlog.js';
import type { FakeClock } from './clock.js';
import { deadLetter, deadLetterTopic, maxDeliveryAttempts } from './dead-letter.js';
import type { Entry, Lease, PubsubMessage, Taker } from './entry.js';
import { retryDelayMs } from './retry-policy.js';
import { ackRefusal, refusal } from './status.js';

export type SubscriptionConfig = protos.google.pubsub.v1.ISubscription;
type ReceivedMessage = protos.google.pubsub.v1.IReceivedMessage;

/** What happened in a subscription since it was made. */
export interface SubscriptionCounts {
  acks: number;
  nacks: number;
  /** Deadlines that were moved; nacks are not among them. */
  modAcks: number;
  /** Deadlines that passed. */
  expired: number;
  deadLettered: number;
  /** Acks and deadlines of leases that are over. */
  stale: number;
  /** Acks that overtook one of their key, where delivery is exactly once. */
  unordered: number;
  /** How often each message was delivered, by its id. */
  readonly deliveries: Map<string, number>;
}

/** The reasons why single acks or deadlines were refused, by ack id. */
export type AckOutcome = Map<string, string>;

/** A subscription: its messages and who has them. */
export interface FakeSubscription {
  readonly config: SubscriptionConfig;
  readonly counts: SubscriptionCounts;
  readonly outstanding: number;
  readonly backlog: number;
  add(message: PubsubMessage): void;
  /** Leases messages to a taker: up to so many, and bytes, but at least one. */
  deliver(taker: Taker, limit: DeliveryLimit): ReceivedMessage[];
  forget(taker: Taker): void;
  acknowledge(ackIds: readonly string[]): AckOutcome;
  modifyDeadline(ackIds: readonly string[], seconds: number): AckOutcome;
  /** Calls this when there may be something to deliver. */
  onReady(run: () => void): void;
  /** Forgets all messages. */
  clear(): void;
}

export interface DeliveryLimit {
  readonly messages: number;
  readonly bytes: number;
  readonly deadlineSeconds: number;
}

export interface SubscriptionOptions {
  readonly config: SubscriptionConfig;
  readonly clock: FakeClock;
  readonly countDeliveries: boolean;
  /** Publishes a dead letter; false where the topic is missing. */
  readonly publish: (topic: string, message: PubsubMessage) => boolean;
}

const INVALID = 'PERMANENT_FAILURE_INVALID_ACK_ID';
const UNORDERED = 'TRANSIENT_FAILURE_UNORDERED_ACK_ID';
const NO_ALARM = { time: Infinity, cancel: (): void => undefined };

export function fakeSubscription(options: SubscriptionOptions): FakeSubscription {
  const { config, clock, countDeliveries, publish } = options;
  const messages = backlog(config.enableMessageOrdering === true);
  const exactlyOnce = config.enableExactlyOnceDelivery === true;
  const leases = new Map<string, Lease>();
  const counts: SubscriptionCounts = {
    acks: 0,
    nacks: 0,
    modAcks: 0,
    expired: 0,
    deadLettered: 0,
    stale: 0,
    unordered: 0,
    deliveries: new Map(),
  };
  let ready = (): void => undefined;
  let alarm = NO_ALARM;

  /** The alarm may ring early, never late. */
  const wakeAt = (time: number): void => {
    if (time >= alarm.time) return;
    alarm.cancel();
    alarm = { time, cancel: clock.at(time, expire) };
  };
  const end = (lease: Lease): void => {
    leases.delete(lease.ackId);
    lease.entry.lease = undefined;
    lease.taker.messages--;
    lease.taker.bytes -= lease.entry.bytes;
  };
  const fail = (lease: Lease): void => {
    const { entry } = lease;
    end(lease);
    entry.failures++;
    if (entry.failures >= maxDeliveryAttempts(config) && publish(deadLetterTopic(config), deadLetter(config, entry))) {
      counts.deadLettered++;
      messages.remove(entry);
      return;
    }
    const delay = retryDelayMs(config, entry.failures);
    const readyAt = delay === 0 ? 0 : clock.now() + delay;
    for (const later of messages.putBack(entry, readyAt)) {
      if (later.lease === undefined) continue;
      if (later.lease.deadline <= clock.now()) {
        counts.expired++;
        later.failures++;
      }
      end(later.lease);
    }
    if (readyAt > 0) wakeAt(readyAt);
  };
  const expire = (): void => {
    alarm = NO_ALARM;
    const now = clock.now();
    let next = Infinity;
    for (const lease of leases.values()) {
      if (lease.deadline > now) {
        next = Math.min(next, lease.deadline);
      } else {
        counts.expired++;
        fail(lease);
      }
    }
    wakeAt(Math.min(next, messages.release(now)));
    ready();
  };
  const lease = (entry: Entry, taker: Taker, deadlineSeconds: number): ReceivedMessage => {
    const ackId = newAckId();
    const deadline = clock.now() + deadlineSeconds * 1_000;
    entry.lease = { ackId, entry, taker, deadline };
    leases.set(ackId, entry.lease);
    taker.messages++;
    taker.bytes += entry.bytes;
    wakeAt(deadline);
    if (countDeliveries) counts.deliveries.set(entry.id, (counts.deliveries.get(entry.id) ?? 0) + 1);
    const deliveryAttempt = maxDeliveryAttempts(config) === Infinity ? 0 : entry.failures + 1;
    return { ackId, message: entry.message, deliveryAttempt };
  };
  /** Applies a change to each lease that still stands; only exactly-once subscriptions say which do not. */
  const each = (ackIds: readonly string[], change: (lease: Lease) => string | undefined): AckOutcome => {
    if (!exactlyOnce && !ackIds.every(isAckId)) {
      throw refusal('INVALID_ARGUMENT', 'You have passed an invalid ack ID to the service.');
    }
    const refused: AckOutcome = new Map();
    for (const ackId of ackIds) {
      const found = leases.get(ackId);
      // The deadline of a lease may have passed before the alarm rings.
      const current = found !== undefined && found.deadline > clock.now() ? found : undefined;
      if (current === undefined) counts.stale++;
      const reason = current === undefined ? INVALID : change(current);
      if (reason !== undefined && exactlyOnce) refused.set(ackId, reason);
    }
    ready();
    return refused;
  };
  const isOldest = ({ entry }: Lease): boolean =>
    entry.lane === undefined || entry.lane.entries[entry.lane.head] === entry;

  return {
    config,
    counts,
    get outstanding() {
      return leases.size;
    },
    get backlog() {
      return messages.size;
    },
    add: (message) => {
      messages.add(message);
      ready();
    },
    deliver: (taker, limit) => {
      const batch: ReceivedMessage[] = [];
      let bytes = 0;
      while (batch.length < limit.messages && (bytes < limit.bytes || batch.length === 0)) {
        const entry = messages.next(taker);
        if (entry === undefined) break;
        batch.push(lease(entry, taker, limit.deadlineSeconds));
        bytes += entry.bytes;
      }
      return batch;
    },
    forget: messages.forget,
    acknowledge: (ackIds) =>
      each(ackIds, (current) => {
        if (exactlyOnce && !isOldest(current)) {
          counts.unordered++;
          return UNORDERED;
        }
        counts.acks++;
        end(current);
        messages.settle(current.entry);
        return undefined;
      }),
    modifyDeadline: (ackIds, seconds) =>
      each(ackIds, (current) => {
        if (seconds === 0) {
          counts.nacks++;
          fail(current);
        } else {
          counts.modAcks++;
          current.deadline = clock.now() + seconds * 1_000;
          wakeAt(current.deadline);
        }
        return undefined;
      }),
    onReady: (run) => void (ready = run),
    clear: () => {
      for (const current of [...leases.values()]) end(current);
      messages.clear();
      alarm.cancel();
      alarm = NO_ALARM;
    },
  };
}

/** Throws what an exactly-once subscription answers when some of the ack ids failed. */
export function throwIfRefused(refused: AckOutcome): void {
  if (refused.size === 0) return;
  const failures = { reason: 'EXACTLY_ONCE_ACKID_FAILURE', byAckId: refused };
  if ([...refused.values()].includes(INVALID)) {
    throw ackRefusal(
      grpc.status.INVALID_ARGUMENT,
      'Some acknowledgement ids in the request were invalid. This could be because the acknowledgement ids have expired or the acknowledgement ids were malformed.',
      failures,
    );
  }
  throw ackRefusal(
    grpc.status.FAILED_PRECONDITION,
    'Some acknowledgement ids in the request were sent out of order.',
    failures,
  );
}
