import { it } from '@jest/globals';
import { printFeaturesOff, type ConformanceCase } from '../../lib/testing.js';

/** The behaviours that look at all that this process has open, or restart the broker. */
const ALONE: readonly number[] = [1, 20, 35];

/**
 * Makes a test of each case; those that need what is off are skipped by name, and the features are printed. Cases mostly
 * wait, each in topics and groups of its own: they run side by side, but for those that must be alone. `inTurn` is for
 * cases that compute rather than wait, and for clients that do not bear it.
 */
export function checkAll(
  driver: { readonly name: string },
  cases: readonly ConformanceCase[],
  { inTurn = false }: { readonly inTurn?: boolean } = {},
): void {
  printFeaturesOff(driver.name, cases, (line) => process.stderr.write(`${line}\n`));
  const slowFirst = [...cases].sort((left, right) => outlastsLease(right) - outlastsLease(left));
  for (const { name, behaviours, run, timeoutMs, featuresOff } of slowFirst) {
    const isAlone = inTurn || behaviours.some((behaviour) => ALONE.includes(behaviour));
    if (featuresOff.length > 0) it.skip(name, run, timeoutMs);
    else (isAlone ? it : it.concurrent)(name, run, timeoutMs);
  }
}

function outlastsLease({ needs }: ConformanceCase): number {
  return needs.includes('leases') ? 1 : 0;
}
