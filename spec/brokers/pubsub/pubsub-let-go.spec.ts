import { describe, expect, it } from '@jest/globals';
import type { PubSubMessageLike } from '../../../lib/brokers/pubsub/pubsub-client.js';
import { letGo } from '../../../lib/brokers/pubsub/pubsub-let-go.js';

describe('letGo', () => {
  it('has the client forget a message, and end its span', () => {
    const forgotten: unknown[] = [];
    const message = {
      _subscriber: { _inventory: { remove: (one: unknown) => forgotten.push(one) } },
      endParentSpan: () => forgotten.push('span'),
    } as unknown as PubSubMessageLike;
    expect(letGo(message)).toBe(true);
    expect(forgotten).toEqual([message, 'span']);
  });

  it('says so where the client has other insides, so that its own ack is taken', () => {
    const shapes = [{}, { _subscriber: {} }, { _subscriber: { _inventory: {} } }];
    expect(shapes.map((shape) => letGo(shape as PubSubMessageLike))).toEqual([false, false, false]);
  });
});
