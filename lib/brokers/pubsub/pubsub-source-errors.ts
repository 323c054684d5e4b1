import { isSluiceError, SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import type { PubSubClientLike } from './pubsub-client.js';
import { ackWordOf, grpcCodeOf, isFatalCode, pubsubError } from './pubsub-errors.js';

const OWNER = 'fromPubSub';

/** Whether the same may go well later. @internal */
export function isMendable(error: unknown): boolean {
  if (isSluiceError(error)) return false;
  const code = grpcCodeOf(error);
  // No service has answered; without credentials none ever will.
  if (code === null) return pubsubError(OWNER, error, { subscription: '' }).code !== 'authentication-failed';
  return !isFatalCode(code);
}

/** What went wrong with a subscription as a typed error; what the client says of it is the `cause`. @internal */
export function pubsubSourceError(subscription: string, error: unknown, otherwise?: SluiceErrorCode): SluiceError {
  return pubsubError(OWNER, error, otherwise === undefined ? { subscription } : { subscription, otherwise });
}

/**
 * The same for what is told while the source goes on. The client's errors are of the class `Error`, by a number: whoever has no
 * telemetry would read "Error" in the process warning.
 * @internal
 */
export function pubsubFailure(subscription: string, error: unknown): SluiceError {
  const isAnswer = grpcCodeOf(error) !== null || ackWordOf(error) !== null;
  return pubsubSourceError(subscription, error, isAnswer ? 'source-failed' : 'connection-failed');
}

/** Whether a call of acks may go well later: credentials that are gone for a moment are back before the lease is over. @internal */
export function mayAckLater({ isOpen }: PubSubClientLike, error: unknown): boolean {
  if (!isOpen) return false;
  return isMendable(error) || pubsubSourceError('', error).code === 'authentication-failed';
}

/** @internal */
export function clientClosed(subscription: string): SluiceError {
  return cannotBeRead(subscription, 'the PubSub object was closed. End the pipeline before its client.');
}

/** @internal */
export function needsStreaming(subscription: string): SluiceError {
  return cannotBeRead(
    subscription,
    "it delivers exactly once, which only streams do. Leave out mode: 'pull'.",
    'unsupported',
  );
}

/** @internal */
export function cannotBeRead(subscription: string, why: string, code: SluiceErrorCode = 'source-failed'): SluiceError {
  const details = { owner: OWNER, subscription };
  return new SluiceError(code, `${OWNER} (subscription ${subscription}): ${why}`, { details });
}
