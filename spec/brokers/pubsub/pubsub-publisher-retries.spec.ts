import { describe, expect, it } from '@jest/globals';
import { isSluiceError } from '../../../lib/core/errors.js';
import { marbles } from '../../support/marbles.js';
import { numbered, statuses } from '../../support/publishing.js';
import { grpcError, publishFake, type PublishFake } from '../../support/pubsub-publish-fake.js';
import { hold, requestsOf, storedOf, timesOf } from '../../support/pubsub-publishing.js';

const [INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, PERMISSION_DENIED] = [3, 4, 5, 7];
const [RESOURCE_EXHAUSTED, FAILED_PRECONDITION, UNAVAILABLE, UNAUTHENTICATED] = [8, 9, 14, 16];

/** Fails each request that begins with this value, so often. */
function failing(fake: PublishFake, value: string, code: number, times = Infinity): void {
  let left = times;
  fake.fail = ([first]) => (first?.value === value && left-- > 0 ? { error: grpcError(code) } : null);
}

describe('a request that is throttled', () => {
  it('is sent again as it was, after a backoff; those of other keys go on', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', RESOURCE_EXHAUSTED, 2);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 a2 b1'));
      advanceTo(500);
      // Half of 100 and of 200 ms, by the fixed jitter.
      expect([timesOf(fake), statuses(call)]).toEqual([['0: a1 a2', '0: b1', '60: a1 a2', '170: a1 a2'], 'ok ok ok']);
      close();
    });
  });

  it('keeps the next of its key back, and no others', () => {
    marbles(({ at, advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', RESOURCE_EXHAUSTED, 2);
      const { publish, close } = hold(fake);
      publish(numbered('a1 b1'));
      at(5, () => publish(numbered('a2 b2')));
      at(30, () => publish(numbered('a3 b3')));
      advanceTo(500);
      expect(storedOf(fake)).toBe('b1 b2 b3 a1 a2 a3');
      close();
    });
  });

  it('is given up after retryTimeoutMs, as transient, with a last try at that time', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', RESOURCE_EXHAUSTED);
      const { publish, close } = hold(fake, { retryTimeoutMs: 250, backoff: () => 100 });
      const call = publish(numbered('a1'));
      advanceTo(1_000);
      expect(timesOf(fake)).toEqual(['0: a1', '110: a1', '220: a1', '260: a1']);
      expect([statuses(call), call.at]).toEqual(['transient', 270]);
      expect(call.outcomes?.[0]).toMatchObject({
        error: {
          code: 'publish-failed',
          message: 'pubsubPublisher: orders did not take it within 250 ms: Pub/Sub says RESOURCE_EXHAUSTED (8).',
        },
      });
      close();
    });
  });

  it('and is given up takes along what waits behind it, unsent; what comes later goes', () => {
    marbles(({ at, advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', RESOURCE_EXHAUSTED);
      const { publish, close } = hold(fake, { retryTimeoutMs: 100, backoff: () => 200, maxBatch: 2 });
      const [first, second] = [publish(numbered('a1 a2 b1')), publish(numbered('c1 a3'))];
      at(150, () => publish(numbered('a4')));
      advanceTo(500);
      expect([statuses(first), statuses(second)]).toEqual(['transient transient ok', 'ok transient']);
      expect(second.outcomes?.[1]).toMatchObject({
        error: { message: 'pubsubPublisher: not sent, since an earlier message of its key was given up.' },
      });
      expect(timesOf(fake)).toEqual(['0: a1 a2', '0: b1', '0: c1', '110: a1 a2', '150: a4']);
      close();
    });
  });

  it('is not sent again by retryTimeoutMs 0', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', RESOURCE_EXHAUSTED);
      const { publish, close } = hold(fake, { retryTimeoutMs: 0 });
      const call = publish(numbered('a1'));
      advanceTo(500);
      expect([statuses(call), call.at]).toEqual(['transient', 10]);
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
      const fake = publishFake();
      failing(fake, 'a1', RESOURCE_EXHAUSTED, 1);
      const { publish, close } = hold(fake, { backoff });
      const call = publish(numbered('a1'));
      advanceTo(500);
      expect(statuses(call)).toBe('ok');
      close();
    });
  });

  it('without a key is one of four that are out: no more is sent meanwhile', () => {
    marbles(({ at, advanceTo }) => {
      const fake = publishFake();
      fake.fail = (_, request) => (request < 4 ? { error: grpcError(RESOURCE_EXHAUSTED) } : null);
      const { publish, close } = hold(fake, { backoff: () => 100 });
      for (let ms = 1; ms <= 6; ms++) at(ms, () => publish([{ value: `x${ms}` }]));
      advanceTo(500);
      expect(timesOf(fake).slice(4)).toEqual(['111: x1', '112: x2', '113: x3', '114: x4', '121: x5 x6']);
      close();
    });
  });
});

