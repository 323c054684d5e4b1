import { readChain } from '../../core/cause-chain.js';
import { isSluiceError, nameOf, SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import { safeWord } from '../../core/safe-word.js';
import { CALL_TIMED_OUT } from './kinesis-call.js';

/** The service knows no such thing, or none any more. @internal */
export const GONE = 'ResourceNotFoundException';
/** The service does not take what it was asked with. @internal */
export const INVALID = 'InvalidArgumentException';
/** It is held by another, or not there yet. @internal */
export const IN_USE = 'ResourceInUseException';

/** What a subscription fails with that ends again and again without an event. @internal */
export const NOTHING_SENT = 'RxsluiceNothingSent';

/** What the AWS SDK says of a failure; all of it optional, since anything may be thrown. */
interface AwsFailure {
  readonly name?: string;
  /** Node's own word, where no answer came. */
  readonly code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $retryable?: { readonly throttling?: boolean };
}

const CODES: Readonly<Record<string, SluiceErrorCode>> = {
  [GONE]: 'unknown-topic',
  AccessDenied: 'not-authorized',
  AccessDeniedException: 'not-authorized',
  NotAuthorized: 'not-authorized',
  OptInRequired: 'not-authorized',
  UnauthorizedOperation: 'not-authorized',
  KMSAccessDeniedException: 'not-authorized',
  KMSDisabledException: 'not-authorized',
  KMSInvalidStateException: 'not-authorized',
  KMSNotFoundException: 'not-authorized',
  KMSOptInRequired: 'not-authorized',
  AuthFailure: 'authentication-failed',
  CredentialsProviderError: 'authentication-failed',
  ExpiredToken: 'authentication-failed',
  ExpiredTokenException: 'authentication-failed',
  IncompleteSignature: 'authentication-failed',
  IncompleteSignatureException: 'authentication-failed',
  InvalidClientTokenId: 'authentication-failed',
  InvalidSignatureException: 'authentication-failed',
  MissingAuthenticationToken: 'authentication-failed',
  MissingAuthenticationTokenException: 'authentication-failed',
  RequestExpired: 'authentication-failed',
  SignatureDoesNotMatch: 'authentication-failed',
  TokenProviderError: 'authentication-failed',
  UnrecognizedClientException: 'authentication-failed',
  AbortError: 'connection-failed',
  TimeoutError: 'connection-failed',
  InternalFailure: 'connection-failed',
  InternalFailureException: 'connection-failed',
  ServiceUnavailable: 'connection-failed',
  ServiceUnavailableException: 'connection-failed',
  [CALL_TIMED_OUT]: 'connection-failed',
  [NOTHING_SENT]: 'connection-failed',
};

// Of the SDK's own list, those that Kinesis, its KMS keys and its front door give.
const THROTTLING = new Set([
  'KMSThrottlingException',
  'LimitExceededException',
  'ProvisionedThroughputExceededException',
  'RequestLimitExceeded',
  'RequestThrottled',
  'RequestThrottledException',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'ThrottledException',
  'TooManyRequestsException',
]);

const REFUSALS = new Set([INVALID, 'SerializationException', 'ValidationException']);
const TOO_LARGE = 413;

const UNKNOWN_OPERATION = new Set(['UnknownOperation', 'UnknownOperationException', 'UnsupportedOperationException']);
// Not implemented, and HTTP version not supported.
const NOT_IMPLEMENTED = new Set([501, 505]);

const WHAT_NEXT: Partial<Record<SluiceErrorCode, string>> = {
  'authentication-failed':
    'AWS refused the credentials of the Kinesis client, or the client has none. Look at its credentials and region.',
  'not-authorized':
    'AWS refused it for want of a permission, or the KMS key of the stream cannot be used. Look at the policy of the ' +
    "client's identity.",
  'unknown-topic':
    'There is no such stream in the region and account of the Kinesis client, or it is being made or deleted. Nothing ' +
    'here makes streams.',
  'connection-failed':
    'Kinesis could not be reached, or did not answer. Look at the region, endpoint and request handler of the client.',
};

/** A failure of the Kinesis client as a typed error; what it says of itself is the `cause`. @internal */
export function kinesisError(
  owner: string,
  error: unknown,
  { otherwise = 'source-failed', ...details }: KinesisErrorDetails,
): SluiceError {
  if (isSluiceError(error)) return error;
  const code = codeOf(error) ?? otherwise;
  const next = WHAT_NEXT[code] ?? 'The cause says more.';
  return new SluiceError(code, `${owner} (stream ${details.stream}): ${tellOf(error)}. ${next}`, {
    cause: error,
    details: { owner, ...details },
  });
}

/** @internal */
export interface KinesisErrorDetails extends Readonly<Record<string, unknown>> {
  readonly stream: string;
  /** The code where none fits better. Default: `'source-failed'`. */
  readonly otherwise?: SluiceErrorCode;
}

/** Too much at once, whoever says so: nothing was done, and the same may pass later. @internal */
export function isThrottled(error: unknown): boolean {
  return chainOf(error).some(({ name = '', $retryable }) => THROTTLING.has(name) || $retryable?.throttling === true);
}

/** Whether it is the failure of that name. @internal */
export function isNamed(error: unknown, given: string): boolean {
  return chainOf(error).some(({ name }) => name === given);
}

/** Whoever answers does not know the operation. @internal */
export function isUnknownOperation(error: unknown): boolean {
  return chainOf(error).some(
    ({ name = '', $metadata }) => UNKNOWN_OPERATION.has(name) || NOT_IMPLEMENTED.has($metadata?.httpStatusCode ?? 0),
  );
}

/** The client's identity lacks a permission. @internal */
export function isDenied(error: unknown): boolean {
  return codeOf(error) === 'not-authorized';
}

/** The service's word for what it will never take. @internal */
export function isRefusalName(name: string | undefined): name is string {
  return name !== undefined && REFUSALS.has(name);
}

/** Kinesis will never take the request as it is. @internal */
export function isRefusal(error: unknown): boolean {
  return chainOf(error).some(
    ({ name = '', $metadata }) => isRefusalName(name) || $metadata?.httpStatusCode === TOO_LARGE,
  );
}

function codeOf(error: unknown): SluiceErrorCode | null {
  const chain = chainOf(error);
  for (const { name = '' } of chain) {
    const code = CODES[name];
    if (code !== undefined) return code;
  }
  const isOut = chain.some(({ code, $metadata }) => isOfNetwork(code) || ($metadata?.httpStatusCode ?? 0) >= 500);
  return isOut ? 'connection-failed' : null;
}

function isOfNetwork(code: unknown): boolean {
  return typeof code === 'string' && /^(E[A-Z]+|EAI_[A-Z]+|ERR_(HTTP2|SSL|TLS)_\w+|UND_ERR_\w+)$/.test(code);
}

function tellOf(error: unknown): string {
  const chain = chainOf(error);
  if (chain.some(({ name }) => name === CALL_TIMED_OUT)) return 'no answer came in time';
  if (chain.some(({ name }) => name === NOTHING_SENT)) return 'subscriptions to a shard end before anything is sent';
  const answered = chain.find(({ $metadata }) => $metadata?.httpStatusCode !== undefined);
  return answered === undefined ? nameOf(error) : `AWS says ${wordOf(answered)}`;
}

/** The service's own word, such as `AccessDeniedException (HTTP 400)`; never its message, which may quote a key. */
function wordOf({ name = 'nothing', $metadata }: AwsFailure): string {
  return `${safeWord(name) ?? 'something'} (HTTP ${Number($metadata?.httpStatusCode)})`;
}

function chainOf(error: unknown): readonly AwsFailure[] {
  return readChain(error, ['name', 'code', '$metadata', '$retryable']) as readonly AwsFailure[];
}
