import { isLeaseCall, says, type PubSubCallStatus, type PubSubInterceptor } from './pubsub-interceptor.js';

/** In each reason why an id was refused. */
const REFUSED = '_FAILURE_';

/**
 * Mends what the client makes of answers where delivery is exactly once. Ids that a refusal does not name went well, and count
 * as failed there: a message whose receipt shared a request with a refused one was dropped, and held back until its lease ran
 * out. And a receipt that is answered before an earlier one has its message overtake that of the earlier.
 * @internal
 */
export function createAnswers(): PubSubInterceptor {
  // Leases in the order of their requests; what is here has been answered.
  const leases: { tell: (() => void) | null }[] = [];

  const inOrder = (): ((tell: () => void) => void) => {
    const place: (typeof leases)[number] = { tell: null };
    leases.push(place);
    return (tell) => {
      place.tell = tell;
      while (leases[0]?.tell) leases.shift()?.tell?.();
    };
  };

  return (options, next) => {
    const call = next(options);
    const start = call.start.bind(call);
    call.start = (metadata, listener) => {
      const told = isLeaseCall(options) ? inOrder() : (tell: () => void) => tell();
      start(metadata, {
        onReceiveMetadata: (received) => listener?.onReceiveMetadata?.(received),
        onReceiveMessage: (message) => listener?.onReceiveMessage?.(message),
        onReceiveStatus: (status) => told(() => listener?.onReceiveStatus?.(namedAlone(status))),
      });
    };
    return call;
  };
}

// Without a code of its own the client takes the ids that are not named for what they are.
function namedAlone(status: PubSubCallStatus): PubSubCallStatus {
  return says(status, REFUSED) ? { ...status, code: Number.NaN } : status;
}
