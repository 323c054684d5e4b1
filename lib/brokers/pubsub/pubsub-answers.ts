/** The part of an interceptor's call options of grpc-js that is looked at. */
interface CallOptionsLike {
  readonly method_definition?: { readonly path?: string };
}

interface CallLike {
  start(metadata: unknown, listener?: Partial<ListenerLike>): void;
}

interface ListenerLike {
  onReceiveMetadata(metadata: unknown): void;
  onReceiveMessage(message: unknown): void;
  onReceiveStatus(status: StatusLike): void;
}

interface StatusLike {
  readonly code: number;
  readonly metadata?: { get(name: string): readonly unknown[] };
}

/** Passes the calls of a stream's acks and leases through, as grpc-js has its interceptors. @internal */
export type AnswersInterceptor = (options: CallOptionsLike, next: (options: CallOptionsLike) => CallLike) => CallLike;

/** With exactly-once delivery the service says here which ids it refused. */
const DETAILS = 'grpc-status-details-bin';

/** In each reason why it refused an id. */
const REFUSED = '_FAILURE_';

/**
 * Mends what the client makes of answers where delivery is exactly once. Ids that a refusal does not name went well, and count
 * as failed there: a message whose receipt shared a request with a refused one was dropped, and held back until its lease ran
 * out. And a receipt that is answered before an earlier one has its message overtake that of the earlier.
 * @internal
 */
export function createAnswers(): AnswersInterceptor {
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
    const isLease = options.method_definition?.path?.endsWith('/ModifyAckDeadline') === true;
    call.start = (metadata, listener) => {
      const told = isLease ? inOrder() : (tell: () => void) => tell();
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
function namedAlone(status: StatusLike): StatusLike {
  const details = status.metadata?.get(DETAILS) ?? [];
  const names = details.some((detail) => String(detail).includes(REFUSED));
  return names ? { ...status, code: Number.NaN } : status;
}
