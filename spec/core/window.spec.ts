import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Window } from '../../lib/core/window.js';

describe('Window', () => {
  it('has its watermark at the lowest unsettled slot, whatever the order of settlements (I1)', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 400 }), (picks) => {
        const window = new Window();
        const open = new Set<number>();
        for (const pick of picks) {
          if (pick % 3 !== 0 || open.size === 0) open.add(window.open({ at: window.tail }));
          else {
            const slot = [...open][pick % open.size] as number;
            open.delete(slot);
            const before = window.head;
            expect(window.settle(slot)).toBe(window.head > before);
          }
          expect(window.head).toBe(open.size === 0 ? window.tail : Math.min(...open));
          expect(window.span).toBe(window.tail - window.head);
          expect(window.last).toEqual(window.head === 0 ? null : { at: window.head - 1 });
          expect(window.oldest).toEqual(window.span === 0 ? null : { at: window.head });
        }
      }),
    );
  });

  it('never passes a slot that is let go', () => {
    const window = new Window();
    const slots = [window.open('a'), window.open('b'), window.open('c')] as const;
    window.release(slots[1]);
    expect(window.settle(slots[0])).toBe(true);
    expect(window.settle(slots[2])).toBe(false);
    expect([window.head, window.last]).toEqual([1, 'a']);
  });

  it('keeps the order over growth, also where it grows in the middle of its ring', () => {
    const window = new Window();
    for (let i = 0; i < 40; i++) window.settle(window.open(i));
    const slots = Array.from({ length: 1_000 }, (_, i) => window.open(40 + i));
    for (const slot of [...slots].reverse()) window.settle(slot);
    expect([window.span, window.last]).toEqual([0, 1_039]);
  });
});
