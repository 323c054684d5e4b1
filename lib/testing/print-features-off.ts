import type { ConformanceCase } from './conformance-case.js';

/**
 * Says what a suite leaves out: one line for each feature that is off, with the cases that need it; nothing where all run.
 *
 * ```ts
 * printFeaturesOff('fromKafka', sourceConformance(driver), console.log);
 * ```
 * @public
 */
export function printFeaturesOff(name: string, cases: readonly ConformanceCase[], print: (line: string) => void): void {
  const skipped = cases.filter(({ featuresOff }) => featuresOff.length > 0);
  if (skipped.length === 0) return;
  print(`${name}: ${skipped.length} of ${cases.length} conformance cases are left out.`);
  for (const feature of new Set(skipped.flatMap(({ featuresOff }) => featuresOff))) {
    const names = skipped.filter(({ featuresOff }) => featuresOff.includes(feature)).map((skip) => skip.name);
    print(`  ${feature} is off: ${names.join('; ')}`);
  }
}
