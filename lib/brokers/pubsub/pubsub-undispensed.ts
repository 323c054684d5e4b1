import type { PubSubStreamLike } from './pubsub-client.js';

/** Insides of the client, which nobody promises: where they change, what is in them comes again once its lease has run out. */
interface StreamInsides {
  readonly _subscriber?: {
    readonly _inventory?: {
      readonly _messages?: Iterable<UndispensedMessage>;
      readonly size?: number;
      readonly bytes?: number;
      clear?(): unknown;
    };
  };
}

interface UndispensedMessage {
  readonly ackId: string;
  isDispatched?(): boolean;
  nack(): void;
}

/**
 * What the client holds and has handed to nobody. With exactly-once delivery a lease is confirmed before a message is handed out:
 * one that is confirmed only after its stream began to close never is, is extended for as long as the close waits, and is waited
 * for by it.
 * @internal
 */
export function undispensedOf(stream: PubSubStreamLike): readonly UndispensedMessage[] {
  const held = (stream as StreamInsides)._subscriber?._inventory?._messages ?? [];
  return [...held].filter((message) => message.isDispatched?.() === false);
}

/** Has a stream that is closed forget what it holds, and the timer by which that is extended. @internal */
export function forgetHeld(stream: PubSubStreamLike): void {
  (stream as StreamInsides)._subscriber?._inventory?.clear?.();
}

/** The messages of a stream that are not settled yet. @internal */
export interface HeldByStream {
  readonly messages: number;
  readonly bytes: number;
}

/** Counts the messages that came over a subscription object, renewed streams of it included, and are not settled. @internal */
export function heldBy(stream: PubSubStreamLike): HeldByStream {
  const { size = 0, bytes = 0 } = (stream as StreamInsides)._subscriber?._inventory ?? {};
  return { messages: size, bytes };
}
