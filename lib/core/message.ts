/** One header's value as brokers carry it: bytes, or text that the broker encodes as UTF-8. @public */
export type HeaderValue = Uint8Array | string;

/** Headers by name; a repeated header is a list, in the order it was sent. @public */
export type MessageHeaders = Readonly<Record<string, HeaderValue | readonly HeaderValue[] | undefined>>;

/**
 * Bytes as they are, text (encoded as UTF-8 by the broker; half of a surrogate pair becomes U+FFFD), or `null`: a tombstone.
 * @public
 */
export type MessageBytes = Uint8Array | string | null;

/**
 * What a publisher takes: a message that has no position yet.
 * @public
 */
export interface Message {
  /** The payload; `null` is a tombstone. */
  readonly value: MessageBytes;
  /** Decides the partition unless `partition` is given; messages of one key keep their order. Default: none. */
  readonly key?: MessageBytes;
  /** Default: none. */
  readonly headers?: MessageHeaders;
  /** An explicit partition; one that does not exist is refused as permanent. Default: chosen by the key. */
  readonly partition?: number;
  /** Milliseconds since 1970. Default: chosen by the broker. */
  readonly timestamp?: number;
}
