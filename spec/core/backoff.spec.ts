import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { waitOf } from '../../lib/core/backoff.js';
import { environment } from '../../lib/core/environment.js';
import { constant, exponential, isSluiceError } from 'rxsluice';

const { random } = environment;
afterEach(() => {
  environment.random = random;
});

describe('exponential', () => {
  it('stays from 0 up to initialMs × factor ** (failures − 1), and never above maxMs', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1, max: 1_000, noNaN: true }),
        fc.double({ min: 1, max: 4, noNaN: true }),
        fc.integer({ min: 1, max: 200 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (initialMs, factor, failures, drawn) => {
          environment.random = () => drawn;
          const wait = exponential({ initialMs, maxMs: 30_000, factor })(failures);
          expect(wait).toBeGreaterThanOrEqual(0);
          expect(wait).toBeLessThanOrEqual(Math.min(30_000, initialMs * factor ** (failures - 1)));
        },
      ),
    );
  });

  it('gives the grown wait itself without jitter', () => {
    const backoff = exponential({ initialMs: 200, jitter: 'none' });
    expect([1, 2, 3, 4, 20].map(backoff)).toEqual([200, 400, 800, 1_600, 30_000]);
  });

  it.each([
    [{ initialMs: 0 }, 'exponential: initialMs must be a number, above 0 and at most 2147483647, not 0.'],
    [
      { initialMs: 100, maxMs: 50 },
      'exponential: maxMs must be a number, at least initialMs (100) and at most 2147483647, not 50.',
    ],
    [{ initialMs: 100, factor: 0.5 }, 'exponential: factor must be a number, at least 1, not 0.5.'],
  ])('refuses %j', (options, message) => {
    let thrown: unknown;
    try {
      exponential(options);
    } catch (error) {
      thrown = error;
    }
    expect(isSluiceError(thrown) && [thrown.code, thrown.message]).toEqual(['invalid-options', message]);
  });
});

describe('constant', () => {
  it('gives the same wait each time and refuses one that no timer can wait', () => {
    expect([1, 2, 9].map(constant(50))).toEqual([50, 50, 50]);
    expect(() => constant(-1)).toThrow('constant: ms must be a number, at least 0 and at most 2147483647, not -1.');
    expect(() => constant(2 ** 31)).toThrow('not 2147483648.');
  });
});

describe('a backoff of the user', () => {
  it.each([[NaN], [-1], [Infinity], ['soon' as unknown as number]])(
    'that answers %p falls back to the default',
    (answer) => {
      environment.random = () => 0.5;
      expect(waitOf(() => answer, 1)).toBe(50);
    },
  );

  it('that throws falls back to the default', () => {
    environment.random = () => 0.5;
    const broken = (): number => {
      throw new Error('broken');
    };
    expect(waitOf(broken, 2)).toBe(100);
  });
});
