import { expect, it } from '@jest/globals';
import type { ConformanceCase, ConformanceTimings } from '../../lib/testing.js';
import type { Mutant } from './mutant.js';

// Short waits see a defect soon, and on a busy machine they end before it shows: then all waits are four times as long.
const PATIENCE = [1, 4, 16];

interface Timed {
  readonly timings?: Pick<ConformanceTimings, 'withinMs' | 'quietMs'>;
}

/** Each defect is seen by the case that is there for it. */
export function catchesAll<D extends Timed>(
  mutants: readonly Mutant<D>[],
  suite: (driver: D) => readonly ConformanceCase[],
): void {
  it.each(mutants)('$name (by: $caughtBy)', async ({ driver, caughtBy, seen }) => {
    const answers: string[] = [];
    for (const times of PATIENCE) {
      const answer = await answerOf(caseOf(suite(withPatience(driver, times)), caughtBy));
      if (seen.test(answer)) return;
      answers.push(answer);
    }
    expect(answers.at(-1)).toMatch(seen);
  });
}

async function answerOf({ run }: ConformanceCase): Promise<string> {
  try {
    await run();
    return 'The case passes.';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function withPatience<D extends Timed>(driver: D, times: number): D {
  const { withinMs, quietMs } = driver.timings ?? {};
  const longer = {
    ...(withinMs === undefined ? {} : { withinMs: withinMs * times }),
    ...(quietMs === undefined ? {} : { quietMs: quietMs * times }),
  };
  return { ...driver, timings: { ...driver.timings, ...longer } };
}

/** No case is without a defect that it sees. */
export function coversAll(mutants: readonly Mutant<unknown>[], cases: readonly ConformanceCase[]): void {
  it('and has for each case a mutant that it catches', () => {
    const caught = mutants.map(({ caughtBy }) => caseOf(cases, caughtBy).name);
    expect(cases.map(({ name }) => name).filter((name) => !caught.includes(name))).toEqual([]);
  });
}

function caseOf(cases: readonly ConformanceCase[], start: string): ConformanceCase {
  const [found, ...others] = cases.filter(({ name }) => name.startsWith(start));
  if (found === undefined || others.length > 0) throw new Error(`'${start}' is the start of no case, or of several.`);
  return found;
}
