import { cutText } from './cut-text.js';
import { isError } from './is-error.js';
import { readSafely } from './read-safely.js';
import { safeWord } from './safe-word.js';

/**
 * What went wrong, as a stable code: codes are API. Each is explained in docs/errors.md.
 * @public
 */
export type SluiceErrorCode =
  /** An option is missing or out of its range. */
  | 'invalid-options'
  /** An operator was given something that is not a delivery. */
  | 'not-a-delivery'
  /** No broker or no database can be reached. */
  | 'connection-failed'
  /** The broker refused the credentials. */
  | 'authentication-failed'
  /** The broker refused an operation for want of a permission. */
  | 'not-authorized'
  /** The broker or its client cannot do what is asked, such as reading a codec that is not registered. */
  | 'unsupported'
  /** The consumer group is read by another subscription over the same client already. */
  | 'twin-consumer'
  /** A topic that the broker does not have. */
  | 'unknown-topic'
  /** The read position is gone: retention passed it, or the topic was made anew (I10). */
  | 'position-lost'
  /** The source cannot go on, and the broker's own error is the `cause`. */
  | 'source-failed'
  /** A foreign operator called itself for each delivery that waited in it, until the call stack was used up. */
  | 'stack-overflow'
  /** The bytes of a message are not what the codec takes. */
  | 'undecodable'
  /** A handler did not end within its `timeoutMs`. */
  | 'handler-timeout'
  /** A publisher refused a message, gave no outcome for it or has no connection; or there was no message to publish. */
  | 'publish-failed'
  /** A dead letter was refused for good and `onUndeliverable` is `'stop'`. */
  | 'undeliverable'
  /** A key function gave something that cannot be a key, or the key of a message cannot be one of the broker's. */
  | 'invalid-key'
  /** A function that must answer at once gave a Promise, or something else that it must not give. */
  | 'invalid-result'
  /** The function of `split` gave something that is not iterable, or a Promise for a part. */
  | 'invalid-parts'
  /** A delivery has more parts than the `maxParts` of `split`. */
  | 'too-many-parts'
  /** A store failed, or answered outside its contract. */
  | 'store-failed'
  /** A table of this library is missing in the database or older than this version; `details.migration` mends it. */
  | 'schema-mismatch'
  /** `emit` was given something that is no message, too many of them, or after the handler had ended. */
  | 'invalid-emit'
  /** The handler of `withOutbox` ended the transaction by itself; or `emit` of a store was given one that is not open. */
  | 'transaction-ended'
  /** Something that is no extensible `Error` was thrown and marked with a failure class; it is the `cause`. */
  | 'failed';

const BRAND = Symbol.for('rxsluice.error');

/** The most UTF-8 that a message takes: names in it may be of any length. */
const MOST_MESSAGE_BYTES = 2_048;
const MOST_BYTES_PER_UNIT = 3;

/**
 * Every error of this library: `code` for programs, `message` for people (what, where, what to do next), `details` as
 * data, `cause` where another error is behind it. Its message, at most 2,048 bytes of UTF-8, and its details carry neither a
 * payload nor a credential nor the text of another error; the `cause` is that error itself and may carry all of these.
 * @public
 */
export class SluiceError extends Error {
  /** Always `SluiceError`. */
  override readonly name = 'SluiceError';
  /** What went wrong: stable, for programs. */
  readonly code: SluiceErrorCode;
  /** What the message names, as data: topic, partition, option, limit, … */
  readonly details: Readonly<Record<string, unknown>>;

  /** @internal */
  constructor(
    code: SluiceErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly details?: Readonly<Record<string, unknown>> } = {},
  ) {
    super(bounded(message), 'cause' in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.details = options.details ?? {};
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** Tells an error of this library, also one of another copy of it, where `instanceof` does not. It never throws. @public */
export function isSluiceError(error: unknown): error is SluiceError {
  return typeof error === 'object' && error !== null && readSafely(error, BRAND) === true;
}

/**
 * Tells of any error as much as can be told without a secret: our own message, that of a system error as we put it, else class
 * and code. Never a text that somebody else made. @internal
 */
export function nameOf(error: unknown): string {
  if (isSluiceError(error)) return String(readSafely(error, 'message'));
  const kind = typeof error;
  if (!isError(error)) return `not an Error (${kind})`;
  const system = systemText(error);
  if (system !== undefined) return system;
  const code = safeWord(readSafely(error, 'code'));
  return code === undefined ? classOf(error) : `${classOf(error)} ${code}`;
}

/**
 * Tells a system error by its parts: "connect ECONNREFUSED 127.0.0.1:5432". Not by its own text: that quotes paths and commands, and
 * where somebody gives the content of a key file in the place of its path, the key. `undefined` for all other errors. @internal
 */
export function systemText(error: Error): string | undefined {
  // "spawn" comes with the command.
  const call = /^[a-z_0-9]{1,32}/i.exec(textOf(error, 'syscall'))?.[0];
  const code = safeWord(readSafely(error, 'code'));
  if (code === undefined) return undefined;
  if (call === undefined) return systemTextOfFirst(error);
  const port = readSafely(error, 'port');
  const address = ADDRESS.exec(textOf(error, 'address'))?.[0] ?? HOST.exec(textOf(error, 'hostname'))?.[0];
  if (address === undefined) return `${call} ${code}`;
  return `${call} ${code} ${address}${typeof port === 'number' ? `:${port}` : ''}`;
}

/** Where Node has tried several addresses of a host, it tells each by an error of its own. */
function systemTextOfFirst(error: Error): string | undefined {
  const errors = readSafely(error, 'errors');
  const first = readSafely(errors, 0);
  return isError(first) && readSafely(first, 'errors') === undefined ? systemText(first) : undefined;
}

// The address of a network, or the path of a socket.
const ADDRESS = /^[\w.:%/-]{1,255}$/;
const HOST = /^[\w.-]{1,255}$/;

function classOf(error: Error): string {
  const ofConstructor = readSafely(readSafely(error, 'constructor'), 'name');
  return safeWord(readSafely(error, 'name')) ?? safeWord(ofConstructor) ?? 'Error';
}

function textOf(error: Error, property: string): string {
  const text = readSafely(error, property);
  return typeof text === 'string' ? text : '';
}

function bounded(message: string): string {
  return message.length * MOST_BYTES_PER_UNIT > MOST_MESSAGE_BYTES ? cutText(message, MOST_MESSAGE_BYTES) : message;
}
