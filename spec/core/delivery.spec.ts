import { describe, expect, it } from '@jest/globals';
import { isDeliveryNode } from '../../lib/core/delivery-node.js';
import { collect, testLog, virtually } from './harness.js';

describe('a delivery', () => {
  it('shows its raw message, also through other values', () =>
    virtually(() => {
      const log = testLog();
      const { all } = collect(log.deliveries);
      log.push(log.partition(3), { offset: 7, key: 'k' });
      const other = all[0]?.withValue('text').withValue(1);
      expect(other).toMatchObject({ value: 1, id: 't/3/7', key: 'k', attempt: 1, timestamp: 7, headers: {} });
      expect(other?.position).toEqual({ broker: 'test' });
    }));

  it('has one signal for all its values, made on demand, that an ack leaves alone and an unsubscribe aborts', () =>
    virtually(({ advance }) => {
      const log = testLog({ drainTimeoutMs: 100 });
      const { all, subscription } = collect(log.deliveries);
      log.push(log.partition(0), 0, 1);
      const signals = all.map((delivery) => delivery.withValue('x').signal);
      expect(all[0]?.signal).toBe(signals[0]);
      all[0]?.ack();
      subscription.unsubscribe();
      advance(100);
      expect(signals.map(({ aborted }) => aborted)).toEqual([false, true]);
      expect(all[1]?.signal.aborted).toBe(true);
    }));

  it('is known by its brand, so that two copies of the library understand one another', () => {
    const foreign = { [Symbol.for('rxsluice.delivery')]: true };
    expect([foreign, {}, null, 'text', undefined].map(isDeliveryNode)).toEqual([true, false, false, false, false]);
  });

  it('takes a nonsensical delay for none', () =>
    virtually(({ advance }) => {
      const log = testLog();
      const { all, ids } = collect(log.deliveries);
      log.push(log.partition(0), 0);
      all[0]?.nack('x', { delayMs: Number.NaN });
      advance(100);
      expect(ids).toEqual(['0/0#1', '0/0#2']);
    }));
});
