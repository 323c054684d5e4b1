import type { MessageBytes, MessageHeaders } from './message.js';
import type { Outcome } from './outcome.js';
import type { Position } from './position.js';

/** How a nack asks for the next attempt. @public */
export interface NackOptions {
  /**
   * Milliseconds until the message is tried again, at least 0; more than 2,147,483,647 (24.8 days) are as many. Default: the
   * backoff of whoever handles the nack.
   */
  readonly delayMs?: number;
}

/**
 * One arrival of a message, with its way back: a delivery must be settled, by `ack`, `nack` or `settle`.
 *
 * The first settlement of an attempt wins; a later one is a no-op that telemetry counts. Settling never throws and is
 * never asynchronous: it means "done with it", and making that durable is the source's work (I1, I2, I5).
 *
 * It is an abstract class type so that `{ ...delivery, value }`, which loses `ack`, does not compile:
 * use {@link Delivery.withValue}. Deliveries are made by sources and operators alone.
 * @public
 */
export declare abstract class Delivery<out T, out P extends Position = Position> {
  /** The payload, as the last operator left it. */
  readonly value: T;
  /** 1 for the first try; starts again at 1 for a new owner unless the broker knows better. */
  readonly attempt: number;
  /** The same for each redelivery of this message, for instance `orders/3/1042`. */
  readonly id: string;
  /** The raw key as it was published, or `null`. */
  readonly key: MessageBytes;
  /** The raw headers as they were published. */
  readonly headers: MessageHeaders;
  /** When the broker or the publisher stamped it: milliseconds since 1970. */
  readonly timestamp: number;
  /** Where it stands in its broker. */
  readonly position: P;
  /** Aborted when the delivery stops being ours: its partition is closed, it timed out, or it was unsubscribed. */
  readonly signal: AbortSignal;
  private constructor();
  /** Done with it: the same as `settle('done')`. */
  ack(): void;
  /** Not done: it comes again, after `delayMs` or a backoff, or becomes a dead letter further up. */
  nack(reason?: unknown, options?: NackOptions): void;
  /** Settles it for good with an outcome. */
  settle(outcome: Outcome): void;
  /** The same delivery with another value: settling either settles both. */
  withValue<U>(value: U): Delivery<U, P>;
}
