import { asyncScheduler, Observable } from 'rxjs';
import type { PubSubClientLike } from './pubsub-client.js';

/** A call of gRPC that is under way. */
interface Call {
  cancelWithStatus(status: number, details: string): void;
}

const CANCELLED = 1;

// google-gax would try again by itself, beyond our time-outs.
const NO_RETRY = {
  retryCodes: [],
  backoffSettings: { initialRetryDelayMillis: 0, retryDelayMultiplier: 1, maxRetryDelayMillis: 0 },
};

/** One call of the Subscriber service: cut off after `timeoutMs`, and where nobody waits for its answer any more. @internal */
export function callPubSub<R>(
  pubsub: PubSubClientLike,
  method: string,
  reqOpts: object,
  timeoutMs: number,
): Observable<R> {
  return new Observable<R>((subscriber) => {
    let call: Call | null = null;
    // google-gax hands out nothing to cancel by; the interceptor of the call sees it pass.
    const interceptor = (options: unknown, next: (options: unknown) => Call): Call => {
      call = next(options);
      if (subscriber.closed) asyncScheduler.schedule(cancel);
      return call;
    };
    const cancel = (): void => call?.cancelWithStatus(CANCELLED, 'not wanted any more');
    const gaxOpts = { timeout: timeoutMs, retry: NO_RETRY, otherArgs: { options: { interceptors: [interceptor] } } };
    pubsub.request({ client: 'SubscriberClient', method, reqOpts, gaxOpts }, (error, response) => {
      if (error) {
        subscriber.error(error);
      } else {
        subscriber.next(response as R);
        subscriber.complete();
      }
    });
    return cancel;
  });
}