describe('a request that does not reach the service', () => {
  it.each([1, 2, 10, 13, UNAVAILABLE])('by code %d is sent again', (code) => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', code, 3);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1'));
      advanceTo(2_000);
      expect([statuses(call), storedOf(fake)]).toEqual(['ok', 'a1']);
      close();
    });
  });

  it('fails its calls after ten seconds, or retryTimeoutMs where that is less', () => {
    for (const [retryTimeoutMs, endsAt] of [
      [60_000, 10_020],
      [500, 520],
    ] as const) {
      marbles(({ advanceTo }) => {
        const fake = publishFake();
        failing(fake, 'a1', UNAVAILABLE);
        const { publish, close } = hold(fake, { retryTimeoutMs });
        const call = publish(numbered('a1 b1'));
        advanceTo(20_000);
        expect(call.at).toBe(endsAt);
        expect(call.error).toMatchObject({ code: 'connection-failed', details: { topic: 'orders' } });
        close();
      });
    }
  });

  it('may be stored all the same: it comes twice then, never out of its order', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      fake.fail = (_, request) => (request === 0 ? { error: grpcError(UNAVAILABLE), stored: true } : null);
      const { publish, close } = hold(fake);
      publish(numbered('a1 a2'));
      publish(numbered('a3'));
      advanceTo(1_000);
      expect(storedOf(fake)).toBe('a1 a2 a3 a1 a2 a3');
      close();
    });
  });

  it('fails all calls with something behind it of its key, as they came, and no others', () => {
    marbles(({ at, advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', UNAVAILABLE);
      const { publish, close } = hold(fake, { retryTimeoutMs: 50, backoff: () => 50 });
      const ended: string[] = [];
      const calls = ['a1 c1', 'a2 b1', 'b2', 'c2', 'd1'].map((text) =>
        publish(numbered(text), ({ error }) => ended.push(`${text}: ${error === null ? 'ok' : 'failed'}`)),
      );
      at(100, () => publish(numbered('a9')));
      advanceTo(500);
      // b1 was stored, and b2 with it: only what stands behind a1 is lost.
      expect(ended.slice(-2)).toEqual(['a1 c1: failed', 'a2 b1: failed']);
      expect(calls.map(({ error }) => error === null)).toEqual([false, false, true, true, true]);
      expect(requestsOf(fake).at(-1)).toBe('a9');
      expect(storedOf(fake)).not.toContain('a2');
      close();
    });
  });
});

describe('a request that ends otherwise', () => {
  it.each([
    ['NOT_FOUND', NOT_FOUND, 'unknown-topic'],
    ['PERMISSION_DENIED', PERMISSION_DENIED, 'not-authorized'],
    ['UNAUTHENTICATED', UNAUTHENTICATED, 'authentication-failed'],
    ['FAILED_PRECONDITION', FAILED_PRECONDITION, 'publish-failed'],
    ['DEADLINE_EXCEEDED, which was waited for already', DEADLINE_EXCEEDED, 'connection-failed'],
  ])('by %s fails its calls at once', (_, code, expected) => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'a1', code);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1'));
      advanceTo(100);
      expect([call.at, call.error]).toEqual([10, expect.objectContaining({ code: expected })]);
      close();
    });
  });

  it('is cut off after requestTimeoutMs', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      fake.fail = () => 'never';
      const { publish, close } = hold(fake, { requestTimeoutMs: 3_000 });
      const call = publish(numbered('a1'));
      advanceTo(3_000);
      expect([call.error, fake.calls.underWay]).toEqual([expect.objectContaining({ code: 'connection-failed' }), 0]);
      close();
    });
  });

  it('with other than one id a message fails its calls', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      fake.ids = (ids) => ids.slice(1);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 a2'));
      advanceTo(10);
      expect(call.error).toMatchObject({
        code: 'publish-failed',
        message: 'pubsubPublisher: Pub/Sub gave 1 ids for 2 messages.',
      });
      close();
    });
  });

  it('on a PubSub that was closed meanwhile fails its calls, and says so', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      const { publish, close } = hold(fake);
      fake.pubsub.isOpen = false;
      const call = publish(numbered('a1'));
      advanceTo(10);
      expect(call.error).toMatchObject({ code: 'connection-failed' });
      expect(fake.requests).toEqual([]);
      close();
    });
  });
});

