/** An error as the SDK makes it: of the service by `name`, of the network by `code`. */
export interface SdkErrorShape {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
}

/** Those that the model of the service has for the operations used here; the SDK adds their `__type`. */
const MODELLED: ReadonlySet<string> = new Set([
  'AccessDeniedException',
  'ExpiredIteratorException',
  'ExpiredNextTokenException',
  'InternalFailureException',
  'InvalidArgumentException',
  'KMSAccessDeniedException',
  'KMSDisabledException',
  'KMSInvalidStateException',
  'KMSNotFoundException',
  'KMSOptInRequired',
  'KMSThrottlingException',
  'LimitExceededException',
  'ProvisionedThroughputExceededException',
  'ResourceInUseException',
  'ResourceNotFoundException',
  'ValidationException',
]);

/** What the SDK says without having asked the service. */
const LOCAL: ReadonlySet<string> = new Set(['AbortError', 'CredentialsProviderError']);

const TIMED_OUT: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT']);

const ATTEMPTS = { attempts: 1, totalRetryDelay: 0 };

/** An error as the SDK makes it with `maxAttempts` 1, property by property; only its class is a plain Error. */
export function sdkError({ name, code, message }: SdkErrorShape): Error {
  if (code !== undefined) return networkError(code, name, message);
  if (name === undefined) throw new Error('an error of the SDK has a name or a code');
  const error = new Error(message ?? name);
  if (LOCAL.has(name)) return Object.assign(error, { name });
  const ofServer = /^(Internal|ServiceUnavailable)/.test(name);
  const statusCode = ofServer ? 500 : 400;
  const requestId = '00000000-0000-0000-0000-000000000000';
  const answered = { httpStatusCode: statusCode, requestId, extendedRequestId: undefined, cfId: undefined };
  Object.defineProperty(error, '$response', { value: { statusCode, headers: {}, body: undefined } });
  Object.defineProperty(error, 'message', { enumerable: true });
  return Object.assign(error, {
    name,
    $fault: ofServer ? 'server' : 'client',
    $retryable: undefined,
    $metadata: { ...answered, ...ATTEMPTS },
    ...(MODELLED.has(name) ? { __type: name } : {}),
  });
}

function networkError(code: string, name = TIMED_OUT.has(code) ? 'TimeoutError' : undefined, message?: string): Error {
  const error = new Error(message ?? `the network says ${code}`);
  return Object.assign(error, { code, ...(name === undefined ? {} : { name }), $metadata: { ...ATTEMPTS } });
}

export function invalidArgument(message: string): Error {
  return sdkError({ name: 'InvalidArgumentException', message });
}

export function invalidValue(member: string, value: string, constraint: string): Error {
  const message = `1 validation error detected: Value '${value}' at '${member}' failed to satisfy constraint: ${constraint}`;
  return sdkError({ name: 'ValidationException', message });
}

export function noStream(name: string): Error {
  return sdkError({
    name: 'ResourceNotFoundException',
    message: `Stream ${name} under account 000000000000 not found.`,
  });
}

export function noShard(stream: string, shard: string): Error {
  return sdkError({
    name: 'ResourceNotFoundException',
    message: `Shard ${shard} in stream ${stream} under account 000000000000 does not exist`,
  });
}
