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
import { briefError } from '../core/brief-error.js';
import { isSluiceError, SluiceError } from '../core/errors.js';
import type { Outage } from '../core/outage.js';
import type { Publisher, PublisherConnection, PublishOutcome } from '../core/publisher.js';
import type { Session } from '../core/session.js';

/** A publisher's connection for as long as an operator is subscribed: made again, with backoff, where it breaks. @internal */
export interface PublisherLink<M> {
  /** Publishes over the connection; waits for the first one, errors where there is none. */
  publish(messages: readonly M[]): Observable<readonly PublishOutcome[]>;
  /** Names the source that is to hear of it where no connection can be had: that may have been so before anything came of it. */
  meet(session: Session): void;
  close(): void;
}

const WAIT = { initialMs: 100, maxMs: 30_000 } as const;

/** Connects at once; `onOpen` hears of each connection that is made, `outage` that none can be had. @internal */
export function linkPublisher<M>(
  publisher: Publisher<M>,
  onOpen: () => void = () => undefined,
  outage: Outage | null = null,
): PublisherLink<M> {
  const backoff = exponential(WAIT);
  // Which connection there is, or why there is none; neither while the first is being made.
  let state: { readonly connection: PublisherConnection<M> } | { readonly error: unknown } | null = null;
  const changes = new Subject<void>();
  let session: Session | null = null;

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
          outage?.out(session, noConnection(error));
          return timer(backoff(failures));
        },
        resetOnSuccess: true,
      }),
    )
    .subscribe({
      next: (connection) => {
        become({ connection });
        outage?.over();
        onOpen();
      },
      error: (error: unknown) => become({ error }),
    });

  const publishNow = (messages: readonly M[]): ObservableInput<readonly PublishOutcome[]> => {
    if (state !== null && 'connection' in state) return state.connection.publish(messages);
    throw noConnection(state?.error);
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
    meet: (met) => {
      session = met;
      if (state !== null && 'error' in state) outage?.out(met, noConnection(state.error));
    },
    close: () => {
      connecting.unsubscribe();
      if (state === null) become({ error: new SluiceError('publish-failed', 'The pipeline ended.') });
    },
  };
}

// The reader of a warning sees no `cause`, so the message names it: an error of ours says what is wrong, and what to do.
function noConnection(cause: unknown): SluiceError {
  const text = isSluiceError(cause) ? cause.message : `No connection: ${briefError(cause)}.`;
  return new SluiceError('publish-failed', text, { cause });
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