describe('a request that is refused', () => {
  it('is taken apart by halves until the message is found, in order', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      fake.refuse = ({ value }) => value === 'a3';
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 a2 a3 a4 a5'));
      advanceTo(500);
      expect(requestsOf(fake)).toEqual(['a1 a2 a3 a4 a5', 'a1 a2 a3', 'a1 a2', 'a3', 'a4 a5']);
      expect(statuses(call)).toBe('ok ok permanent ok ok');
      expect(storedOf(fake)).toBe('a1 a2 a4 a5');
      const [, , refusal] = call.outcomes ?? [];
      expect(refusal).toMatchObject({
        error: {
          code: 'publish-failed',
          message: 'pubsubPublisher: Pub/Sub does not take this message: Pub/Sub says INVALID_ARGUMENT (3).',
        },
      });
      close();
    });
  });

  it('and then throttled is sent again from where it was, and what behind it not before', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      fake.refuse = ({ value }) => value === 'a4';
      let times = 2;
      fake.fail = ([first]) => (first?.value === 'a3' && times-- > 0 ? { error: grpcError(RESOURCE_EXHAUSTED) } : null);
      const { publish, close } = hold(fake);
      const call = publish(numbered('a1 a2 a3 a4 a5 a6'));
      advanceTo(2_000);
      expect(storedOf(fake)).toBe('a1 a2 a3 a5 a6');
      expect(statuses(call)).toBe('ok ok ok permanent ok ok');
      close();
    });
  });

  it.each([
    ['given up', RESOURCE_EXHAUSTED],
    ['lost', NOT_FOUND],
  ])('and then %s is told to whose messages were so before those whose messages were stored', (_, code) => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      fake.refuse = ({ value }) => value === 'a3';
      failing(fake, 'a4', code);
      const { publish, close } = hold(fake, { retryTimeoutMs: 0 });
      const told: string[] = [];
      for (const text of ['a1', 'a2 a3 a4', 'a5']) publish(numbered(text), () => told.push(text));
      advanceTo(500);
      expect([storedOf(fake), told]).toEqual(['a1 a2', ['a2 a3 a4', 'a5', 'a1']]);
      close();
    });
  });

  it('shows nothing of what the service says', () => {
    marbles(({ advanceTo }) => {
      const fake = publishFake();
      failing(fake, 'b1', NOT_FOUND);
      fake.refuse = ({ value }) => value === 'a1';
      const { publish, close } = hold(fake);
      const [refused, failed] = [publish(numbered('a1')), publish(numbered('b1'))];
      advanceTo(100);
      const [outcome] = refused.outcomes ?? [];
      for (const error of [outcome !== undefined && 'error' in outcome && outcome.error, failed.error]) {
        if (!isSluiceError(error)) throw new Error('no typed error');
        expect(`${error.message} ${error.stack} ${JSON.stringify(error)}`).not.toContain('the message of');
      }
      close();
    });
  });
});

describe('the order of a key', () => {
  it('needs nobody to resume it: what is published after a failure goes', () => {
    marbles(({ advanceTo, now }) => {
      const fake = publishFake();
      fake.fail = () => (now() < 10 ? { error: grpcError(INVALID_ARGUMENT) } : null);
      const { publish, close } = hold(fake);
      const first = publish(numbered('a1'));
      advanceTo(20);
      const second = publish(numbered('a2'));
      advanceTo(50);
      expect([statuses(first), statuses(second)]).toEqual(['permanent', 'ok']);
      close();
    });
  });
});
