import { catchError, concatMap, defer, last, map, of, throwError, timeout, type Observable } from 'rxjs';
import { failureOfCall, grpcCodeOf, isFatalCode, tellOf } from './pubsub-errors.js';
import { refused } from './pubsub-outgoing.js';
import type { PubSubCallOptions, PubSubMessageLike, PubSubServiceLike } from './pubsub-publisher-client.js';

/** What became of one message of a request. @internal */
export type MessageAnswer =
  { readonly status: 'ok'; readonly messageId: string } | { readonly status: 'permanent'; readonly error: unknown };

/** What became of a request. @internal */
export interface Sent {
  /** Of the first messages, in their order. */
  readonly answers: readonly MessageAnswer[];
  /** Why nothing is known of the others; `null` where all are answered. */
  readonly failure: { readonly error: unknown } | null;
}

/** @internal */
export interface SendOptions {
  /** The full name. */
  readonly topic: string;
  readonly requestTimeoutMs: number;
}

// What gRPC calls a deadline that has passed.
const DEADLINE_EXCEEDED = 4;
// For so long a service that cannot be reached may be restarting.
const OUTAGE_MS = 10_000;

/** One call of the service, once, cut off after `timeoutMs`. @internal */
export function callService<R>(timeoutMs: number, call: (options: PubSubCallOptions) => Promise<R>): Observable<R> {
  return defer(() => call({ timeout: timeoutMs, retry: null, isBundling: false })).pipe(
    // The client's own deadline does not begin before it has its credentials and a connection.
    timeout({ first: timeoutMs, with: () => throwError(() => timedOut(timeoutMs)) }),
    last(),
  );
}

/**
 * Sends messages of one key as one request and answers message by message. What is refused as a whole is sent again by
 * halves, one after the other, until the message is found that Pub/Sub will not take. Never errors.
 * @internal
 */
export function sendMessages(
  service: PubSubServiceLike,
  options: SendOptions,
  messages: readonly PubSubMessageLike[],
): Observable<Sent> {
  const { topic, requestTimeoutMs } = options;
  return callService(requestTimeoutMs, (call) => service.publish({ topic, messages }, call)).pipe(
    map(([response]) => {
      const ids = response.messageIds ?? [];
      if (ids.length !== messages.length)
        throw refused(`Pub/Sub gave ${ids.length} ids for ${messages.length} messages`);
      return { answers: ids.map((messageId) => ({ status: 'ok', messageId }) as const), failure: null };
    }),
    catchError((error: unknown): Observable<Sent> => {
      if (failureOfCall(error) !== 'permanent') return of({ answers: [], failure: { error } });
      if (messages.length === 1) {
        const refusal = refused(`Pub/Sub does not take this message: ${tellOf(error)}`, { cause: error });
        return of({ answers: [{ status: 'permanent', error: refusal }], failure: null });
      }
      const half = Math.ceil(messages.length / 2);
      return sendMessages(service, options, messages.slice(0, half)).pipe(
        concatMap((first) =>
          // Behind what may come again nothing of the key may go.
          first.failure !== null
            ? of(first)
            : sendMessages(service, options, messages.slice(half)).pipe(
                map(({ answers, failure }) => ({ answers: [...first.answers, ...answers], failure })),
              ),
        ),
      );
    }),
  );
}

/** For how long a call is tried again that failed so: too much at once may pass, and so may a restart of the service. @internal */
export function patienceMs(error: unknown, retryTimeoutMs: number): number {
  if (failureOfCall(error) === 'transient') return retryTimeoutMs;
  const code = grpcCodeOf(error);
  // What ran into its time-out was waited for already.
  if (code === null || isFatalCode(code) || code === DEADLINE_EXCEEDED) return 0;
  return Math.min(OUTAGE_MS, retryTimeoutMs);
}

function timedOut(timeoutMs: number): Error {
  return Object.assign(new Error(`no answer within ${timeoutMs} ms`), { code: DEADLINE_EXCEEDED });
}
