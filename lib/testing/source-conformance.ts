import { conformanceCase, type ConformanceCase } from './conformance-case.js';
import { resolveTimings, timeoutOf } from './conformance-timings.js';
import { boundCases } from './source-cases/bounds.js';
import { coldCases } from './source-cases/cold.js';
import { deadLetterCases } from './source-cases/dead-letters.js';
import { endingCases } from './source-cases/endings.js';
import { failureCases } from './source-cases/failures.js';
import { keptCases } from './source-cases/kept.js';
import { leftoverCases } from './source-cases/leftovers.js';
import { moveCases } from './source-cases/moves.js';
import { orderCases } from './source-cases/order.js';
import { repeatCases } from './source-cases/repeats.js';
import { reshardCases } from './source-cases/reshards.js';
import { settleCases } from './source-cases/settle.js';
import { startCases } from './source-cases/start.js';
import type { SourceDriver } from './source-driver.js';
import { inSourceWorld } from './source-world.js';

/**
 * The behaviours that every source must have, as cases for whatever test runner, in real time on a real broker.
 *
 * ```ts
 * const cases = sourceConformance(driver);
 * printFeaturesOff(driver.name, cases, console.log);
 * for (const { name, run, timeoutMs, featuresOff } of cases) {
 *   (featuresOff.length === 0 ? it : it.skip)(name, run, timeoutMs);
 * }
 * ```
 *
 * Each case opens a test bed of the driver, makes topics and groups of its own, ends every subscription, and fails where a
 * source does not report that it is closed. Cases may run side by side where the driver's test beds may.
 * @public
 */
export function sourceConformance(driver: SourceDriver): ConformanceCase[] {
  const timings = resolveTimings(`The timings of ${driver.name}`, driver.timings);
  const definitions = [
    ...coldCases,
    ...keptCases,
    ...orderCases,
    ...startCases,
    ...settleCases,
    ...boundCases,
    ...endingCases,
    ...moveCases,
    ...reshardCases,
    ...failureCases,
    ...deadLetterCases,
    ...repeatCases,
    ...leftoverCases,
  ];
  return definitions
    .map((definition) =>
      conformanceCase(definition, driver.features, timeoutOf(timings), (body) => inSourceWorld(driver, timings, body)),
    )
    .sort((left, right) => (left.behaviours[0] ?? 0) - (right.behaviours[0] ?? 0));
}
