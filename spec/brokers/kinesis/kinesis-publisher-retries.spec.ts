import { describe, expect, it } from '@jest/globals';
import { sdkError } from '../../support/kinesis-fake-errors.js';
import { httpError, putFake, type PutFake } from '../../support/kinesis-put-fake.js';
import { hold, numbered, requestsOf, statuses, storedOf, timesOf } from '../../support/kinesis-publishing.js';
import { marbles } from '../../support/marbles.js';

const THROTTLED = 'ProvisionedThroughputExceededException';

/** Refuses these values, as often as is said. */
function refusing(fake: PutFake, times: Readonly<Record<string, number>>, word = THROTTLED): void {
  const left = new Map(Object.entries(times));
  fake.judge = ({ value }) => {
    const more = left.get(value) ?? 0;
    left.set(value, more - 1);
    return more > 0 ? word : 'stored';
  };
}

describe('a record that is refused in an answer', () => {
  it('is sent again alone, after a backoff; those of other keys are not', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      refusing(fake, { b1: 2 });
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 b1 c1'));
      advanceTo(500);
      // Half of 100 and of 200 ms, by the fixed jitter.
      expect([timesOf(fake), statuses(call)]).toEqual([['0: a1 b1 c1', '60: b1', '170: b1'], 'ok ok ok']);
      close();
    });
  });

  it.each([THROTTLED, 'InternalFailure', 'SomethingNew'])('as %s is sent again', (word) => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      refusing(fake, { a1: 1 }, word);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1'));
      advanceTo(500);
      expect([statuses(call), storedOf(fake)]).toEqual(['ok', 'a1']);
      close();
    });
  });

  it('keeps the next of its key back, and no others', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      refusing(fake, { a1: 2 });
      const { publish, close } = hold(fake);
      publish(numbered('a1 a2 a3 b1 b2'));
      at(30, () => publish(numbered('a4 b3')));
      advanceTo(500);
      expect(requestsOf(fake)).toEqual(['a1 b1', 'b2', 'b3', 'a1', 'a1', 'a2', 'a3', 'a4']);
      expect(storedOf(fake)).toBe('b1 b2 b3 a1 a2 a3 a4');
      close();
    });
  });

  it('waits by the backoff that is given, and goes with whatever is ready then', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      refusing(fake, { a1: 2 });
      const failures: number[] = [];
      const { publish, close } = hold(fake, { lingerMs: 40, backoff: (n) => (failures.push(n), n * 100) });
      publish(numbered('a1'));
      at(145, () => publish(numbered('b1')));
      advanceTo(1_000);
      expect([timesOf(fake), failures]).toEqual([
        ['40: a1', '150: a1 b1', '360: a1'],
        [1, 2],
      ]);
      close();
    });
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('mine');
      },
    ],
    ['gives no number', () => Number.NaN],
  ])('waits all the same where the backoff %s', (_, backoff) => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      refusing(fake, { a1: 1 });
      const { publish, close } = hold(fake, { backoff });
      const call = publish(numbered('a1'));
      advanceTo(500);
      expect([timesOf(fake), statuses(call)]).toEqual([['0: a1', '60: a1'], 'ok']);
      close();
    });
  });

  it('is given up after retryTimeoutMs, as transient, with a last try at that time', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.judge = ({ value }) => (value === 'a1' ? THROTTLED : 'stored');
      const { publish, close } = hold(fake, { retryTimeoutMs: 1_000, backoff: () => 300 });
      const call = publish(numbered('a1 b1'));
      advanceTo(5_000);
      expect(fake.requests.map(({ at }) => at)).toEqual([0, 310, 620, 930, 1_010]);
      expect([call.at, call.outcomes]).toMatchObject([
        1_020,
        [
          {
            status: 'transient',
            error: {
              code: 'publish-failed',
              message: `kinesisPublisher: orders did not store it within 1000 ms: Kinesis says ${THROTTLED}.`,
            },
          },
          { status: 'ok' },
        ],
      ]);
      close();
    });
  });

  it('is told by a word of the service, and by no sentence', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.judge = () => 'no room for card 4111';
      const { publish, close } = hold(fake, { retryTimeoutMs: 0 });
      const call = publish(numbered('a1'));
      advanceTo(500);
      expect(call.outcomes?.[0]).toMatchObject({
        error: { message: 'kinesisPublisher: orders did not store it within 0 ms: Kinesis says something.' },
      });
      close();
    });
  });

  it('is not sent again by retryTimeoutMs 0', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      refusing(fake, { a1: 1 });
      const { publish, close } = hold(fake, { retryTimeoutMs: 0 });
      const call = publish(numbered('a1'));
      advanceTo(500);
      expect([statuses(call), call.at]).toEqual(['transient', 10]);
      close();
    });
  });

  it('and is given up takes along what waits behind it, unsent; what comes later goes', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      refusing(fake, { a1: 2 });
      const { publish, close } = hold(fake, { retryTimeoutMs: 100, backoff: () => 200 });
      const [first, second, third] = [
        publish(numbered('a1 a2 b1')),
        publish(numbered('c1 a3')),
        publish(numbered('c2')),
      ];
      let later: ReturnType<typeof publish> | null = null;
      at(150, () => (later = publish(numbered('a4'))));
      advanceTo(500);
      expect([statuses(first), statuses(second), statuses(third)]).toEqual([
        'transient transient ok',
        'ok transient',
        'ok',
      ]);
      expect(second.outcomes?.[1]).toMatchObject({
        error: {
          code: 'publish-failed',
          message: 'kinesisPublisher: not sent, since an earlier message of its key was given up.',
          cause: { code: 'publish-failed' },
        },
      });
      expect([storedOf(fake), statuses(later as never)]).toEqual(['b1 c1 c2 a4', 'ok']);
      close();
    });
  });

  it('and is given up with others is told as the calls came, so that who publishes again at once keeps the order', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.judge = (_, request) => (request === 0 ? THROTTLED : 'stored');
      const { publish, close } = hold(fake, { retryTimeoutMs: 0 });
      const persist = (text: string): void =>
        void publish(numbered(text), ({ outcomes }) => {
          if (outcomes?.some(({ status }) => status !== 'ok')) persist(text);
        });
      for (const text of ['a1 b1', 'a2']) persist(text);
      advanceTo(500);
      expect(requestsOf(fake)).toEqual(['a1 b1', 'a1 b1', 'a2']);
      close();
    });
  });

  it('is answered too short, or by nothing, like one that is refused', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      const { putRecords } = fake.client;
      let short = 2;
      Object.assign(fake.client, {
        putRecords: (input: never) => (short-- > 0 ? [{ Records: short === 1 ? [{}] : undefined }] : putRecords(input)),
      });
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 b1'));
      advanceTo(1_000);
      expect([statuses(call), storedOf(fake)]).toEqual(['ok ok', 'a1 b1']);
      close();
    });
  });
});

