import { describe, expect, it } from '@jest/globals';
import { TimeoutError } from 'rxjs';
import {
  failureOfCall,
  grpcCodeOf,
  grpcNameOf,
  isFatalCode,
  pubsubError,
} from '../../../lib/brokers/pubsub/pubsub-errors.js';
import { SluiceError } from '../../../lib/core/errors.js';
import { grpcError } from '../../support/pubsub-publish-fake.js';

const codeOf = (error: unknown): string => pubsubError('fromPubSub', error, { subscription: 's' }).code;
const network = (code: string): Error => Object.assign(new Error('of the network'), { code });

describe('a failure of the client', () => {
  it.each([
    ['unknown-topic', [5]],
    ['not-authorized', [7]],
    ['authentication-failed', [16]],
    ['unsupported', [12]],
    ['connection-failed', [1, 2, 4, 10, 13, 14]],
    ['source-failed', [3, 6, 8, 9, 11, 15]],
  ])('is %s by its code', (code, numbers) => {
    for (const number of numbers) expect([number, codeOf(grpcError(number))]).toEqual([number, code]);
  });

  it.each(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ERR_TLS_CERT_ALTNAME_INVALID'])(
    'is connection-failed by %s',
    (code) => expect(codeOf(network(code))).toBe('connection-failed'),
  );

  it('is authentication-failed where there are no credentials', () => {
    for (const text of [
      'Could not load the default credentials. …',
      'Unable to detect a Project Id in …',
      'invalid_grant',
    ]) {
      expect(codeOf(new Error(text))).toBe('authentication-failed');
    }
  });

  it.each(['ENOENT', 'EACCES'])('is authentication-failed where the file of credentials cannot be read: %s', (code) =>
    expect(codeOf(network(code))).toBe('authentication-failed'),
  );

  it('is found behind others too, and in whatever is thrown', () => {
    expect(codeOf(new Error('outer', { cause: grpcError(5) }))).toBe('unknown-topic');
    const loop: { cause?: unknown } = {};
    loop.cause = loop;
    for (const thrown of [
      loop,
      undefined,
      null,
      'text',
      { code: 99 },
      { code: 0 },
      { code: 1.5 },
      new TimeoutError(),
    ]) {
      expect([codeOf(thrown), grpcCodeOf(thrown), grpcNameOf(thrown)]).toEqual(['source-failed', null, null]);
    }
  });

  it('as an error says where, what and what to do next, and keeps the cause', () => {
    const cause = grpcError(7);
    const error = pubsubError('pubsubPublisher', cause, { topic: 'orders' });
    expect(error.message).toBe(
      "pubsubPublisher (topic orders): Pub/Sub says PERMISSION_DENIED (7). Look at the roles of the client's identity, such " +
        'as roles/pubsub.publisher, and at the KMS key of the topic.',
    );
    expect([error.cause, error.details]).toEqual([cause, { owner: 'pubsubPublisher', topic: 'orders' }]);
    expect(pubsubError('fromPubSub', grpcError(5), { subscription: 'bills' }).message).toBe(
      'fromPubSub (subscription bills): Pub/Sub says NOT_FOUND (5). There is no such subscription in the project of the ' +
        'PubSub object, or it was deleted. Nothing here makes them.',
    );
    expect(pubsubError('fromPubSub', network('ECONNREFUSED'), { subscription: 'bills' }).message).toBe(
      'fromPubSub (subscription bills): Error ECONNREFUSED. Pub/Sub could not be reached, or did not answer. Look at the ' +
        'endpoint of the PubSub object and the network.',
    );
    expect(pubsubError('pubsubPublisher', {}, { topic: 't', otherwise: 'publish-failed' })).toMatchObject({
      code: 'publish-failed',
      details: { owner: 'pubsubPublisher', topic: 't' },
    });
  });

  it('shows nothing of what the service says, in which attributes may stand', () => {
    for (let code = 1; code <= 16; code++) {
      const error = pubsubError('fromPubSub', grpcError(code), { subscription: 's' });
      expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain('the message of');
    }
  });

  it('that is ours already stays as it is', () => {
    const error = new SluiceError('twin-consumer', 'no');
    expect(pubsubError('fromPubSub', error, { subscription: 's' })).toBe(error);
  });
});

describe('what a failed call means', () => {
  it('is permanent, transient or unavailable by its code', () => {
    expect([3, 11, 8, 14, 5, 7, 9].map((code) => failureOfCall(grpcError(code)))).toEqual([
      'permanent',
      'permanent',
      'transient',
      'unavailable',
      'unavailable',
      'unavailable',
      'unavailable',
    ]);
    expect(failureOfCall(network('ECONNRESET'))).toBe('unavailable');
  });

  it('is fatal unless it may pass by itself', () => {
    const passing = Array.from({ length: 18 }, (_, code) => code).filter((code) => !isFatalCode(code));
    expect(passing).toEqual([1, 2, 4, 8, 10, 13, 14]);
  });
});
