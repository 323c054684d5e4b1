import { causeChain, readChain } from '../../core/cause-chain.js';
import { isSluiceError, nameOf, SluiceError, type SluiceErrorCode } from '../../core/errors.js';
import { safeWord } from '../../core/safe-word.js';

/** What kafkajs says of a failure; all of it optional, since anything may be thrown. */
interface KafkaFailure {
  readonly name?: string;
  readonly type?: string;
  readonly retriable?: boolean;
}

// kafkajs marks these as final although they pass.
const PASSING = new Set([
  'KafkaJSNumberOfRetriesExceeded',
  'KafkaJSGroupCoordinatorNotFound',
  'KafkaJSBrokerNotFound',
  'KafkaJSNoBrokerAvailableError',
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
  'KafkaJSLockTimeout',
]);

const CODES: Readonly<Record<string, SluiceErrorCode>> = {
  KafkaJSSASLAuthenticationError: 'authentication-failed',
  SASL_AUTHENTICATION_FAILED: 'authentication-failed',
  ILLEGAL_SASL_STATE: 'authentication-failed',
  UNSUPPORTED_SASL_MECHANISM: 'authentication-failed',
  TOPIC_AUTHORIZATION_FAILED: 'not-authorized',
  GROUP_AUTHORIZATION_FAILED: 'not-authorized',
  CLUSTER_AUTHORIZATION_FAILED: 'not-authorized',
  TRANSACTIONAL_ID_AUTHORIZATION_FAILED: 'not-authorized',
  UNKNOWN_TOPIC_OR_PARTITION: 'unknown-topic',
  INVALID_TOPIC_EXCEPTION: 'unknown-topic',
  KafkaJSNotImplemented: 'unsupported',
  // kafkajs decodes a record batch by the arguments of one call, which V8 bounds.
  RangeError: 'unsupported',
};

const WHAT_NEXT: Partial<Record<SluiceErrorCode, string>> = {
  'authentication-failed': 'The broker refused the credentials of the Kafka client. Look at its sasl and ssl settings.',
  'not-authorized': 'The broker refused it for want of an ACL. Grant it to the user of the Kafka client.',
  'unknown-topic': 'The broker does not have the topic. Create it first; nothing here creates topics.',
  unsupported:
    'kafkajs cannot read this topic: most often it is compressed by a codec that is not registered. Register one in ' +
    'CompressionCodecs of kafkajs (kafkajs-snappy, kafkajs-lz4, @kafkajs/zstd). A RangeError means a record batch of more ' +
    'than some 125,000 records: have its producer send smaller ones.',
  'connection-failed': 'No broker could be reached. Look at the brokers and ssl settings of the Kafka client.',
};

/** A failure of kafkajs as a typed error; what it says of itself is the `cause`. @internal */
export function kafkaError(
  owner: string,
  error: unknown,
  details: Readonly<Record<string, unknown>> = {},
): SluiceError {
  if (isSluiceError(error)) return error;
  const code = codeOf(error);
  const next = WHAT_NEXT[code] ?? 'The cause says more.';
  const { topic, groupId } = details;
  const where =
    typeof topic === 'string' ? ` (topic ${topic})` : typeof groupId === 'string' ? ` (group ${groupId})` : '';
  return new SluiceError(code, `${owner}${where}: ${tellOf(error)}. ${next}`, {
    cause: error,
    details: { owner, ...details },
  });
}

/** A state of ours in which something cannot be done yet, in words: a bare `Error` would be told by its class. @internal */
export function kafkaState(why: string): SluiceError {
  const owner = 'fromKafka';
  return new SluiceError('source-failed', `${owner}: ${why}. It is tried again.`, { details: { owner } });
}

/** Whether trying again can help: connections, coordinators, whatever the broker itself calls retriable. @internal */
export function isPassing(error: unknown): boolean {
  const code = codeOf(error);
  if (code === 'connection-failed') return true;
  if (code !== 'source-failed') return false;
  return chainOf(error).some(({ name, retriable }) => PASSING.has(name ?? '') || retriable === true);
}

/** The broker refuses it for good, and says why. @internal */
export function isFinal(error: unknown): boolean {
  return codeOf(error) === 'not-authorized';
}

/** The broker no longer takes us for a member of this generation: what we hold is somebody else's. @internal */
export function isFenced(error: unknown): boolean {
  return chainOf(error).some(({ type }) => FENCED.has(type ?? ''));
}

/** The group's coordinator was not reached, or is another broker by now. @internal */
export function missesCoordinator(error: unknown): boolean {
  return chainOf(error).some(({ name, type }) => UNREACHED.has(name ?? '') || type === 'NOT_COORDINATOR_FOR_GROUP');
}

const UNREACHED = new Set([
  'KafkaJSBrokerNotFound',
  'KafkaJSConnectionError',
  'KafkaJSConnectionClosedError',
  'KafkaJSRequestTimeoutError',
]);

const FENCED = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID']);

/** The broker's own word for the failure, such as `MESSAGE_TOO_LARGE`. @internal */
export function typeOf(error: unknown): string | null {
  for (const { type } of chainOf(error)) if (safeWord(type) !== undefined) return type as string;
  return null;
}

function codeOf(error: unknown): SluiceErrorCode {
  const chain = chainOf(error);
  for (const { name = '', type = '' } of chain) {
    const code = CODES[type] ?? CODES[name];
    if (code !== undefined) return code;
  }
  return chain.some(({ name }) => name === 'KafkaJSConnectionError') ? 'connection-failed' : 'source-failed';
}

function tellOf(error: unknown): string {
  const type = typeOf(error);
  return type === null ? nameOf(causeChain(error).at(-1) ?? error) : `the broker says ${type}`;
}

function chainOf(error: unknown): readonly KafkaFailure[] {
  return readChain(error, ['name', 'type', 'retriable']) as readonly KafkaFailure[];
}
