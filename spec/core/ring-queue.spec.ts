import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { RingQueue } from '../../lib/core/ring-queue.js';

describe('RingQueue', () => {
  it('does what an array does with push and shift', () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.integer()), { maxLength: 300 }), (steps) => {
        const queue = new RingQueue<number>();
        const model: number[] = [];
        for (const step of steps) {
          if (step === null) expect(queue.shift()).toBe(model.shift());
          else {
            queue.push(step);
            model.push(step);
          }
          expect([queue.length, queue.peek()]).toEqual([model.length, model[0]]);
        }
        expect(queue.extract((n) => n % 2 === 0)).toEqual(model.filter((n) => n % 2 === 0));
        expect(queue.drain()).toEqual(model.filter((n) => n % 2 !== 0));
        expect(queue.length).toBe(0);
      }),
    );
  });
});