describe('a request that is throttled as a whole', () => {
  it.each([
    ['a throttling', sdkError({ name: THROTTLED })],
    ['a throttling of its KMS key', sdkError({ name: 'KMSThrottlingException' })],
    [
      'what the client calls a throttling',
      Object.assign(sdkError({ name: 'New' }), { $retryable: { throttling: true } }),
    ],
  ])('by %s is sent again record by record, in order', (_, error) => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.fail = (_records, request) => (request < 2 ? { error } : null);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 b1 a2'));
      advanceTo(1_000);
      expect([requestsOf(fake), statuses(call)]).toEqual([['a1 b1', 'a1 b1', 'a1 b1', 'a2'], 'ok ok ok']);
      close();
    });
  });
});

describe('a request that Kinesis will never take', () => {
  it.each([
    ['InvalidArgumentException', sdkError({ name: 'InvalidArgumentException' })],
    ['ValidationException', sdkError({ name: 'ValidationException' })],
    ['HTTP 413', httpError('Unknown', 413)],
  ])(
    'by %s is sent by halves, until what it is about is found; all others are stored once and in order',
    (_, error) => {
      marbles(({ advanceTo }) => {
        const fake = putFake();
        fake.fail = (records) => (records.some(({ value }) => /^[fl]1$/.test(value)) ? { error } : null);
        const { publish, close } = hold(fake);
        const text = 'a1 b1 c1 d1 e1 f1 g1 h1 i1 j1 k1 l1 m1 f2';
        const call = publish(numbered(text));
        advanceTo(1_000);
        expect(
          statuses(call)
            .split(' ')
            .flatMap((status, i) => (status === 'ok' ? [] : [i])),
        ).toEqual([5, 11]);
        expect(call.outcomes?.[5]).toMatchObject({
          status: 'permanent',
          error: {
            code: 'publish-failed',
            message: `kinesisPublisher: orders does not take this message: ${error.name}.`,
            cause: error,
          },
        });
        expect(storedOf(fake)).toBe(text.replace('f1 ', '').replace('l1 ', ''));
        expect(fake.calls.most).toBe(1);
        close();
      });
    },
  );
});

