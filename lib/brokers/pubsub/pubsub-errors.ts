import { readChain } from '../../core/cause-chain.js';
import { isSluiceError, nameOf, SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import type { FailureClass } from '../../core/failures.js';
import { isError } from '../../core/is-error.js';
import { readSafely } from '../../core/read-safely.js';

/** What the Pub/Sub client says of a failure; all of it optional, since anything may be thrown. */
interface ClientFailure {
  /** A number of gRPC, or Node's own word where no answer came. */
  readonly code?: unknown;
  readonly message?: unknown;
}

// By their numbers.
const GRPC_NAMES = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;

/** A word of gRPC for how a call ended. @internal */
export type GrpcName = (typeof GRPC_NAMES)[number];

const CODES: Partial<Record<GrpcName, SluiceErrorCode>> = {
  CANCELLED: 'connection-failed',
  UNKNOWN: 'connection-failed',
  DEADLINE_EXCEEDED: 'connection-failed',
  NOT_FOUND: 'unknown-topic',
  PERMISSION_DENIED: 'not-authorized',
  ABORTED: 'connection-failed',
  UNIMPLEMENTED: 'unsupported',
  INTERNAL: 'connection-failed',
  UNAVAILABLE: 'connection-failed',
  UNAUTHENTICATED: 'authentication-failed',
};

// Those that the client's own configuration tries again.
const PASSING = new Set<GrpcName>([
  'CANCELLED',
  'UNKNOWN',
  'DEADLINE_EXCEEDED',
  'RESOURCE_EXHAUSTED',
  'ABORTED',
  'INTERNAL',
  'UNAVAILABLE',
]);

// google-auth-library has no codes; these are its words where it finds no credentials or no project.
const NO_CREDENTIALS = /^(Could not load the default credentials|Unable to detect a Project Id|invalid_grant)/;
// A file of credentials that is not there, or not ours to read; or its content was given where its path belongs.
const NO_FILE = new Set<unknown>(['ENOENT', 'EACCES', 'EISDIR', 'ENAMETOOLONG']);

/** A failure of the Pub/Sub client as a typed error; what it says of itself is the `cause`. @internal */
export function pubsubError(
  owner: string,
  error: unknown,
  { otherwise = 'source-failed', ...details }: PubSubErrorDetails,
): SluiceError {
  if (isSluiceError(error)) return error;
  const code = codeOf(error) ?? otherwise;
  const where = details.subscription === undefined ? `topic ${details.topic}` : `subscription ${details.subscription}`;
  return new SluiceError(code, `${owner} (${where}): ${tellOf(error)}. ${whatNext(code, error, details)}`, {
    cause: error,
    details: { owner, ...details },
  });
}

/** What the call was about: a topic or a subscription, by its name. @internal */
export type PubSubErrorDetails = (
  | { readonly topic: string; readonly subscription?: undefined }
  | { readonly subscription: string; readonly topic?: undefined }
) & {
  /** The code where none fits better. Default: `'source-failed'`. */
  readonly otherwise?: SluiceErrorCode;
};

/** The code of gRPC in an error or in the nearest of its causes, or `null` where the service did not answer. @internal */
export function grpcCodeOf(error: unknown): number | null {
  for (const { code } of chainOf(error)) if (typeof code === 'number' && code > 0 && code in GRPC_NAMES) return code;
  return null;
}

/** The same as the word of gRPC. @internal */
export function grpcNameOf(error: unknown): GrpcName | null {
  return GRPC_NAMES[grpcCodeOf(error) ?? -1] ?? null;
}

/** Whether the same call would end the same way until somebody does something about it. @internal */
export function isFatalCode(code: number): boolean {
  const name = GRPC_NAMES[code];
  return name === undefined || !PASSING.has(name);
}

/**
 * What a failed call means for what was in it: `permanent`: Pub/Sub will never take the request as it is; `transient`: too
 * much at once, nothing was done; `unavailable`: the service, the topic or the right to it is out. @internal
 */
export function failureOfCall(error: unknown): FailureClass {
  const name = grpcNameOf(error);
  if (name === 'INVALID_ARGUMENT' || name === 'OUT_OF_RANGE') return 'permanent';
  return name === 'RESOURCE_EXHAUSTED' ? 'transient' : 'unavailable';
}

/** What can be told of it: the word of gRPC, never the service's message, which may quote what was sent. @internal */
export function tellOf(error: unknown): string {
  const name = grpcNameOf(error);
  if (name !== null) return `Pub/Sub says ${name} (${grpcCodeOf(error)})`;
  const word = ackWordOf(error);
  return word === null ? nameOf(error) : `Pub/Sub refused an ack: ${word}`;
}

/** The client's word for an ack that was refused where delivery is exactly once; `null` for all other errors. @internal */
export function ackWordOf(error: unknown): string | null {
  const word = isError(error) ? readSafely(error, 'errorCode') : undefined;
  return typeof word === 'string' && /^[A-Z_]{1,40}$/.test(word) ? word : null;
}

function codeOf(error: unknown): SluiceErrorCode | null {
  const name = grpcNameOf(error);
  if (name !== null) return CODES[name] ?? null;
  const chain = chainOf(error);
  if (chain.some(isOfCredentials)) return 'authentication-failed';
  return chain.some(({ code }) => isOfNetwork(code)) ? 'connection-failed' : null;
}

function isOfCredentials({ code, message }: ClientFailure): boolean {
  return NO_FILE.has(code) || (typeof message === 'string' && NO_CREDENTIALS.test(message));
}

function isOfNetwork(code: unknown): boolean {
  return typeof code === 'string' && /^(E[A-Z]+|EAI_[A-Z]+|ERR_(HTTP2|SSL|TLS)_\w+)$/.test(code);
}

function whatNext(code: SluiceErrorCode, error: unknown, { subscription }: PubSubErrorDetails): string {
  if (code === 'unknown-topic') {
    return subscription === undefined
      ? 'There is no such topic in the project of the PubSub object, or it was deleted. Nothing here makes topics.'
      : 'There is no such subscription in the project of the PubSub object, or it was deleted. Nothing here makes them.';
  }
  if (code === 'not-authorized') {
    const role = subscription === undefined ? 'roles/pubsub.publisher' : 'roles/pubsub.subscriber';
    return `Look at the roles of the client's identity, such as ${role}, and at the KMS key of the topic.`;
  }
  if (code === 'authentication-failed' && chainOf(error).some(({ code }) => NO_FILE.has(code))) {
    return (
      'The file of credentials of the PubSub object cannot be read; the cause names it. Look at keyFilename and at ' +
      'GOOGLE_APPLICATION_CREDENTIALS: both take the path of a file, not what is in it.'
    );
  }
  if (code === 'authentication-failed') {
    return 'The PubSub object has no credentials, or Google refused them. Look at its credentials and project.';
  }
  if (code === 'connection-failed') {
    return 'Pub/Sub could not be reached, or did not answer. Look at the endpoint of the PubSub object and the network.';
  }
  if (grpcNameOf(error) === 'RESOURCE_EXHAUSTED') return 'Look at the quotas of the project.';
  return 'The cause says more.';
}

function chainOf(error: unknown): readonly ClientFailure[] {
  return readChain(error, ['code', 'message']);
}
