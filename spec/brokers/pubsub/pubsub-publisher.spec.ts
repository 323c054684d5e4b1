import { afterEach, describe, expect, it } from '@jest/globals';
import { pubsubPublisher } from '../../../lib/brokers/pubsub/pubsub-publisher.js';
import type { Message } from '../../../lib/core/message.js';
import { marbles } from '../../support/marbles.js';
import { numbered, statuses } from '../../support/publishing.js';
import { grpcError, publishFake, type PublishFake } from '../../support/pubsub-publish-fake.js';
import { hold, requestsOf, storedOf, timesOf } from '../../support/pubsub-publishing.js';

let fake: PublishFake = publishFake();
const newFake = (): PublishFake => (fake = publishFake());
afterEach(() => expect(fake.violations).toEqual([]));

const keyless = (text: string): Message[] => text.split(' ').map((value) => ({ value }));

describe('a request', () => {
  it('has the messages of one key, or those without, and at most maxBatch of them, in their order', () => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { maxBatch: 3 });
      const call = publish([...numbered('a1 b1 a2'), ...keyless('x y'), ...numbered('a3 a4 b2'), ...keyless('z w')]);
      advanceTo(20);
      expect(timesOf(fake)).toEqual(['0: a1 a2 a3', '0: b1 b2', '0: x y z', '0: w', '10: a4']);
      expect(fake.requests[0]?.topic).toBe('projects/shop/topics/orders');
      expect(statuses(call)).toBe('ok ok ok ok ok ok ok ok ok ok');
      const ids = new Map(fake.stored.map(({ value, messageId }) => [value, messageId]));
      expect(call.outcomes?.[2]).toEqual({
        status: 'ok',
        position: { broker: 'pubsub', topic: 'orders', messageId: ids.get('a2') },
      });
      close();
    });
  });

  it('has 1,000 messages by default', () => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake);
      publish(Array.from({ length: 2_101 }, () => ({ value: 'v' })));
      publish(Array.from({ length: 1_001 }, () => ({ key: 'k', value: 'v' })));
      advanceTo(30);
      expect(fake.requests.map(({ messages }) => messages.length)).toEqual([1_000, 1_000, 1_000, 101, 1]);
      close();
    });
  });

  it('has at most maxBatchBytes, keys, attributes and their frame included; a larger message goes alone', () => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { maxBatchBytes: 100 });
      const message = (name: string, bytes: number, headers = {}): Message => ({
        value: name + 'x'.repeat(bytes - 1),
        headers,
      });
      // 16 of each message, 9 of each attribute.
      publish([message('a', 34), message('b', 34), message('c', 1), message('d', 200), message('e', 40, { ü: 'xy' })]);
      publish([message('f', 15)]);
      advanceTo(20);
      expect(requestsOf(fake).map((values) => values.replaceAll('x', ''))).toEqual(['a b', 'c', 'd', 'e f']);
      close();
    });
  });

  it('of a key waits for the one before it, and takes what has gathered meanwhile', () => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake);
      at(1, () => publish(numbered('a1')));
      at(2, () => publish(numbered('a2 b1')));
      at(3, () => publish(numbered('a3')));
      advanceTo(50);
      expect(timesOf(fake)).toEqual(['1: a1', '2: b1', '11: a2 a3']);
      close();
    });
  });

  it('without a key is one of four at most, of all one of maxRequests', () => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake);
      for (let ms = 1; ms <= 6; ms++) at(ms, () => publish(keyless(`x${ms}`)));
      advanceTo(50);
      expect(timesOf(fake)).toEqual(['1: x1', '2: x2', '3: x3', '4: x4', '11: x5 x6']);
      close();
    });
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { maxRequests: 2 });
      publish([...numbered('a1 b1 c1'), ...keyless('x')]);
      advanceTo(50);
      expect([timesOf(fake), fake.calls.most]).toEqual([['0: a1', '0: b1', '10: c1', '10: x'], 2]);
      close();
    });
  });

  it('takes keys by turns, so that a hot one does not hold up the others', () => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { maxRequests: 1, maxBatch: 1 });
      publish(numbered('a1 a2 a3 a4'));
      at(5, () => publish(numbered('b1 c1')));
      advanceTo(100);
      expect(requestsOf(fake)).toEqual(['a1', 'b1', 'c1', 'a2', 'a3', 'a4']);
      close();
    });
  });

  it('waits lingerMs for others, from its first message on, not behind another of its key', () => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      fake.latencyMs = () => 50;
      const { publish, close } = hold(fake, { lingerMs: 100 });
      at(10, () => publish(numbered('a1')));
      at(30, () => publish(numbered('b1')));
      at(70, () => publish(numbered('a2')));
      at(120, () => publish(numbered('a3')));
      at(130, () => publish(keyless('x')));
      advanceTo(300);
      expect(timesOf(fake)).toEqual(['110: a1 a2', '130: b1', '160: a3', '230: x']);
      close();
    });
  });

  it.each([
    ['messages', { maxBatch: 3 }],
    ['bytes', { maxBatchBytes: 3 * 19 }],
  ])('that is full of %s waits no longer', (_, options) => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { lingerMs: 1_000, ...options });
      publish(numbered('a1'));
      at(10, () => publish(numbered('a2')));
      at(20, () => publish(numbered('a3')));
      advanceTo(50);
      expect(timesOf(fake)).toEqual(['20: a1 a2 a3']);
      close();
    });
  });

  it('is sent as it is and once by the client, which is told how long it may take', () => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { requestTimeoutMs: 5_000 });
      publish(keyless('x'));
      advanceTo(20);
      expect(fake.requests[0]?.options).toEqual({ timeout: 5_000, retry: null, isBundling: false });
      close();
    });
  });
});

