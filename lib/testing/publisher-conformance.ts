import { conformanceCase, type ConformanceCase } from './conformance-case.js';
import { resolveTimings, timeoutOf } from './conformance-timings.js';
import { connectionCases } from './publisher-cases/connection.js';
import { outcomeCases } from './publisher-cases/outcomes.js';
import { storedCases } from './publisher-cases/stored.js';
import type { PublisherDriver } from './publisher-driver.js';
import { inPublisherWorld } from './publisher-world.js';

/**
 * The behaviours that every publisher must have, as cases for whatever test runner: as `sourceConformance` for
 * sources. Each case opens a test bed of the driver, makes topics of its own and lets go of every connection.
 * @public
 */
export function publisherConformance(driver: PublisherDriver): ConformanceCase[] {
  const timings = resolveTimings(`The timings of ${driver.name}`, driver.timings);
  return [...connectionCases, ...storedCases, ...outcomeCases]
    .map((definition) =>
      conformanceCase(definition, driver.features, timeoutOf(timings), (body) =>
        inPublisherWorld(driver, timings, body),
      ),
    )
    .sort((left, right) => (left.behaviours[0] ?? 0) - (right.behaviours[0] ?? 0));
}
