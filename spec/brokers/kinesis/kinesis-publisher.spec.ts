import { describe, expect, it } from '@jest/globals';
import { kinesisPublisher } from '../../../lib/brokers/kinesis/kinesis-publisher.js';
import type { Message } from '../../../lib/core/message.js';
import { sdkError } from '../../support/kinesis-fake-errors.js';
import { putFake } from '../../support/kinesis-put-fake.js';
import { hold, numbered, requestsOf, statuses, storedOf, timesOf } from '../../support/kinesis-publishing.js';
import { marbles } from '../../support/marbles.js';

describe('a request', () => {
  it('has at most maxBatch records, in their order', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, { maxBatch: 3 });
      const call = publish(numbered('a1 b1 c1 d1 e1 f1 g1'));
      advanceTo(20);
      expect(timesOf(fake)).toEqual(['0: a1 b1 c1', '0: d1 e1 f1', '0: g1']);
      expect(call.outcomes).toEqual(
        fake.stored.map(({ shard, sequenceNumber }) => ({
          status: 'ok',
          position: { broker: 'kinesis', stream: 'orders', shard, sequenceNumber, subSequenceNumber: null },
        })),
      );
      close();
    });
  });

  it('has 500 records by default', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake);
      publish(Array.from({ length: 1_101 }, (_, i) => ({ key: `k${i}`, value: 'v' })));
      advanceTo(20);
      expect(fake.requests.map(({ records }) => records.length)).toEqual([500, 500, 101]);
      close();
    });
  });

  it('has at most maxBatchBytes, partition keys and hash keys included; a larger message goes alone', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, {
        maxBatchBytes: 100,
        hashKey: ({ value }) => (value === 'h' ? '12345' : undefined),
      });
      const message = (key: string, bytes: number): Message => ({ key, value: 'x'.repeat(bytes) });
      publish([
        message('a', 49),
        message('b', 49),
        message('c', 1),
        message('d', 200),
        message('e', 91),
        { key: 'f', value: 'h' },
        message('ü', 1),
      ]);
      advanceTo(20);
      // 50 + 50 | 2 | 201 | 92 + (1 + 1 + 5) | 3
      expect(fake.requests.map(({ records }) => records.map(({ key }) => key).join(''))).toEqual([
        'ab',
        'c',
        'd',
        'ef',
        'ü',
      ]);
      close();
    });
  });

  it('is what one turn publishes, then what has gathered while all requests were under way', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, { maxRequests: 2 });
      at(1, () => {
        publish(numbered('a1'));
        publish(numbered('b1'));
      });
      at(2, () => publish(numbered('c1')));
      at(3, () => publish(numbered('d1 e1')));
      at(4, () => publish(numbered('f1')));
      advanceTo(50);
      expect(timesOf(fake)).toEqual(['1: a1 b1', '2: c1', '11: d1 e1 f1']);
      expect(fake.calls.most).toBe(2);
      close();
    });
  });

  it('waits lingerMs for others, from its first message on', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, { lingerMs: 100 });
      at(10, () => publish(numbered('a1')));
      at(70, () => publish(numbered('b1')));
      at(115, () => publish(numbered('c1')));
      advanceTo(109);
      expect(requestsOf(fake)).toEqual([]);
      advanceTo(300);
      expect(timesOf(fake)).toEqual(['110: a1 b1', '215: c1']);
      close();
    });
  });

  it.each([
    ['records', { maxBatch: 3 }],
    ['bytes', { maxBatchBytes: 9 }],
  ])('that is full of %s waits no longer', (_, options) => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, { lingerMs: 1_000, ...options });
      publish(numbered('a1'));
      at(10, () => publish(numbered('b1')));
      at(20, () => publish(numbered('c1')));
      advanceTo(50);
      expect(timesOf(fake)).toEqual(['20: a1 b1 c1']);
      close();
    });
  });

  it('does not wait for what is behind a key: that does not go with it', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, { lingerMs: 100, maxBatch: 3 });
      publish(numbered('a1 a2 a3 a4'));
      advanceTo(200);
      expect(timesOf(fake)).toEqual(['100: a1', '110: a2', '120: a3', '130: a4']);
      close();
    });
  });

  it('takes keys by turns, so that a hot one does not hold up the others', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, { maxRequests: 1 });
      publish(numbered('a1 a2 a3 a4 a5 a6'));
      at(5, () => publish(numbered('b1 c1')));
      at(25, () => publish(numbered('b2')));
      advanceTo(100);
      expect(requestsOf(fake)).toEqual(['a1', 'b1 c1 a2', 'a3', 'b2 a4', 'a5', 'a6']);
      close();
    });
  });
});