describe('outcomes', () => {
  it('come in order, with what is no message refused by itself', () => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake);
      const bad = [{ value: 5 }, {}, null, { value: 'x', key: {} }, { value: null }] as never as Message[];
      const call = publish([{ value: 'a', key: 'k' }, ...bad, { value: 'b', key: 'k' }]);
      advanceTo(50);
      expect([statuses(call), storedOf(fake)]).toEqual([
        'ok permanent permanent permanent permanent permanent ok',
        'a b',
      ]);
      close();
    });
  });

  it('of nothing are nothing, of bad messages alone come without a request', () => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake);
      expect(publish([]).outcomes).toEqual([]);
      expect(statuses(publish([{ value: 5 as never }]))).toBe('permanent');
      advanceTo(50);
      expect(fake.requests).toEqual([]);
      close();
    });
  });
});

describe('the connection', () => {
  it('is one for all who hold it, and open until the last lets go', () => {
    marbles(({ drive, advanceTo }) => {
      const fake = newFake();
      const publisher = pubsubPublisher(fake.pubsub, { topic: 'projects/other/topics/orders' });
      expect(fake.calls.looks).toBe(0);
      const [first, second] = [drive(publisher.connect()), drive(publisher.connect())];
      expect([fake.calls.looks, first.values.length, second.values[0]]).toEqual([1, 1, first.values[0]]);
      first.unsubscribe();
      const outcomes = drive(second.values[0]?.publish(numbered('a1')) as never);
      advanceTo(20);
      expect([outcomes.values.length, second.completed]).toEqual([1, false]);
      expect(fake.requests[0]?.topic).toBe('projects/other/topics/orders');
      second.unsubscribe();
      drive(publisher.connect());
      expect(fake.calls.looks).toBe(2);
    });
  });

  it.each([
    ['NOT_FOUND', 5, 'unknown-topic'],
    ['UNAUTHENTICATED', 16, 'authentication-failed'],
    ['INVALID_ARGUMENT', 3, 'publish-failed'],
  ])('cannot be had where the look at the topic fails with %s, and is tried anew', (_, code, expected) => {
    marbles(({ drive }) => {
      const fake = newFake();
      fake.failLook = (look) => (look === 0 ? { error: grpcError(code) } : null);
      const publisher = pubsubPublisher(fake.pubsub, { topic: 'orders' });
      expect(drive(publisher.connect()).error).toMatchObject({ code: expected, details: { topic: 'orders' } });
      expect(drive(publisher.connect()).values).toHaveLength(1);
    });
  });

  it.each([
    ['may not look, since publishing is another right', 7],
    ['looks too often', 8],
  ])('is had by one who %s', (_, code) => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      fake.failLook = () => ({ error: grpcError(code) });
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1'));
      advanceTo(20);
      expect(statuses(call)).toBe('ok');
      close();
    });
  });

  it('waits for a service that restarts, for ten seconds', () => {
    marbles(({ drive, advanceTo, now }) => {
      const fake = newFake();
      fake.failLook = () => (now() < 5_000 ? { error: grpcError(14) } : null);
      const publisher = pubsubPublisher(fake.pubsub, { topic: 'orders' });
      const opened = drive(publisher.connect());
      advanceTo(6_000);
      expect(opened.values).toHaveLength(1);
      opened.unsubscribe();
      fake.failLook = () => ({ error: grpcError(14) });
      const failed = drive(publisher.connect());
      advanceTo(15_900);
      expect(failed.error).toBeUndefined();
      advanceTo(16_000);
      expect(failed.error).toMatchObject({ code: 'connection-failed' });
    });
  });

  it('waits requestTimeoutMs for an answer', () => {
    marbles(({ drive, advanceTo }) => {
      const fake = newFake();
      fake.failLook = () => 'never';
      const failed = drive(pubsubPublisher(fake.pubsub, { topic: 'orders', requestTimeoutMs: 2_000 }).connect());
      advanceTo(2_000);
      expect(failed.error).toMatchObject({
        code: 'connection-failed',
        message: expect.stringContaining('Pub/Sub says DEADLINE_EXCEEDED (4)') as unknown,
      });
    });
  });

  it('cannot be had without credentials, nor of a PubSub that is closed', () => {
    marbles(({ drive }) => {
      const fake = newFake();
      fake.failOpen = new Error('Could not load the default credentials. Browse to …');
      const publisher = pubsubPublisher(fake.pubsub, { topic: 'orders' });
      expect(drive(publisher.connect()).error).toMatchObject({ code: 'authentication-failed' });
      fake.pubsub.isOpen = false;
      expect(drive(publisher.connect()).error).toMatchObject({
        code: 'connection-failed',
        message: 'pubsubPublisher (topic orders): the PubSub object is closed. Close it after what uses it.',
      });
    });
  });

  it('that is let go of while it looks at the topic leaves nothing', () => {
    marbles(({ scheduler }) => {
      const fake = newFake();
      fake.failLook = () => 'never';
      hold(fake).close();
      expect(scheduler.actions).toHaveLength(0);
    });
  });

  it.each([0, 5_000])('is flushed at once as it closes, by lingerMs %d', (lingerMs) => {
    marbles(({ advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { lingerMs, maxBatch: 1 });
      const call = publish(numbered('a1 a2 b1'));
      close();
      advanceTo(20);
      expect([timesOf(fake), statuses(call)]).toEqual([['0: a1', '0: b1', '10: a2'], 'ok ok ok']);
      expect(publish(numbered('c1')).error).toMatchObject({
        code: 'publish-failed',
        message: 'pubsubPublisher: the connection is closed.',
      });
    });
  });

  it('closes while it is throttled: what is out is tried on, and nothing is left', () => {
    marbles(({ advanceTo, scheduler }) => {
      const fake = newFake();
      fake.fail = (_, request) => (request < 3 ? { error: grpcError(8) } : null);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 a2'));
      advanceTo(15);
      close();
      advanceTo(2_000);
      expect([statuses(call), storedOf(fake), scheduler.actions.length]).toEqual(['ok ok', 'a1 a2', 0]);
    });
  });
});

