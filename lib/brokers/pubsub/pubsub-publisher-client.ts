/**
 * The part of the `PubSub` of `@google-cloud/pubsub` 5 or 6 that `pubsubPublisher` uses. Any client of this shape does. It
 * stays yours: project, credentials, endpoint.
 *
 * ```ts
 * const pubsub = new PubSub({ projectId: 'shop' });
 * ```
 * @public
 */
export interface PubSubPublisherClientLike {
  /** Known once a client was given. */
  readonly projectId: string;
  /** `false` once it was closed. */
  readonly isOpen: boolean;
  /** The client of the service itself, a `v1.PublisherClient`, with the project and the credentials of this one. */
  getClientAsync_(config: { client: 'PublisherClient' }): Promise<unknown>;
}

/**
 * The members of `v1.PublisherClient` that are used: they take a batch as it is. What stands above them copies each message,
 * and rewrites texts in it (decision 0030).
 * @internal
 */
export interface PubSubServiceLike {
  /** Fails where there are no credentials; without it the first call would, and as an unhandled rejection. */
  initialize(): Promise<unknown>;
  getTopic(request: { topic: string }, options: PubSubCallOptions): Promise<unknown>;
  publish(
    request: { topic: string; messages: readonly PubSubMessageLike[] },
    options: PubSubCallOptions,
  ): Promise<readonly [{ readonly messageIds?: readonly string[] | null }, ...unknown[]]>;
}

/** How the client makes a call. @internal */
export interface PubSubCallOptions {
  /** In milliseconds; the deadline of the call. */
  timeout: number;
  /** `null`: the client tries once. */
  retry: null;
  /** `false`: the client sends the request as it is; else it mixes the messages of several, and of their keys. */
  isBundling: false;
}

/** A message as the client sends it. @internal */
export interface PubSubMessageLike {
  readonly data?: Uint8Array;
  readonly attributes?: Readonly<Record<string, string>>;
  readonly orderingKey?: string;
}