describe('outcomes', () => {
  it('come in order, with what is no message refused by itself', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake);
      const bad = [{ value: 5 }, {}, null, { value: 'x', key: {} }, { value: null }] as never as Message[];
      const call = publish([{ value: 'a', key: 'k' }, ...bad, { value: 'b', key: 'k' }]);
      advanceTo(50);
      expect(statuses(call)).toBe('ok permanent permanent permanent permanent permanent ok');
      expect(storedOf(fake)).toBe('a b');
      close();
    });
  });

  it('of nothing are nothing, of bad messages alone come without a request', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
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
      const fake = putFake();
      const publisher = kinesisPublisher(fake.client, { stream: 'orders' });
      expect(fake.calls.describe).toBe(0);
      const [first, second] = [drive(publisher.connect()), drive(publisher.connect())];
      expect([fake.calls.describe, first.values.length, second.values[0]]).toEqual([1, 1, first.values[0]]);
      first.unsubscribe();
      const outcomes = drive(second.values[0]?.publish(numbered('a1')) as never);
      advanceTo(20);
      expect([outcomes.values.length, second.completed]).toEqual([1, false]);
      second.unsubscribe();
      drive(publisher.connect());
      expect(fake.calls.describe).toBe(2);
    });
  });

  it.each([
    ['ResourceNotFoundException', sdkError({ name: 'ResourceNotFoundException' }), 'unknown-topic'],
    ['ExpiredTokenException', sdkError({ name: 'ExpiredTokenException' }), 'authentication-failed'],
    ['ECONNREFUSED', sdkError({ code: 'ECONNREFUSED' }), 'connection-failed'],
  ])('cannot be had where the look at the stream fails with %s, and is tried anew', (_, error, code) => {
    marbles(({ drive }) => {
      const fake = putFake();
      fake.failDescribe = error;
      const publisher = kinesisPublisher(fake.client, { stream: 'orders' });
      const failed = drive(publisher.connect());
      expect(failed.error).toMatchObject({ code, details: { stream: 'orders' } });
      fake.failDescribe = null;
      expect(drive(publisher.connect()).values).toHaveLength(1);
    });
  });

  it('is had where the look is not allowed: the right to publish is another one', () => {
    marbles(({ drive }) => {
      const fake = putFake();
      fake.failDescribe = sdkError({ name: 'AccessDeniedException' });
      expect(drive(kinesisPublisher(fake.client, { stream: 'orders' }).connect()).values).toHaveLength(1);
    });
  });

  it('is had where too many look at streams at once', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.failDescribe = sdkError({ name: 'LimitExceededException' });
      const { publish, error, close } = hold(fake);
      const call = publish(numbered('a1'));
      advanceTo(50);
      expect([error, statuses(call)]).toEqual([null, 'ok']);
      close();
    });
  });

  it('that is let go of while it looks at the stream is cut off', () => {
    const signals: (AbortSignal | undefined)[] = [];
    const client = {
      ...putFake().client,
      describeStreamSummary: (_: object, options?: { abortSignal?: AbortSignal }) => {
        signals.push(options?.abortSignal);
        return new Promise<never>(() => undefined);
      },
    };
    kinesisPublisher(client, { stream: 'orders' }).connect().subscribe().unsubscribe();
    expect(signals[0]?.aborted).toBe(true);
  });

  it.each([0, 5_000])('is flushed at once as it closes, by lingerMs %d', (lingerMs) => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake, { lingerMs });
      const call = publish(numbered('a1 a2 b1'));
      close();
      advanceTo(20);
      expect([timesOf(fake), statuses(call)]).toEqual([['0: a1 b1', '10: a2'], 'ok ok ok']);
      const late = publish(numbered('c1'));
      expect(late.error).toMatchObject({
        code: 'publish-failed',
        message: 'kinesisPublisher: the connection is closed.',
      });
    });
  });

  it('closes while it is throttled: what is out is tried on, and nothing is left', () => {
    marbles(({ advanceTo, scheduler }) => {
      const fake = putFake();
      fake.judge = (_, request) => (request < 3 ? 'ProvisionedThroughputExceededException' : 'stored');
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
      const fake = putFake();
      const { publish, close } = hold(fake, { lingerMs });
      publish(numbered('a1 b1')).letGo();
      advanceTo(1);
      expect([requestsOf(fake), scheduler.actions.length]).toEqual([[], 0]);
      const [gone, stays] = [publish(numbered('a2 b2')), publish(numbered('b3'))];
      gone.letGo();
      close();
      advanceTo(30);
      expect([requestsOf(fake), statuses(stays), scheduler.actions.length]).toEqual([['b3'], 'ok', 0]);
    });
  });

  it('under way is not cut off, and the next of its key waits for it', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      const { publish, close } = hold(fake);
      const [gone] = [publish(numbered('a1 a2')), publish(numbered('a3'))];
      at(5, () => gone.letGo());
      advanceTo(50);
      expect([timesOf(fake), fake.calls.aborted]).toEqual([['0: a1', '10: a3'], 0]);
      close();
    });
  });

  it('under way and then refused is not sent again', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      fake.judge = (_, request) => (request === 0 ? 'ProvisionedThroughputExceededException' : 'stored');
      const { publish, close } = hold(fake);
      const [gone] = [publish(numbered('a1')), publish(numbered('a2'))];
      at(5, () => gone.letGo());
      advanceTo(500);
      expect(timesOf(fake)).toEqual(['0: a1', '10: a2']);
      close();
    });
  });

  it('while it waits for a request to end, to be sent again, is not', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      fake.judge = ({ value }) => (value === 'a1' ? 'ProvisionedThroughputExceededException' : 'stored');
      const { publish, close } = hold(fake, { maxRequests: 1, backoff: () => 10 });
      const [gone] = [publish(numbered('a1')), publish(numbered('a2'))];
      at(15, () => publish(numbered('b1')));
      at(22, () => gone.letGo());
      advanceTo(500);
      expect(timesOf(fake)).toEqual(['0: a1', '15: b1', '25: a2']);
      close();
    });
  });

  it('while it waits to be sent again is not, and its key goes on at once', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      fake.judge = ({ value }) => (value === 'a1' ? 'ProvisionedThroughputExceededException' : 'stored');
      const { publish, close } = hold(fake, { backoff: () => 1_000 });
      const [gone, stays] = [publish(numbered('a1')), publish(numbered('a2'))];
      at(100, () => gone.letGo());
      advanceTo(150);
      expect([timesOf(fake), statuses(stays)]).toEqual([['0: a1', '100: a2'], 'ok']);
      close();
    });
  });
});
