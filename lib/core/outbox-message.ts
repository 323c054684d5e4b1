import type { Message } from './message.js';

/** What the outbox takes: a message, and where it goes. @public */
export interface OutboxMessage extends Message {
  /** The topic that the relay publishes it to: text that is not empty, without NUL and without half of a surrogate pair. */
  readonly topic: string;
}
