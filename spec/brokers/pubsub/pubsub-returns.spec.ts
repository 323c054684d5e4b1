import { describe, expect, it } from '@jest/globals';
import type { PubSubArrival, PubSubRecord } from '../../../lib/brokers/pubsub/pubsub-record.js';
import { createReturns } from '../../../lib/brokers/pubsub/pubsub-returns.js';
import { virtually } from '../../core/harness.js';

/** Of one key, `a`, unless `/` tells another. */
function returnsOf() {
  const returns = createReturns();
  const named = (name: string) => {
    const [id = '', orderingKey = 'a'] = name.split('/');
    return { id, orderingKey: orderingKey === 'none' ? null : orderingKey };
  };
  return {
    goBack: (...names: string[]) => {
      for (const name of names) returns.wentBack(named(name) as PubSubRecord);
    },
    /** Those that are taken, of what arrives in this order. */
    taken: (...names: string[]) => names.filter((name) => !returns.isTooEarly(named(name) as PubSubArrival<unknown>)),
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
});
