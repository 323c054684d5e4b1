import type { Delivery } from '../core/delivery.js';
import type { OutboxMessage } from '../core/outbox-message.js';
import type { Position } from '../core/position.js';
import type { HandlerResult } from './handle.js';

/** What a handler of `withOutbox` may look at of its message: all but its settlement. @public */
export type OutboxDelivery<P extends Position = Position> = Pick<
  Delivery<unknown, P>,
  'id' | 'key' | 'headers' | 'timestamp' | 'position' | 'attempt' | 'signal'
>;

/** What a handler of `withOutbox` works with. @public */
export interface OutboxContext<Tx, P extends Position = Position> {
  /**
   * The transaction: what is written by it is there if and only if the message is done. It is the handler's until it ends. Do not
   * commit or roll it back, and do not keep it.
   */
  readonly tx: Tx;
  /**
   * Stores a message in the same transaction; the relay publishes it after the commit, at least once. It is stored as it is now: bytes
   * are copied. Throws `invalid-emit`, permanent, for what is no message or what a store cannot hold: a topic that is empty or holds NUL
   * or half of a surrogate pair, a partition above 2^31 - 1, a header that is neither bytes nor text, headers that are no plain object.
   */
  readonly emit: (message: OutboxMessage) => void;
  /** The message. */
  readonly delivery: OutboxDelivery<P>;
}

/**
 * What works on one message: it returns its result, a Promise or an Observable of it, of which the last value counts.
 * @public
 */
export type OutboxHandler<T, R, Tx, P extends Position = Position> = (
  value: T,
  context: OutboxContext<Tx, P>,
) => HandlerResult<R>;

/** The transaction and the delivery, as `setUp` of `withOutbox` gets them. @public */
export type OutboxSetUpContext<Tx, P extends Position = Position> = Pick<OutboxContext<Tx, P>, 'tx' | 'delivery'>;

/** A function that prepares the transaction for one message; its result is waited for, and not looked at. @public */
export type OutboxSetUp<T, Tx, P extends Position = Position> = (
  value: T,
  context: OutboxSetUpContext<Tx, P>,
) => HandlerResult<unknown>;
