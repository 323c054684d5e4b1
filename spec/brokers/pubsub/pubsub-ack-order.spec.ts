import { describe, expect, it } from '@jest/globals';
import { createAckOrder } from '../../../lib/brokers/pubsub/pubsub-ack-order.js';
import { virtually } from '../../core/harness.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('createAckOrder', () => {
  it('sends what waits of a key together once the one before is answered, and keeps other keys waiting for nothing', async () => {
    const order = createAckOrder();
    const sent: string[] = [];
    const answer = new Map<string, (error?: Error) => void>();
    const send = (key: string | null, name: string): Promise<unknown> =>
      order.send(key, () => {
        sent.push(name);
        return new Promise((resolve, reject) => answer.set(name, (error) => (error ? reject(error) : resolve(name))));
      });
    const results = [
      send('a', 'a0'),
      send('a', 'a1'),
      send('b', 'b0'),
      send('a', 'a2'),
      send(null, 'x'),
      send(null, 'y'),
    ];
    expect(sent).toEqual(['a0', 'b0', 'x', 'y']);
    answer.get('a0')?.(new Error('refused'));
    await turn();
    expect(sent.slice(4)).toEqual(['a1', 'a2']);
    const late = send('a', 'a3');
    answer.get('a1')?.();
    await turn();
    expect(sent).toHaveLength(6);
    answer.get('a2')?.();
    await turn();
    expect(sent.slice(6)).toEqual(['a3']);
    for (const done of answer.values()) done();
    await expect(results[0]).rejects.toThrow('refused');
    expect(await Promise.all([...results.slice(1), late])).toEqual(['a1', 'b0', 'a2', 'x', 'y', 'a3']);
    await turn();
    void send('a', 'a4');
    expect(sent.at(-1)).toBe('a4');
  });

  it('lets what waits go where an ack is not answered for long: it may be refused for one that waits behind it', () =>
    virtually(({ advance, timers }) => {
      const order = createAckOrder();
      const sent: string[] = [];
      const send = (name: string): Promise<unknown> =>
        order.send('a', () => (sent.push(name), new Promise(() => undefined)));
      for (const name of ['a1', 'a0', 'a2']) void send(name);
      advance(1_999);
      expect(sent).toEqual(['a1']);
      advance(1);
      expect(sent).toEqual(['a1', 'a0', 'a2']);
      advance(2_000);
      expect(timers()).toBe(0);
    }));
});
