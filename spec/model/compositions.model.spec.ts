import { describe, expect, it } from '@jest/globals';
import { LAST, MIDDLE, runComposition, type Composition, type Last, type Middle } from './compositions.js';
import { choices } from './random.js';
import { randomSeed } from '../support/seed.js';

const soak = process.env['RXSLUICE_SOAK'] === '1';
const seed = randomSeed();
const UNTIL_MS = 120_000;
/** For a machine that others keep busy. */
const TIMEOUT_MS = 3_600_000;
/** Those that let one delivery wait for another, or make several of one. */
const WAITING = ['ordered', 'orderedByValue', 'retryToDlq', 'dedupe', 'fanOut', 'branches'] as const;

/** All sequences of so many operators, the same one twice included. */
function sequences(length: number, of: readonly Middle[] = MIDDLE): Middle[][] {
  if (length === 0) return [[]];
  return sequences(length - 1, of).flatMap((rest) => of.map((middle) => [...rest, middle]));
}

/** Lists the compositions that do not end, and those that lose a message. */
function faultsOf(compositions: readonly Composition[], first: number): string[] {
  return compositions.flatMap((composition, index) => {
    const { middle, last } = composition;
    const its = first + index;
    const ends = index % 2 === 0;
    const { ended, refused, lost, left, warned } = runComposition(composition, {
      seed: its,
      maxWaitMs: 50,
      untilMs: UNTIL_MS,
      ends,
    });
    const name = `${[...middle, last].join(' > ')}, seed ${its}, ${ends ? 'ends' : 'stays open'}`;
    if (refused !== null) {
      const isRight = refused === 'unsupported' && middle.includes('batch') && last === 'withOutbox';
      return isRight ? [] : [`${name}: refused as ${refused}`];
    }
    // The warning says exactly that.
    if (!ended && warned.includes('ordered-below-ordered')) return [];
    if (!ended) return [`${name}: stands still with ${left}, warned of ${warned.join()}`];
    return lost.length === 0 ? [] : [`${name}: lost ${lost.join()}`];
  });
}

describe(`operators of ours, one below the other, under nacks, outages and repeats, from seed ${seed}`, () => {
  it(
    'end, or are refused: each pair',
    () => {
      const pairs = [...sequences(0), ...sequences(1), ...sequences(2)];
      const compositions = pairs.flatMap((middle) => LAST.map((last) => ({ middle, last })));
      expect(faultsOf(compositions, seed)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  it(
    'end, or are warned of: each triple of those that wait',
    () => {
      const triples = sequences(3, WAITING);
      const compositions = triples.flatMap((middle) => LAST.map((last) => ({ middle, last })));
      for (let round = 0; round < 3; round++) {
        expect(faultsOf(compositions, seed + round * 10_000)).toEqual([]);
      }
    },
    TIMEOUT_MS,
  );

  it(
    `end, or are refused: ${soak ? 'each triple, 20 times' : 'a tenth of all triples'}`,
    () => {
      const { chance, below } = choices(seed);
      const triples = sequences(3).filter(() => soak || chance(0.1));
      const compositions = triples.map((middle) => ({ middle, last: LAST[below(LAST.length)] as Last }));
      for (let round = 0; round < (soak ? 20 : 1); round++) {
        expect(faultsOf(compositions, seed + round * 10_000)).toEqual([]);
      }
    },
    TIMEOUT_MS,
  );
});
