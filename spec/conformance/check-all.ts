import { it } from '@jest/globals';
import { printFeaturesOff, type ConformanceCase } from '../../lib/testing.js';

/** Makes a test of each case; those that need what is off are skipped by name, and the features are printed. */
export function checkAll(driver: { readonly name: string }, cases: readonly ConformanceCase[]): void {
  printFeaturesOff(driver.name, cases, (line) => process.stderr.write(`${line}\n`));
  for (const { name, run, timeoutMs, featuresOff } of cases) {
    (featuresOff.length === 0 ? it : it.skip)(name, run, timeoutMs);
  }
}
