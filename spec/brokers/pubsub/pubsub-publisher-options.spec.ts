import { describe, expect, it } from '@jest/globals';
import { pubsubPublisher } from '../../../lib/brokers/pubsub/pubsub-publisher.js';
import { refusal, untyped } from '../../support/options.js';
import { publishFake } from '../../support/pubsub-publish-fake.js';

describe('options', () => {
  const { pubsub } = publishFake();
  const wrong = (options: object): string =>
    refusal(() => pubsubPublisher(pubsub, untyped({ topic: 'orders', ...options })));

  it.each([
    [{ topic: '' }, 'topic must be the name of a topic, or projects/…/topics/…, not an empty string'],
    [{ topic: 'a/b' }, 'topic must be the name of a topic, or projects/…/topics/…, not a string'],
    [{ topic: 'projects//topics/x' }, 'topic must be the name of a topic'],
    [{ maxBatch: 1_001 }, 'maxBatch must be a whole number, at least 1 and at most 1000, not 1001'],
    [{ maxBatchBytes: 9_000_001 }, 'maxBatchBytes must be a whole number, at least 1 and at most 9000000'],
    [{ maxRequests: 0 }, 'maxRequests must be a whole number, at least 1 and at most 1000, not 0'],
    [{ lingerMs: 10_001 }, 'lingerMs must be a number, at least 0 and at most 10000, not 10001'],
    [{ retryTimeoutMs: -1 }, 'retryTimeoutMs must be a number, at least 0'],
    [{ requestTimeoutMs: 0 }, 'requestTimeoutMs must be a number, at least 1'],
    [{ backoff: 5 }, 'backoff must be a function, not 5'],
    [{ orderingKey: 'id' }, 'orderingKey must be a function, not a string'],
    [{ attributes: {} }, 'attributes must be a function, not an object'],
    [{ maxbatch: 5 }, 'there is no option maxbatch'],
  ])('%j are refused before anything is opened', (options, message) => {
    expect(wrong(options)).toContain(`pubsubPublisher: ${message}`);
  });

  it('want a PubSub', () => {
    for (const given of [undefined, null, {}, { getClientAsync_: () => undefined }]) {
      expect(refusal(() => pubsubPublisher(untyped(given), { topic: 'orders' }))).toContain(
        'pubsub must be a PubSub of @google-cloud/pubsub 5 or 6',
      );
    }
  });
});
