import { isPromiseLike, whenSettled } from './deferred.js';
import type { DeliveryNode } from './delivery-node.js';
import { nameOf } from './errors.js';
import type { FailureClass } from './failures.js';
import type { Outcome } from './outcome.js';
import type { PartitionRef } from './partition.js';
import { tellOnce, warnOf } from './process-warnings.js';
import type { Session } from './session.js';

/** Which message an event is about: never its payload, key or headers. @public */
export interface MessageInfo extends PartitionRef {
  /** `Delivery.id`. */
  readonly id: string;
  /** `Delivery.attempt`. */
  readonly attempt: number;
}

/** What a pipeline tells of itself: one fixed set, so that metrics, tracing and health stand on the same events. @public */
export type TelemetryEvent =
  /** A message left the source. */
  | { readonly type: 'received'; readonly message: MessageInfo }
  /** A message is settled for good at the source. */
  | { readonly type: 'settled'; readonly message: MessageInfo; readonly outcome: Outcome }
  /** A nack was answered with another attempt after `delayMs`, by the source itself or by an operator. */
  | {
      readonly type: 'retried';
      readonly message: MessageInfo;
      readonly by: 'source' | 'operator';
      readonly failure: FailureClass;
      readonly reason: unknown;
      readonly delayMs: number;
    }
  /** A dead letter is confirmed, or (`published: false`) given up by `onUndeliverable: 'ack'`. */
  | {
      readonly type: 'dead-lettered';
      readonly message: MessageInfo;
      readonly reason: unknown;
      readonly published: boolean;
    }
  /**
   * A batch of `size` failed as a whole. Its members would be dead letters, so it is run by halves first: then only those are that
   * fail alone. The message is its first.
   */
  | { readonly type: 'bisected'; readonly message: MessageInfo; readonly size: number; readonly reason: unknown }
  /** A dead letter could not be published whole: it stays unsettled and is tried again, or has size and digest of its value alone. */
  | { readonly type: 'undeliverable'; readonly message: MessageInfo; readonly error: unknown }
  /** A delivery waits without counting an attempt: its key is claimed elsewhere, or something is out. */
  | { readonly type: 'parked'; readonly message: MessageInfo; readonly because: 'claimed' | 'unavailable' }
  /** A settlement changed nothing: a repeat, or one of an epoch that is closed (I5). */
  | { readonly type: 'stale-settlement'; readonly partition: PartitionRef; readonly because: 'repeat' | 'closed' }
  /** A claim on an idempotency key lapsed while its message was still worked on: it may be processed twice. */
  | { readonly type: 'claim-lost'; readonly message: MessageInfo }
  /** A commit, checkpoint or ack did not reach the broker; it is tried again, or the message comes again. */
  | { readonly type: 'ack-failed'; readonly partition: PartitionRef; readonly error: unknown }
  /** A handler passed its time-out; `zombies` of them still run without a slot. */
  | { readonly type: 'timed-out'; readonly message: MessageInfo; readonly zombies: number }
  /**
   * The oldest unsettled delivery of a partition has been out for `unsettledWarnMs` or longer (I2). `why`, where the library knows
   * a reason: what is out, how the message failed last. It names class and code of an error, never its text.
   */
  | {
      readonly type: 'unsettled-too-long';
      readonly message: MessageInfo;
      readonly forMs: number;
      readonly why?: string;
    }
  /** Nothing more can come and our operators hold all that is out: those that gather flush now. */
  | { readonly type: 'quiet'; readonly units: number; readonly held: number }
  /**
   * `batch` gathered a message for `forMs`, its `maxWaitMs`, while others waited behind it, since something else still ran: at
   * this speed its key goes on.
   */
  | { readonly type: 'held-back'; readonly message: MessageInfo; readonly forMs: number }
  /**
   * How far what is settled of a partition is behind its end: each `lagEveryMs` for each partition, whatever that waits for. What the
   * broker does not tell, or has not told yet, is not there.
   */
  | {
      readonly type: 'lag';
      readonly partition: PartitionRef;
      /** In messages: from the watermark, where a restart would begin, to the end. In Kafka a difference of offsets. */
      readonly lagMessages?: number;
      /** There are more than `lagMessages`: the outbox is counted up to a bound. */
      readonly more?: boolean;
      /** In milliseconds: the age of the oldest message that is not settled; 0 where there is none. */
      readonly lagMs?: number;
      /** How long ago the broker told of the end, in milliseconds. It grows while the broker does not answer. */
      readonly ageMs?: number;
      /** In messages: fetched and not emitted yet. */
      readonly bufferedMessages: number;
      /** The same in bytes. */
      readonly bufferedBytes: number;
      /** In messages: emitted and unsettled, those that wait for a retry included. */
      readonly inFlight: number;
    }
  | { readonly type: 'assigned'; readonly partition: PartitionRef }
  /** `drained` is false where started work was cut off by `drainTimeoutMs` or the ownership was lost outright. */
  | { readonly type: 'revoked'; readonly partition: PartitionRef; readonly drained: boolean }
  /**
   * A `stop` or an unsubscribe has waited for `drainTimeoutMs`, and `unsettled` deliveries are still out. They come again. `why`, of
   * the oldest of them, as in `unsettled-too-long`; without one a handler does not end, or a plain RxJS operator holds them.
   */
  | {
      readonly type: 'cut-off';
      readonly partition: PartitionRef;
      readonly unsettled: number;
      readonly afterMs: number;
      readonly why?: string;
    }
  /** The position jumped without our doing (I10). */
  | {
      readonly type: 'position-lost';
      readonly partition: PartitionRef;
      readonly expected: string;
      readonly found: string;
      readonly action: 'error' | 'earliest' | 'latest';
    }
  /** Something that the pipeline needs is out: deliveries are held, no attempt is counted. */
  | { readonly type: 'unavailable'; readonly what: string; readonly error: unknown }
  /** It is back. */
  | { readonly type: 'recovered'; readonly what: string }
  /** A pipeline is built in a way that breaks a guarantee. */
  | { readonly type: 'misuse'; readonly code: string; readonly message: string }
  /** Nothing of the source is left: no timer, socket, listener, lease or claim (I8). */
  | { readonly type: 'closed' };

