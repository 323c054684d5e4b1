import { describe, expect, it } from '@jest/globals';
import kafkajs from 'kafkajs';
import { isFenced, isPassing, kafkaError, typeOf } from '../../../lib/brokers/kafka/kafka-errors.js';
import { SluiceError } from '../../../lib/core/errors.js';
import { kafkaJsError, protocolError } from '../../support/kafka-fake.js';

type KafkaErrorName =
  | 'KafkaJSSASLAuthenticationError'
  | 'KafkaJSNotImplemented'
  | 'KafkaJSGroupCoordinatorNotFound'
  | 'KafkaJSBrokerNotFound';
// Their types leave out what these take.
const {
  KafkaJSSASLAuthenticationError,
  KafkaJSNotImplemented,
  KafkaJSGroupCoordinatorNotFound,
  KafkaJSBrokerNotFound,
} = kafkajs as unknown as Record<KafkaErrorName, new (message: string) => Error>;

/** As kafkajs wraps what its retries could not mend. */
const exceeded = (cause: Error): Error =>
  new kafkajs.KafkaJSNumberOfRetriesExceeded(cause, { retryCount: 5, retryTime: 1_000 });
const connectionError = (): Error =>
  new kafkajs.KafkaJSConnectionError('Connection error: ECONNREFUSED', { code: 'ECONNREFUSED' });

const codeOf = (error: unknown): string => kafkaError('fromKafka', error).code;

describe('a failure of kafkajs', () => {
  it.each([
    ['authentication-failed', false, new KafkaJSSASLAuthenticationError('SASL PLAIN authentication failed')],
    ['authentication-failed', false, protocolError('SASL_AUTHENTICATION_FAILED')],
    ['not-authorized', false, protocolError('TOPIC_AUTHORIZATION_FAILED')],
    ['not-authorized', false, exceeded(protocolError('GROUP_AUTHORIZATION_FAILED'))],
    ['unknown-topic', false, protocolError('UNKNOWN_TOPIC_OR_PARTITION', true)],
    ['unknown-topic', false, exceeded(protocolError('UNKNOWN_TOPIC_OR_PARTITION', true))],
    ['unsupported', false, new KafkaJSNotImplemented('Snappy compression not implemented')],
    ['unsupported', false, kafkaJsError('KafkaJSNonRetriableError', undefined, { cause: new RangeError('stack') })],
    ['connection-failed', true, connectionError()],
    ['connection-failed', true, exceeded(connectionError())],
    ['source-failed', true, kafkaJsError('KafkaJSConnectionClosedError')],
    ['source-failed', true, new kafkajs.KafkaJSRequestTimeoutError('Request timed out', {} as never)],
    ['source-failed', true, new KafkaJSGroupCoordinatorNotFound('Failed to find group coordinator')],
    ['source-failed', true, new KafkaJSBrokerNotFound('Broker not found')],
    ['source-failed', true, protocolError('COORDINATOR_LOAD_IN_PROGRESS', true)],
    ['source-failed', false, protocolError('INCONSISTENT_GROUP_PROTOCOL')],
    ['source-failed', false, new TypeError('x is not a function')],
    ['source-failed', false, undefined],
    ['source-failed', false, 'text'],
  ])('is %s, passing: %s', (code, passing, error) => {
    expect([codeOf(error), isPassing(error)]).toEqual([code, passing]);
  });

  it('is found behind what kafkajs wraps around it', () => {
    expect(codeOf(exceeded(exceeded(connectionError())))).toBe('connection-failed');
    expect(typeOf(exceeded(exceeded(protocolError('MESSAGE_TOO_LARGE'))))).toBe('MESSAGE_TOO_LARGE');
    expect(typeOf(new Error('none'))).toBeNull();
  });

  it('may lead back to itself', () => {
    const first: Error & { cause?: unknown } = kafkaJsError('KafkaJSError', undefined, { retriable: true });
    const second = Object.assign(protocolError('NOT_COORDINATOR_FOR_GROUP'), { cause: first });
    first.cause = second;
    expect([codeOf(first), isPassing(first), isFenced(first), typeOf(first)]).toEqual([
      'source-failed',
      true,
      false,
      'NOT_COORDINATOR_FOR_GROUP',
    ]);
  });

  it.each(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID'])(
    'says by %s that we are fenced',
    (type) => {
      expect(isFenced(exceeded(protocolError(type)))).toBe(true);
      expect(isFenced(protocolError('REBALANCE_IN_PROGRESS'))).toBe(false);
    },
  );

  it('says what, where and what next, with the failure as its cause', () => {
    const cause = exceeded(protocolError('TOPIC_AUTHORIZATION_FAILED'));
    const error = kafkaError('kafkaPublisher', cause, { topic: 'orders' });
    expect(error.message).toBe(
      'kafkaPublisher (topic orders): the broker says TOPIC_AUTHORIZATION_FAILED. The broker refused it for want of an ' +
        'ACL. Grant it to the user of the Kafka client.',
    );
    expect([error.cause, error.details]).toEqual([cause, { owner: 'kafkaPublisher', topic: 'orders' }]);
    expect(kafkaError('fromKafka', connectionError(), { groupId: 'g' }).message).toBe(
      'fromKafka (group g): KafkaJSConnectionError ECONNREFUSED. No broker could be reached. Look at the brokers and ssl ' +
        'settings of the Kafka client.',
    );
  });

  it('shows nothing of what kafkajs says, in which secrets and payloads may stand', () => {
    const cause = exceeded(new KafkaJSSASLAuthenticationError('user kim with password open-sesame'));
    const error = kafkaError('fromKafka', cause, { groupId: 'g' });
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain('open-sesame');
    // Something between client and broker may give any text as its word.
    const odd = exceeded(protocolError('REFUSED for open sesame'));
    expect([kafkaError('fromKafka', odd).message, typeOf(odd)]).toEqual([expect.not.stringContaining('sesame'), null]);
  });

  it('that is ours already stays as it is', () => {
    const error = new SluiceError('twin-consumer', 'no');
    expect(kafkaError('fromKafka', error)).toBe(error);
  });
});
