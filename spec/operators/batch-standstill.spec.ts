import { describe, expect, it } from '@jest/globals';
import type { Observable } from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import { DeliveryNode, type SettlementHook } from '../../lib/core/delivery-node.js';
import { operate, type OperatorParts } from '../../lib/core/operate.js';
import { batch } from '../../lib/operators/batch.js';
import { ordered } from '../../lib/operators/ordered.js';
import { marbles } from '../support/marbles.js';

type Texts = Observable<Delivery<string>>;

/** Stands for an operator that holds others back; counts how often it is asked about one that is out. */
function counting(asked: { count: number }): (source: Texts) => Texts {
  const hook: SettlementHook = {
    onAck: (child, outcome) => child.up?.settle(outcome),
    onNack: (child, reason, delayMs) => child.up?.fail(reason, delayMs),
    onAbandon: (child) => child.up?.abandon(),
    isAwaited: () => {
      asked.count++;
      return false;
    },
  };
  return operate((destination): OperatorParts => ({
    holdsBack: true,
    next: (delivery) => {
      const { value, attempt, epoch } = delivery;
      destination.next(new DeliveryNode(value, attempt, delivery, hook, 0, epoch, null));
    },
  }));
}

/** How often it is asked, where so many messages come one by one while all that is out is gathered. */
function asksOf(messages: number): number {
  const asked = { count: 0 };
  marbles(({ log, drive, advanceTo }) => {
    const source = log('');
    drive(source.texts.pipe(counting(asked), batch({ maxSize: 10_000, maxWaitMs: 100_000 })));
    for (let at = 0; at < messages; at++) source.publish(String(at));
    advanceTo(1);
  });
  return asked.count;
}

describe('batch, of which others wait for members', () => {
  it('asks of each message once, however many are gathered', () => {
    expect(asksOf(100)).toBe(100);
    expect(asksOf(400)).toBe(400);
  });

  it('goes at once where others begin to wait for one that was asked of before', () =>
    marbles(({ log, drive, advanceTo }) => {
      const source = log('');
      const texts = source.texts.pipe(ordered({ by: 'key' }), counting({ count: 0 }));
      const out = drive(texts.pipe(batch({ maxSize: 10_000, maxWaitMs: 100_000 })));
      for (const key of ['a', 'b', 'c']) source.publish(key, { key });
      advanceTo(1);
      expect(out.values).toEqual([]);
      source.publish('again', { key: 'a' });
      advanceTo(2);
      expect(out.values.map(({ value }) => value.join())).toEqual(['a,b,c']);
      out.values[0]?.ack();
      advanceTo(3);
      // What is gathered next is asked of anew.
      source.publish('d', { key: 'd' });
      source.publish('last', { key: 'a' });
      advanceTo(4);
      expect(out.values.map(({ value }) => value.join())).toEqual(['a,b,c', 'again,d']);
      out.values[1]?.ack();
    }));
});