/**
 * Takes the events of a source and of the operators below it, synchronously: count, do not wait. What it throws is
 * swallowed, and told once by a process warning.
 * @public
 */
export type Telemetry = (event: TelemetryEvent) => void;

/** Hands an event to the user's telemetry, or to the process warnings where there is none. @internal */
export function notify(session: Session, event: TelemetryEvent): void {
  if (session.telemetry === null) {
    warnOf(session, event);
    return;
  }
  try {
    const result: unknown = session.telemetry(event);
    // One that is `async`: its rejection would end the process.
    if (typeof result === 'object' && result !== null && isPromiseLike(result)) {
      whenSettled(
        result,
        () => undefined,
        (error) => warnOfTelemetry(session, error),
      );
    }
  } catch (error) {
    warnOfTelemetry(session, error);
  }
}

function warnOfTelemetry(session: Session, error: unknown): void {
  tellOnce(session, 'telemetry', `the telemetry function threw ${nameOf(error)}; what it throws is ignored.`);
}

/** Tells a misuse, once for each session and code. @internal */
export function misuse(session: Session, code: string, message: string): void {
  const told = `told ${code}`;
  if (session.warned.has(told)) return;
  session.warned.add(told);
  notify(session, { type: 'misuse', code, message });
}

/** @internal */
export function messageInfo(delivery: DeliveryNode): MessageInfo {
  const { topic, partition } = delivery.epoch;
  return { topic, partition, id: delivery.id, attempt: delivery.attempt };
}

/** Counts a settlement that came too late to mean anything. @internal */
export function reportStale(delivery: DeliveryNode, because: 'repeat' | 'closed'): void {
  const { session, topic, partition } = delivery.epoch;
  if (session.telemetry !== null) {
    notify(session, { type: 'stale-settlement', partition: { topic, partition }, because });
  }
}
