import { expect, it } from '@jest/globals';
import type { ConformanceCase } from '../../lib/testing.js';
import type { Mutant } from './mutant.js';

/** Each defect is seen by the case that is there for it. */
export function catchesAll<D>(mutants: readonly Mutant<D>[], suite: (driver: D) => readonly ConformanceCase[]): void {
  it.each(mutants)('$name (by: $caughtBy)', async ({ driver, caughtBy, seen }) => {
    await expect(caseOf(suite(driver), caughtBy).run()).rejects.toThrow(seen);
  });
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
