import {
  defer,
  type Observable,
  retry,
  Subject,
  switchMap,
  take,
  throwIfEmpty,
  timer,
  type ObservableInput,
} from 'rxjs';
import { exponential } from '../core/backoff.js';
import { isSluiceError, nameOf, SluiceError } from '../core/errors.js';
import type { Publisher, PublisherConnection, PublishOutcome } from '../core/publisher.js';

/** A publisher's connection for as long as an operator is subscribed: made again, with backoff, where it breaks. @internal */
export interface PublisherLink<M> {
  /** Publishes over the connection; waits for the first one, errors where there is none. */
  publish(messages: readonly M[]): Observable<readonly PublishOutcome[]>;
  close(): void;
}

const WAIT = { initialMs: 100, maxMs: 30_000 } as const;

/** Connects at once; `onOpen` hears of each connection that is made. @internal */
export function linkPublisher<M>(publisher: Publisher<M>, onOpen: () => void): PublisherLink<M> {
  const backoff = exponential(WAIT);
  // Which connection there is, or why there is none; neither while the first is being made.
  let state: { readonly connection: PublisherConnection<M> } | { readonly error: unknown } | null = null;
  const changes = new Subject<void>();

  const become = (next: NonNullable<typeof state>): void => {
    state = next;
    changes.next();
  };

  const connecting = defer(() => publisher.connect())
    .pipe(
      throwIfEmpty(() => new SluiceError('publish-failed', 'The publisher completed without a connection.')),
      retry({
        delay: (error, failures) => {
          become({ error });
          return timer(backoff(failures));
        },
        resetOnSuccess: true,
      }),
    )
    .subscribe({
      next: (connection) => {
        become({ connection });
        onOpen();
      },
      error: (error: unknown) => become({ error }),
    });

  const publishNow = (messages: readonly M[]): ObservableInput<readonly PublishOutcome[]> => {
    if (state !== null && 'connection' in state) return state.connection.publish(messages);
    // The reader of a warning sees no `cause`, so the message names it.
    throw new SluiceError('publish-failed', `No connection: ${nameOf(state?.error)}`, { cause: state?.error });
  };

  return {
    publish: (messages) =>
      defer(() =>
        state === null
          ? changes.pipe(
              take(1),
              switchMap(() => publishNow(messages)),
            )
          : publishNow(messages),
      ),
    close: () => {
      connecting.unsubscribe();
      if (state === null) become({ error: new SluiceError('publish-failed', 'The pipeline ended.') });
    },
  };
}

/** It is said of a topic, and of none of its messages and no other topic. @internal */
export function isOfTopic(error: unknown): boolean {
  if (!isSluiceError(error)) return false;
  const { code, cause } = error;
  return ['unknown-topic', 'not-authorized', 'invalid-options'].includes(code) || isOfTopic(cause);
}

/** @internal */
export function isPublisher(value: unknown): boolean {
  return typeof value === 'object' && value !== null && typeof (value as Publisher).connect === 'function';
}
