/** The part of an interceptor's call options of grpc-js that is looked at. @internal */
export interface PubSubCallOptions {
  readonly method_definition?: { readonly path?: string };
}

/** A call of grpc-js that takes one message. @internal */
export interface PubSubCall {
  start(metadata: unknown, listener?: Partial<PubSubCallListener>): void;
  /** `sendMessage` goes through it. */
  sendMessageWithContext?(context: unknown, message: unknown): void;
  sendMessage?(message: unknown): void;
  halfClose?(): void;
}

/** @internal */
export interface PubSubCallListener {
  onReceiveMetadata(metadata: unknown): void;
  onReceiveMessage(message: unknown): void;
  onReceiveStatus(status: PubSubCallStatus): void;
}

/** How a call ended. @internal */
export interface PubSubCallStatus {
  readonly code: number;
  readonly metadata?: { get(name: string): readonly unknown[] };
}

/** What calls of a stream's acks and leases pass through, as grpc-js has its interceptors. @internal */
export type PubSubInterceptor = (
  options: PubSubCallOptions,
  next: (options: PubSubCallOptions) => PubSubCall,
) => PubSubCall;

/** With exactly-once delivery the service says here which ids it refused, and why. */
const DETAILS = 'grpc-status-details-bin';

/** Whether a refusal says this of an id. @internal */
export function says(status: PubSubCallStatus, what: string): boolean {
  return (status.metadata?.get(DETAILS) ?? []).some((detail) => String(detail).includes(what));
}

/** @internal */
export function isLeaseCall({ method_definition: method }: PubSubCallOptions): boolean {
  return method?.path?.endsWith('/ModifyAckDeadline') === true;
}
