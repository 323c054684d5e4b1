import { isSluiceError, nameOf, SluiceError, type SluiceErrorCode } from '../../core/errors.js';

export const OWNER = 'fromPubSub';

/** The codes of gRPC. */
const INVALID_ARGUMENT = 3;
const NOT_FOUND = 5;
const PERMISSION_DENIED = 7;
const FAILED_PRECONDITION = 9;
const OUT_OF_RANGE = 11;
const UNIMPLEMENTED = 12;
const UNAUTHENTICATED = 16;

const NAMES: Readonly<Record<number, string>> = {
  1: 'CANCELLED',
  2: 'UNKNOWN',
  [INVALID_ARGUMENT]: 'INVALID_ARGUMENT',
  4: 'DEADLINE_EXCEEDED',
  [NOT_FOUND]: 'NOT_FOUND',
  [PERMISSION_DENIED]: 'PERMISSION_DENIED',
  8: 'RESOURCE_EXHAUSTED',
  [FAILED_PRECONDITION]: 'FAILED_PRECONDITION',
  10: 'ABORTED',
  [OUT_OF_RANGE]: 'OUT_OF_RANGE',
  [UNIMPLEMENTED]: 'UNIMPLEMENTED',
  13: 'INTERNAL',
  14: 'UNAVAILABLE',
  15: 'DATA_LOSS',
  [UNAUTHENTICATED]: 'UNAUTHENTICATED',
};

const CODES: Readonly<Record<number, SluiceErrorCode>> = {
  [INVALID_ARGUMENT]: 'source-failed',
  [NOT_FOUND]: 'unknown-topic',
  [PERMISSION_DENIED]: 'not-authorized',
  [FAILED_PRECONDITION]: 'source-failed',
  [OUT_OF_RANGE]: 'source-failed',
  [UNIMPLEMENTED]: 'source-failed',
  [UNAUTHENTICATED]: 'authentication-failed',
};

const WHAT_NEXT: Partial<Record<SluiceErrorCode, string>> = {
  'authentication-failed': 'Look at the credentials of the PubSub client.',
  'not-authorized': "The client's identity needs the role roles/pubsub.subscriber on the subscription.",
  'unknown-topic': 'There is no such subscription in the project, or it was deleted. Nothing here makes subscriptions.',
  'connection-failed':
    'Pub/Sub could not be reached, or did not answer. Look at the endpoint and network of the client.',
};

/** The code that gRPC gave, or `null` where no service answered. @internal */
export function grpcCodeOf(error: unknown): number | null {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'number' && code > 0 && code <= UNAUTHENTICATED ? code : null;
}

/** Whether the same may go well later. @internal */
export function isMendable(error: unknown): boolean {
  return errorCodeOf(error) === null && !isSluiceError(error);
}

/** What went wrong with a subscription as a typed error; what the client says of it is the `cause`. @internal */
export function pubsubSourceError(
  subscription: string,
  error: unknown,
  otherwise: SluiceErrorCode = 'source-failed',
): SluiceError {
  if (isSluiceError(error)) return error;
  const code = errorCodeOf(error) ?? otherwise;
  const grpc = grpcCodeOf(error);
  const what = grpc === null ? nameOf(error) : `Pub/Sub says ${NAMES[grpc]}`;
  return failure(code, subscription, `${what}. ${WHAT_NEXT[code] ?? 'The cause says more.'}`, error);
}

/** @internal */
export function clientClosed(subscription: string): SluiceError {
  return failure('source-failed', subscription, 'the PubSub client was closed. End the pipeline before its client.');
}

/** @internal */
export function needsStreaming(subscription: string): SluiceError {
  const text = "it delivers exactly once, which only streams do. Leave out mode: 'pull'.";
  return failure('unsupported', subscription, text);
}

/** @internal */
export function cannotBeRead(subscription: string, why: string): SluiceError {
  return failure('source-failed', subscription, why);
}

function failure(code: SluiceErrorCode, subscription: string, text: string, cause?: unknown): SluiceError {
  const details = { owner: OWNER, subscription };
  const options = cause === undefined ? { details } : { cause, details };
  return new SluiceError(code, `${OWNER} (subscription ${subscription}): ${text}`, options);
}

function errorCodeOf(error: unknown): SluiceErrorCode | null {
  const code = grpcCodeOf(error);
  if (code !== null) return CODES[code] ?? null;
  // google-auth-library has no codes for these.
  const isAuth = error instanceof Error && /default credentials|invalid_grant|invalid_client/.test(error.message);
  return isAuth ? 'authentication-failed' : null;
}
