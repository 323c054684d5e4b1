import { briefError } from './brief-error.js';
import type { DeliveryNode } from './delivery-node.js';
import type { FailureClass } from './failures.js';
import { misuse } from './telemetry.js';

const ORDER =
  'Put retryToDlq() right after the source, before decode(), mapValue() and handle(): only ordered() by the key of the message may come ' +
  'before it.';
const NEVER_DEAD = 'It is tried again without a limit, and never becomes a dead letter.';
const MANY = 10;

/**
 * A nack has come to the source though there is a `retryToDlq`: it was given above it. It is told, since the message would
 * be tried for ever and never become a dead letter.
 * @internal
 */
export function tellIfPassedRetry(delivery: DeliveryNode, reason: unknown): void {
  const { session } = delivery.epoch;
  if (!session.retries) return;
  const text = `${delivery.id} failed before retryToDlq() in the pipe, or in another branch: ${briefError(reason)}.`;
  misuse(session, 'failed-above-retry', `${text} ${NEVER_DEAD} ${ORDER}`);
}

/**
 * The same of a log, which has no limit of its own. Where all fail above it, a `retryToDlq` never sees a delivery, and nobody knows of
 * it: so what failed for good, or often, is told in any case. A nack that asks for a delay is no failure: the message is to come later.
 * @internal
 */
export function tellIfEndless(delivery: DeliveryNode, reason: unknown, failure: FailureClass, askedMs: number): void {
  const { attempt, epoch } = delivery;
  tellIfPassedRetry(delivery, reason);
  if (epoch.session.retries || failure === 'unavailable') return;
  if (failure === 'transient' && (attempt < MANY || askedMs >= 0)) return;
  const text = `${delivery.id} failed ${failure === 'permanent' ? 'for good' : `${attempt} times`}: ${briefError(reason)}.`;
  misuse(epoch.session, 'retried-without-limit', `${text} ${NEVER_DEAD} ${ORDER}`);
}

/** The same, before anything has failed. @internal */
export function tellWorkAboveRetry({ epoch: { session } }: DeliveryNode): void {
  const text =
    'retryToDlq() comes too late in the pipe: something before it makes the value (decode, mapValue, handle or settling), and no other ' +
    'retryToDlq() comes before that. What fails there is tried again without a limit, and never becomes a dead letter.';
  misuse(session, 'work-above-retry', `${text} ${ORDER}`);
}
