import type { DeliveryNode } from './delivery-node.js';
import type { FailureClass } from './failures.js';
import { rememberFailure } from './last-failure.js';
import { messageInfo, notify } from './telemetry.js';

/**
 * Tells that a source runs a message again. To ask for a delay without a reason is no failure, but a wish that it comes later: it is
 * told to telemetry alone. `askedMs` below 0: none was asked for.
 * @internal
 */
export function reportRetry(
  delivery: DeliveryNode,
  failure: FailureClass,
  reason: unknown,
  delayMs: number,
  askedMs: number,
): void {
  const { session } = delivery.epoch;
  const isFailure = askedMs < 0 || reason !== undefined;
  if (isFailure) rememberFailure(delivery, reason);
  if (session.telemetry === null && !isFailure) return;
  notify(session, { type: 'retried', message: messageInfo(delivery), by: 'source', failure, reason, delayMs });
}
