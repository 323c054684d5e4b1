import { describe, expect, it } from '@jest/globals';
import { fromPubSub } from '../../../lib/pubsub.js';
import { refusal, untyped } from '../../support/options.js';

describe('the options of fromPubSub', () => {
  const pubsub = { isOpen: true, subscription: () => ({}) as never, request: () => undefined };
  const subscription = { name: 'projects/demo/subscriptions/s', pubsub };
  const make = (options: object) => fromPubSub(subscription, options);

  it.each([
    [{ mode: 'push' }, "mode must be 'streaming' or 'pull', not 'push'"],
    [{ readAhead: -1 }, 'readAhead must be a whole number, at least 0 and at most 1000000, not -1'],
    [{ maxStreams: 0 }, 'maxStreams must be a whole number, at least 1 and at most 10, not 0'],
    [{ maxStreams: 11 }, 'maxStreams must be a whole number, at least 1 and at most 10, not 11'],
    [{ mode: 'pull', readAhead: 5 }, "readAhead must be 0 or left out with mode 'pull', not 5"],
    [{ mode: 'pull', maxStreams: 2 }, "maxStreams must be 0 or left out with mode 'pull', not 2"],
    [{ ackDeadlineMs: 9_999 }, 'ackDeadlineMs must be a whole number, at least 10000 and at most 600000, not 9999'],
    [
      { maxExtensionMs: 59_999 },
      'maxExtensionMs must be a whole number, at least ackDeadlineMs (60000) and at most 86400000',
    ],
    [{ requestTimeoutMs: 99 }, 'requestTimeoutMs must be a whole number, at least 100 and at most 600000, not 99'],
    [{ maxInFlight: 0 }, 'maxInFlight must be a whole number, at least 1'],
    [{ maxSpan: 5 }, 'there is no option maxSpan'],
    [{ until: 'end' }, 'there is no option until'],
  ])('%j are refused before anything is opened', (options, message) => {
    expect(refusal(() => make(options))).toContain(`fromPubSub: ${message}`);
  });

  it.each([[{}], [{ readAhead: 0, maxStreams: 1 }], [{ mode: 'pull', readAhead: 0 }]])('%j are taken', (options) => {
    expect(() => make(options)).not.toThrow();
  });

  it('want a Subscription', () => {
    for (const given of [undefined, null, {}, 'projects/demo/subscriptions/s', { name: 's', pubsub: {} }]) {
      expect(refusal(() => fromPubSub(untyped(given)))).toContain(
        'subscription must be a Subscription of @google-cloud/pubsub',
      );
    }
  });
});
