import type { Subscriber } from 'rxjs';
import { isSluiceError, nameOf, SluiceError } from './errors.js';
import type { Message } from './message.js';
import type { PublishOutcome } from './publisher.js';

/** One call of `publish` that is not answered yet. @internal */
export interface PublishCall {
  readonly outcomes: PublishOutcome[];
  left: number;
  /** It is answered, it failed, or nobody waits for it any more. */
  over: boolean;
  readonly done: (outcomes: readonly PublishOutcome[]) => void;
  readonly fail: (error: unknown) => void;
}

/** @internal */
export function openCall(subscriber: Subscriber<readonly PublishOutcome[]>, messages: number): PublishCall {
  return {
    outcomes: new Array<PublishOutcome>(messages),
    left: messages,
    over: false,
    done: (outcomes) => {
      subscriber.next(outcomes);
      subscriber.complete();
    },
    fail: (error) => subscriber.error(error),
  };
}

/** Takes one outcome; answers whether it was the last that the call waited for, which is then to be told. @internal */
export function takeOutcome(call: PublishCall, index: number, outcome: PublishOutcome): boolean {
  call.outcomes[index] = outcome;
  if (--call.left > 0 || call.over) return false;
  call.over = true;
  return true;
}

/**
 * Has each message of a call queued; one for which `add` throws is refused for good, by an error that names the `owner`. Where none is
 * left to wait for, the call is answered.
 * @internal
 */
export function enqueueCall(
  owner: string,
  call: PublishCall,
  messages: readonly Message[],
  add: (message: Message, index: number) => void,
): void {
  messages.forEach((message, index) => {
    try {
      add(message, index);
    } catch (error) {
      call.outcomes[index] = refusedFor(owner, error);
      call.left--;
    }
  });
  if (call.left > 0 || call.over) return;
  call.over = true;
  call.done(call.outcomes);
}

/**
 * The outcome of a message over which an error was thrown: one of ours as it is. Any other comes from the message itself, of which a getter
 * throws, or which is a Proxy or nothing at all: then the error is one of ours, and what was thrown is its cause.
 * @internal
 */
export function refusedFor(owner: string, error: unknown): PublishOutcome {
  if (isSluiceError(error)) return { status: 'permanent', error };
  const text = `${owner}: the message cannot be read: ${nameOf(error)}. Hand over an object with a value of bytes, text or null.`;
  return { status: 'permanent', error: new SluiceError('publish-failed', text, { cause: error }) };
}
