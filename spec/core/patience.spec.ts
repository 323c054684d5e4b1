import { describe, expect, it } from '@jest/globals';
import { SluiceError, type SluiceErrorCode } from '../../lib/core/errors.js';
import { permanent } from '../../lib/core/failures.js';
import { createPatience, isRefusal } from '../../lib/core/patience.js';
import { marbles } from '../support/marbles.js';

const denied = new SluiceError('not-authorized', 'source: denied.', {
  cause: new Error('why'),
  details: { stream: 's' },
});

describe('the patience of a source', () => {
  it('ends at the first refusal where nothing was ever answered', () =>
    marbles(() => {
      expect(createPatience(1_000).refused('a', denied)).toBe(denied);
    }));

  it('ends at the refusal in a row that it is told to, where nothing was ever answered', () =>
    marbles(() => {
      const patience = createPatience(1_000, 3);
      patience.refused('a', denied);
      // That says nothing of whether it would be refused.
      patience.unreached('a', denied);
      expect([1, 2, 3].map(() => patience.refused('a', denied))).toEqual([null, null, denied]);
    }));

  it('goes on once something was answered, until nothing but refusals has come for the time-out', () =>
    marbles(({ advanceTo }) => {
      const patience = createPatience(1_000);
      patience.answered('a');
      expect(patience.refused('b', denied)).toBe(null);
      advanceTo(999);
      expect(patience.refused('b', denied)).toBe(null);
      patience.answered('b');
      expect(patience.refused('b', denied)).toBe(null);
      advanceTo(1_998);
      expect(patience.refused('b', denied)).toBe(null);
      advanceTo(2_000);
      expect(patience.refused('b', denied)).toMatchObject({
        code: 'not-authorized',
        message: 'source: denied. It has been so for 1 s (refusalTimeoutMs).',
        details: { stream: 's', forMs: 1_001 },
        cause: denied.cause,
      });
    }));

  it('counts for each who asks by itself, and forgets who asks no more', () =>
    marbles(({ advanceTo }) => {
      const patience = createPatience(1_000);
      patience.answered('a');
      patience.refused('b', denied);
      patience.refused('c', denied);
      patience.forget('c');
      advanceTo(1_000);
      patience.answered('a');
      expect(patience.refused('c', denied)).toBe(null);
      expect(patience.refused('b', denied)).not.toBe(null);
    }));

  it('waits without a bound for what does not answer, but for what never has', () =>
    marbles(({ advanceTo }) => {
      const [never, before] = [createPatience(1_000), createPatience(1_000)];
      before.answered('a');
      const both = () => [never.unreached('a', denied), before.unreached('a', denied)];
      expect(both()).toEqual([null, null]);
      advanceTo(999);
      expect(both()).toEqual([null, null]);
      advanceTo(1_000);
      expect(both()).toEqual([expect.any(SluiceError), null]);
    }));

  it('ends by time alone where it is told to, also where nothing was ever answered', () =>
    marbles(({ advanceTo }) => {
      const patience = createPatience(1_000, Infinity);
      expect(patience.refused('a', denied)).toBe(null);
      advanceTo(1_000);
      expect(patience.refused('a', denied)).toMatchObject({ code: 'not-authorized' });
    }));

  it('takes for a refusal what somebody has to mend', () => {
    const codes: SluiceErrorCode[] = ['authentication-failed', 'not-authorized', 'unknown-topic', 'schema-mismatch'];
    expect(codes.every((code) => isRefusal(new SluiceError(code, '')))).toBe(true);
    const outage = new SluiceError('connection-failed', '');
    const marked = new SluiceError('store-failed', '', { cause: permanent(new Error('no table')) });
    expect([isRefusal(outage), isRefusal(marked)]).toEqual([false, true]);
  });
});
