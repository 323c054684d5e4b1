/**
 * The part of a `Subscription` of `@google-cloud/pubsub` 5 or 6 that this library uses. Any object of this shape does. The client
 * behind it stays yours: project, credentials, endpoint. Its listeners and options are left alone: `fromPubSub` opens
 * subscription objects of its own through `pubsub`.
 *
 * ```ts
 * const subscription = new PubSub().subscription('billing');
 * ```
 * @public
 */
export interface PubSubSubscriptionLike {
  /** `projects/p/subscriptions/s`. */
  readonly name: string;
  /** The client that it was made by. */
  readonly pubsub: PubSubClientLike;
}

/** The part of a `PubSub` of `@google-cloud/pubsub` that `fromPubSub` uses. @public */
export interface PubSubClientLike {
  /** False once the client was closed. */
  readonly isOpen: boolean;
  /** True where it talks to the emulator, which needs some other care. Missing: it does not. */
  readonly isEmulator?: boolean;
  /** Another object for the same subscription, with settings of its own; nothing is opened. */
  subscription(name: string, options: object): PubSubStreamLike;
  /** The client of the service that makes the calls, which gets its credentials before the first of them. Missing: the first call does. */
  getClientAsync_?(config: { client: 'SubscriberClient' }): Promise<unknown>;
  /** One call of the service. */
  request(config: PubSubRequest, callback: (error: Error | null, response?: unknown) => void): void;
}

/** One call of the service, as the client takes it. @public */
export interface PubSubRequest {
  /** The service. */
  readonly client: 'SubscriberClient' | 'PublisherClient';
  /** The call. */
  readonly method: string;
  /** Its input. */
  readonly reqOpts: object;
  /** How it is made: `CallOptions` of google-gax. */
  readonly gaxOpts: object;
}

/** A subscription object that streams: it opens with its first `message` listener. @public */
export interface PubSubStreamLike {
  /** Adds a listener of messages. */
  on(event: 'message', listener: (message: PubSubMessageLike) => void): unknown;
  /** Adds a listener of what ends the stream. */
  on(event: 'error', listener: (error: Error) => void): unknown;
  /** Adds a listener of the end, after which nothing is sent any more. */
  on(event: 'close', listener: () => void): unknown;
  /** Adds a listener of what the client mends, or cannot mend, by itself. */
  on(event: 'debug', listener: (message: { readonly error?: unknown }) => void): unknown;
  /** Replaces settings. */
  setOptions(options: object): void;
  /** Ends the stream, then waits for what is out, as `closeOptions` say. */
  close(): Promise<unknown>;
}

/** A message, as a subscription object emits it. @public */
export interface PubSubMessageLike {
  /** Of the service, unique in the topic and the same for each redelivery. */
  readonly id: string;
  /** Of this delivery of it. */
  readonly ackId: string;
  /** The payload. */
  readonly data: Uint8Array;
  /** As they were published. */
  readonly attributes: Readonly<Record<string, string>>;
  /** Empty or missing where there is none. */
  readonly orderingKey?: string | null;
  /** When the service took it. */
  readonly publishTime: { getTime(): number };
  /** From 1 where the subscription has a dead letter policy, else 0. */
  readonly deliveryAttempt: number;
  /** Whether the service answers acks; the client has it, and does not declare it. Missing: an answer is waited for. */
  readonly isExactlyOnceDelivery?: boolean;
  /** Acks, without an answer. */
  ack(): void;
  /** Acks; resolves with the service's answer where delivery is exactly once, and at once elsewhere. */
  ackWithResponse(): Promise<unknown>;
  /** Gives it back. */
  nack(): void;
}