describe('a service that is out', () => {
  it.each([
    ['connection-failed', sdkError({ code: 'ECONNREFUSED' })],
    ['connection-failed', httpError('InternalFailureException', 500)],
    ['authentication-failed', sdkError({ name: 'ExpiredTokenException' })],
    ['not-authorized', sdkError({ name: 'AccessDeniedException' })],
    ['unknown-topic', sdkError({ name: 'ResourceNotFoundException' })],
    ['publish-failed', new Error('whatever')],
  ])('fails the calls of the request with %s, and nothing of them is sent any more', (code, error) => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      fake.fail = (_, request) => (request === 0 ? { error } : null);
      const { publish, close } = hold(fake, { maxBatch: 2, maxRequests: 1 });
      const [first, second, third] = [
        publish(numbered('a1 b1')),
        publish(numbered('c1')),
        publish(numbered('d1 a2 e1')),
      ];
      at(100, () => publish(numbered('a3')));
      advanceTo(200);
      expect(first).toMatchObject({ outcomes: null, error: { code, details: { stream: 'orders' } }, at: 10 });
      expect([statuses(second), third.error]).toMatchObject(['ok', { code }]);
      expect(requestsOf(fake)).toEqual(['a1 b1', 'c1', 'a3']);
      close();
    });
  });

  it('fails those who wait behind a key of a failed call, through all keys, and no others', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.fail = (_, request) => (request === 0 ? { error: sdkError({ code: 'ECONNRESET' }) } : null);
      const { publish, close } = hold(fake, { maxBatch: 1, maxRequests: 1 });
      const calls = ['a1', 'a2 b1', 'b2 c1', 'd1', 'c2', 'e1 d2'].map((text) => publish(numbered(text)));
      advanceTo(200);
      expect(calls.map(({ error }) => error !== null)).toEqual([true, true, true, false, true, false]);
      expect(storedOf(fake)).toBe('d1 e1 d2');
      close();
    });
  });

  it('fails calls as they came, so that who publishes again at once keeps the order', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      fake.fail = (_, request) => (request === 1 ? { error: sdkError({ code: 'ECONNRESET' }) } : null);
      const { publish, close } = hold(fake, { maxRequests: 1 });
      const persist = (text: string): void =>
        void publish(numbered(text), ({ error }) => {
          if (error !== null) persist(text);
        });
      for (const text of ['a1', 'a2']) persist(text);
      at(5, () => persist('b1 a3'));
      advanceTo(500);
      expect(requestsOf(fake)).toEqual(['a1', 'b1 a2', 'a2 b1', 'a3']);
      close();
    });
  });

  it('does not answer: the request is cut off after requestTimeoutMs, and its calls fail', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      fake.fail = (_, request) => (request === 0 ? 'never' : null);
      const { publish, close } = hold(fake, { requestTimeoutMs: 700 });
      const call = publish(numbered('a1'));
      advanceTo(1_000);
      expect(call).toMatchObject({
        at: 700,
        error: {
          code: 'connection-failed',
          message: expect.stringContaining(
            'kinesisPublisher (stream orders): no answer came in time. Kinesis could not',
          ),
        },
      });
      expect(fake.calls).toMatchObject({ aborted: 1, underWay: 0 });
      expect(publish(numbered('a2')).error).toBeNull();
      close();
    });
  });

  it('does not try again what rests of a call that has failed', () => {
    marbles(({ at, advanceTo }) => {
      const fake = putFake();
      refusing(fake, { b1: 9 });
      fake.fail = (records) =>
        records.some(({ value }) => value === 'a2') ? { error: sdkError({ code: 'EPIPE' }) } : null;
      const { publish, close } = hold(fake, { backoff: () => 1_000 });
      const call = publish(numbered('a1 b1 a2'));
      const behind = publish(numbered('b2'));
      at(100, () => publish(numbered('b3')));
      advanceTo(5_000);
      expect([call, behind]).toMatchObject([{ error: { code: 'connection-failed' }, at: 20 }, { at: 20 }]);
      expect(behind.error).toBe(call.error);
      expect(timesOf(fake)).toEqual(['0: a1 b1', '10: a2', '100: b3']);
      close();
    });
  });

  it('throws at once, as any client may', () => {
    marbles(({ advanceTo }) => {
      const fake = putFake();
      Object.assign(fake.client, {
        putRecords: () => {
          throw sdkError({ name: 'AccessDeniedException' });
        },
      });
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1'));
      advanceTo(1);
      expect(call.error).toMatchObject({ code: 'not-authorized' });
      close();
    });
  });
});
