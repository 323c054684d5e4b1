import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BUSY, FREE, KEPT, LaneStates } from '../../lib/core/lane-states.js';

const bytesOf = (states: LaneStates): number => states['entries'].byteLength;

describe('LaneStates', () => {
  it('does what a Map does, also where lanes have the same place', () => {
    const step = fc.record({
      // Few places, at the end of the table too: rows of lanes that go round.
      lane: fc.oneof(
        fc.integer({ min: 0, max: 2 ** 29 - 1 }),
        fc.integer({ min: 0, max: 40 }).map((n) => 6 + (n % 4) + 8 * Math.floor(n / 4)),
      ),
      state: fc.constantFrom(FREE, FREE, BUSY, KEPT),
      takes: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
        const states = new LaneStates();
        const model = new Map<number, number>();
        for (const { lane, state, takes } of steps) {
          if (takes) {
            expect(states.take(lane)).toBe(model.get(lane) ?? FREE);
            if (!model.has(lane)) model.set(lane, BUSY);
          } else {
            states.set(lane, state);
            if (state === FREE) model.delete(lane);
            else model.set(lane, state);
          }
        }
        for (const { lane } of steps) expect(states.get(lane)).toBe(model.get(lane) ?? FREE);
        for (const lane of model.keys()) states.set(lane, FREE);
        for (const { lane } of steps) expect(states.get(lane)).toBe(FREE);
        expect(bytesOf(states)).toBeLessThanOrEqual(32);
      }),
    );
  });

  it('has no table for a lane at a time, takes at most 16 bytes for each that is out, and gives them back', () => {
    const states = new LaneStates();
    const lanes = Array.from({ length: 10_000 }, (_, at) => Math.imul(at, 0x9e3779b1) >>> 3);
    for (const lane of lanes) {
      states.take(lane);
      states.set(lane, FREE);
    }
    expect(bytesOf(states)).toBe(4);
    for (const [at, lane] of lanes.entries()) {
      states.take(lane);
      expect(bytesOf(states)).toBeLessThanOrEqual(Math.max(32, 16 * (at + 1)));
    }
    for (const lane of lanes) states.set(lane, FREE);
    expect(bytesOf(states)).toBe(32);
  });
});
