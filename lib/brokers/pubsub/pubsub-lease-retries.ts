import { Subscription } from 'rxjs';
import { exponential, waitOf } from '../../core/backoff.js';
import { environment } from '../../core/environment.js';
import {
  isLeaseCall,
  says,
  type PubSubCallListener,
  type PubSubCallStatus,
  type PubSubInterceptor,
} from './pubsub-interceptor.js';
import { later } from './pubsub-later.js';
import type { PubSubSlowCalls } from './pubsub-slow-calls.js';

/** Tries calls of leases again that failed for a moment, before the client hears of it. @internal */
export interface PubSubLeaseRetries {
  readonly interceptor: PubSubInterceptor;
  /** Tries nothing again any more. */
  end(): void;
}

/** RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNAVAILABLE: what the client tries again, but for a call whose time is over. */
const TRANSIENT_CODES = [8, 10, 13, 14];

/** Of single ids. */
const TRANSIENT = 'TRANSIENT_FAILURE_';

/**
 * With exactly-once delivery the client hands a message out once its receipt is answered. It tries a receipt that failed for a
 * moment again after a second or so, each of a request at a moment of its own: messages of a key come in any order then, and the
 * service refuses their acks. Here the request itself is tried again, and what comes behind it waits.
 * @internal
 */
export function createLeaseRetries(patienceMs: number, slowCalls: PubSubSlowCalls): PubSubLeaseRetries {
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  const waits = new Subscription();

  const interceptor: PubSubInterceptor = (options, next) => {
    const call = next(options);
    if (!isLeaseCall(options)) return call;
    const begunAt = environment.now();
    const answered = slowCalls.begin();
    const start = call.start.bind(call);
    const send = call.sendMessageWithContext?.bind(call);
    let request: unknown;
    let failures = 0;

    const mayPass = (status: PubSubCallStatus): boolean =>
      (TRANSIENT_CODES.includes(status.code) || says(status, TRANSIENT)) &&
      request !== undefined &&
      !waits.closed &&
      environment.now() - begunAt < patienceMs;

    call.sendMessageWithContext = (context, message) => {
      request = message;
      send?.(context, message);
    };
    call.start = (metadata, listener) => {
      const tell = (message: unknown, status: PubSubCallStatus): void => {
        answered();
        listener?.onReceiveMessage?.(message);
        listener?.onReceiveStatus?.(status);
      };
      const tried = (): PubSubCallListener => {
        let answer: unknown = null;
        return {
          onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
          onReceiveMessage: (message) => void (answer = message),
          onReceiveStatus: (status) => {
            if (mayPass(status)) later(waits, waitOf(backoff, ++failures), () => again(status));
            else tell(answer, status);
          },
        };
      };
      const again = (before: PubSubCallStatus): void => {
        try {
          const other = next(options);
          other.start(metadata, tried());
          other.sendMessage?.(request);
          other.halfClose?.();
        } catch {
          // Its channel is closed.
          tell(null, before);
        }
      };
      start(metadata, tried());
    };
    return call;
  };

  return { interceptor, end: () => waits.unsubscribe() };
}