describe('a call that is let go', () => {
  it.each([0, 5_000])('before it is sent is not sent, by lingerMs %d; nothing is left of it', (lingerMs) => {
    marbles(({ advanceTo, scheduler }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { lingerMs });
      publish([...numbered('a1 b1'), ...keyless('x')]).letGo();
      advanceTo(lingerMs + 1);
      expect([requestsOf(fake), scheduler.actions.length]).toEqual([[], 0]);
      const [gone, stays] = [publish(numbered('a2 b2')), publish(numbered('b3'))];
      gone.letGo();
      close();
      advanceTo(lingerMs + 30);
      expect([requestsOf(fake), statuses(stays), scheduler.actions.length]).toEqual([['b3'], 'ok', 0]);
    });
  });

  it('under way is not cut off, and the next of its key waits for it', () => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      const { publish, close } = hold(fake, { maxBatch: 1 });
      const [gone] = [publish(numbered('a1 a2')), publish(numbered('a3'))];
      at(5, () => gone.letGo());
      advanceTo(50);
      expect(timesOf(fake)).toEqual(['0: a1', '10: a3']);
      close();
    });
  });

  it('under way and then refused is not sent again, but those of another call with it are', () => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      fake.fail = (_, request) => (request === 0 ? { error: grpcError(14) } : null);
      const { publish, close } = hold(fake);
      const [gone, stays] = [publish(numbered('a1')), publish(numbered('a2'))];
      at(5, () => gone.letGo());
      advanceTo(500);
      expect([timesOf(fake), statuses(stays)]).toEqual([['0: a1 a2', '60: a2'], 'ok']);
      close();
    });
  });

  it('while it waits to be sent again is not, and its key goes on at once', () => {
    marbles(({ at, advanceTo }) => {
      const fake = newFake();
      fake.fail = ([first]) => (first?.value === 'a1' ? { error: grpcError(8) } : null);
      const { publish, close } = hold(fake, { backoff: () => 1_000, maxBatch: 1 });
      const [gone, stays] = [publish(numbered('a1')), publish(numbered('a2'))];
      at(100, () => gone.letGo());
      advanceTo(150);
      expect([timesOf(fake), statuses(stays)]).toEqual([['0: a1', '100: a2'], 'ok']);
      close();
    });
  });
});
