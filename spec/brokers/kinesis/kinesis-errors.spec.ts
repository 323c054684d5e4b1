import { describe, expect, it } from '@jest/globals';
import { TimeoutError } from 'rxjs';
import { isRefusal, isThrottled, kinesisError } from '../../../lib/brokers/kinesis/kinesis-errors.js';
import { SluiceError } from '../../../lib/core/errors.js';
import { sdkError } from '../../support/kinesis-fake-errors.js';
import { httpError } from '../../support/kinesis-put-fake.js';

const codeOf = (error: unknown): string => kinesisError('fromKinesis', error, { stream: 's' }).code;

describe('a failure of the client', () => {
  it.each([
    ['unknown-topic', ['ResourceNotFoundException']],
    [
      'not-authorized',
      ['AccessDeniedException', 'KMSAccessDeniedException', 'KMSDisabledException', 'KMSNotFoundException'],
    ],
    [
      'authentication-failed',
      ['ExpiredTokenException', 'UnrecognizedClientException', 'InvalidSignatureException', 'CredentialsProviderError'],
    ],
    ['connection-failed', ['InternalFailureException', 'ServiceUnavailable', 'TimeoutError', 'AbortError']],
    ['source-failed', ['SomethingNew']],
  ])('is %s by its name', (code, names) => {
    for (const name of names) expect([name, codeOf(sdkError({ name }))]).toEqual([name, code]);
  });

  it.each([
    'ECONNREFUSED',
    'ECONNRESET',
    'ENOTFOUND',
    'EAI_AGAIN',
    'EPIPE',
    'ERR_HTTP2_STREAM_ERROR',
    'ERR_TLS_CERT_ALTNAME_INVALID',
  ])('is connection-failed by %s', (code) => expect(codeOf(sdkError({ code }))).toBe('connection-failed'));

  it('is connection-failed by any answer of HTTP 500 and above', () => {
    expect(codeOf(httpError('SyntaxError', 503))).toBe('connection-failed');
    expect(codeOf(httpError('SyntaxError', 404))).toBe('source-failed');
  });

  it('is found behind others too, and in whatever is thrown', () => {
    expect(codeOf(new Error('outer', { cause: sdkError({ code: 'ECONNRESET' }) }))).toBe('connection-failed');
    expect(codeOf(new TimeoutError())).toBe('connection-failed');
    const loop: { cause?: unknown } = {};
    loop.cause = loop;
    for (const thrown of [loop, undefined, null, 'text', { name: 5 }]) expect(codeOf(thrown)).toBe('source-failed');
  });

  it('as an error says where, what and what to do next, and keeps the cause', () => {
    const cause = sdkError({ name: 'AccessDeniedException' });
    const error = kinesisError('kinesisPublisher', cause, { stream: 'orders', shard: 'x' });
    expect(error.message).toBe(
      'kinesisPublisher (stream orders): AWS says AccessDeniedException (HTTP 400). AWS refused it for want of a ' +
        "permission, or the KMS key of the stream cannot be used. Look at the policy of the client's identity.",
    );
    expect([error.cause, error.details]).toEqual([cause, { owner: 'kinesisPublisher', stream: 'orders', shard: 'x' }]);
    expect(kinesisError('fromKinesis', sdkError({ code: 'ECONNREFUSED' }), { stream: 's' }).message).toBe(
      'fromKinesis (stream s): Error ECONNREFUSED. Kinesis could not be reached, or did not answer. Look at the region, ' +
        'endpoint and request handler of the client.',
    );
    expect(kinesisError('kinesisPublisher', {}, { stream: 's', otherwise: 'publish-failed' })).toMatchObject({
      code: 'publish-failed',
      details: { owner: 'kinesisPublisher', stream: 's' },
    });
  });

  it('shows nothing of what AWS says, in which keys and ids of access keys stand', () => {
    const error = kinesisError('fromKinesis', sdkError({ name: 'ValidationException' }), { stream: 's' });
    expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain('the message of');
    // Something between client and service may give any text as its word.
    const odd = sdkError({ name: 'refused for card 4111' });
    expect(kinesisError('fromKinesis', odd, { stream: 's' }).message).toContain('AWS says something (HTTP 400). ');
  });

  it('that is ours already stays as it is', () => {
    const error = new SluiceError('twin-consumer', 'no');
    expect(kinesisError('fromKinesis', error, { stream: 's' })).toBe(error);
  });
});

describe('what is to be tried again as it is', () => {
  it.each([
    'ProvisionedThroughputExceededException',
    'LimitExceededException',
    'ThrottlingException',
    'KMSThrottlingException',
  ])('is a throttling by %s', (name) =>
    expect([isThrottled(sdkError({ name })), isRefusal(sdkError({ name }))]).toEqual([true, false]),
  );

  it('is none of what is refused for good', () => {
    for (const error of [
      sdkError({ name: 'ValidationException' }),
      sdkError({ name: 'InvalidArgumentException' }),
      httpError('Unknown', 413),
    ]) {
      expect([isThrottled(error), isRefusal(error)]).toEqual([false, true]);
    }
    for (const error of [sdkError({ code: 'ECONNRESET' }), null, sdkError({ name: 'AccessDeniedException' })]) {
      expect([isThrottled(error), isRefusal(error)]).toEqual([false, false]);
    }
  });
});
