import type { Observable, ObservableInput } from 'rxjs';
import type { Message } from './message.js';
import type { Position } from './position.js';

/**
 * What became of one message: `ok`; `transient`: not published, worth trying again; `permanent`: refused for good.
 * @public
 */
export type PublishOutcome =
  | { readonly status: 'ok'; readonly position?: Position }
  | { readonly status: 'transient' | 'permanent'; readonly error: unknown };

/** An open connection to publish over. @public */
export interface PublisherConnection<M = Message> {
  /**
   * Publishes messages in their order and gives one outcome a message, in the same order, as one value. An error of the
   * whole call means that the publisher is out (`unavailable`): nothing is known of any message. Bytes are not copied: until
   * the outcome is there they are the publisher's.
   */
  publish(messages: readonly M[]): ObservableInput<readonly PublishOutcome[]>;
}

/**
 * Where messages go. Cold, as a source is: nothing is open before somebody connects.
 * @public
 */
export interface Publisher<M = Message> {
  /**
   * Emits one open connection, shared by all who hold it, and stays open until the last lets go; then it flushes and
   * closes. It errors where no connection can be had, and with `unknown-topic` where the broker can be asked for the topic and does
   * not have it: a pipeline connects as it is subscribed, so a mistyped name is told before the first message needs it. That the
   * right to ask is missing is no error, and to ask makes no topic.
   */
  connect(): Observable<PublisherConnection<M>>;
}
