import { defer, last, switchMap, take, type Observable } from 'rxjs';
import type { Message } from './message.js';
import type { Publisher, PublishOutcome } from './publisher.js';

/**
 * Connects, publishes and closes again: for the occasional message. Emits the outcomes, in the order of the messages,
 * then completes; errors where the publisher is out. Nothing happens before it is subscribed.
 *
 * @example
 * ```ts
 * publish(memoryPublisher(broker, { topic: 'orders' }), [{ key: 'a', value: 'first' }]).subscribe();
 * ```
 * @public
 */
export function publish<M = Message>(
  publisher: Publisher<M>,
  messages: readonly M[],
): Observable<readonly PublishOutcome[]> {
  return defer(() => publisher.connect()).pipe(
    switchMap((connection) => defer(() => connection.publish(messages)).pipe(last())),
    take(1), // last, so that the connection is open for as long as the publish runs
  );
}
