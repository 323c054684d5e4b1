import { describe, expect, it } from '@jest/globals';
import type { PubSubArrival, PubSubRecord } from '../../../lib/brokers/pubsub/pubsub-record.js';
import { createReturns } from '../../../lib/brokers/pubsub/pubsub-returns.js';
import { createSlowCalls } from '../../../lib/brokers/pubsub/pubsub-slow-calls.js';
import { virtually } from '../../core/harness.js';

/** Of one key, `a`, unless `/` tells another. */
function returnsOf() {
  const slowCalls = createSlowCalls();
  const returns = createReturns({ longestLeaseMs: 60_000, slowCalls });
  const named = (name: string) => {
    const [id = '', given = 'a'] = name.split('/');
    const orderingKey = given === 'none' ? null : given;
    return { id, orderingKey, orderedBy: orderingKey };
  };
  return {
    slowCalls,
    goBack: (...names: string[]) => {
      for (const name of names) returns.wentBack(named(name) as PubSubRecord);
    },
    /** Those that are taken, of what arrives in this order. */
    taken: (...names: string[]) =>
      names.filter((name) => !returns.isTooEarly(named(name) as unknown as PubSubArrival<unknown>)),
  };
}

describe('createReturns', () => {
  it('sends back what was on its way when an earlier one of its key went back, and takes all from that one on', () => {
    const { goBack, taken } = returnsOf();
    goBack('1', '2');
    expect(taken('3', '4')).toEqual([]);
    expect(taken('1', '2', '3', '4')).toEqual(['1', '2', '3', '4']);
  });

  it('takes all from one on that went back behind the first, since another consumer has those before it', () => {
    const { goBack, taken } = returnsOf();
    goBack('1', '2', '3', '4');
    expect(taken('5', '6')).toEqual([]);
    // The other took 1 and 2, and failed 3.
    expect(taken('3', '4', '5', '6')).toEqual(['3', '4', '5', '6']);
  });

  it('sends each back once: what comes again comes because the others are elsewhere', () => {
    const { goBack, taken } = returnsOf();
    goBack('1');
    expect(taken('2')).toEqual([]);
    expect(taken('2', '3')).toEqual(['2', '3']);
  });

  it('leaves other keys alone, and what has none', () => {
    const { goBack, taken } = returnsOf();
    goBack('1', '2/none');
    expect(taken('3/b', '4/none', '5')).toEqual(['3/b', '4/none']);
  });

  it('forgets what went back ten seconds ago', () =>
    virtually(({ advance }) => {
      const { goBack, taken } = returnsOf();
      goBack('1');
      advance(10_001);
      expect(taken('2')).toEqual(['2']);
    }));

  it('knows longer what went back where calls are slow, as the one that told the service may have been', () =>
    virtually(({ advance }) => {
      const { goBack, taken, slowCalls } = returnsOf();
      goBack('1', '1/b', '1/c');
      const answered = slowCalls.begin();
      advance(20_000);
      expect(taken('2')).toEqual([]);
      answered();
      advance(9_999);
      expect(taken('2/b')).toEqual([]);
      advance(2);
      expect(taken('2/c')).toEqual(['2/c']);
    }));

  it('forgets it once its lease is over, however slow calls are', () =>
    virtually(({ advance }) => {
      const { goBack, taken, slowCalls } = returnsOf();
      goBack('1', '1/b');
      slowCalls.begin();
      advance(69_999);
      expect(taken('2')).toEqual([]);
      advance(2);
      expect(taken('2/b')).toEqual(['2/b']);
    }));

  it('remembers ten thousand of a key: those beyond go back again, and pass none', () => {
    const { goBack, taken } = returnsOf();
    goBack(...Array.from({ length: 10_000 }, (_, index) => `m${index}`), 'beyond');
    expect(taken('beyond', 'beyond')).toEqual([]);
    expect(taken('m0', 'm1', 'beyond')).toEqual(['m0', 'm1', 'beyond']);
  });
});
