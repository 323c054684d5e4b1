import type { Delivery, NackOptions } from './delivery.js';
import type { Position } from './position.js';

/**
 * Several deliveries as one: its value is the array of theirs, in order of arrival, and settling it settles all that are
 * not settled yet. It has the id, key, headers, position and attempt of its first member.
 * @public
 */
export interface BatchDelivery<out T, out P extends Position = Position> extends Delivery<readonly T[], P> {
  /** What it was made of: `members[i]` is of `value[i]`. Each may be settled by itself. */
  readonly members: readonly Delivery<T, P>[];
  /**
   * Nacks the members that are named and acks the others; with none named it is an ack. `retryToDlq` tries the named ones alone
   * again. Below `fanOut`, and where something is named that is no member, all are nacked: a repeat beats a loss.
   */
  nackOnly(members: readonly Delivery<unknown>[], reason?: unknown, options?: NackOptions): void;
}
