import { conformanceCase, type ConformanceCase } from './conformance-case.js';
import { resolveTimings, timeoutOf } from './conformance-timings.js';
import { leaseRaceCases } from './lease-store-cases/races.js';
import { leaseRowCases } from './lease-store-cases/rows.js';
import { leaseWriteCases } from './lease-store-cases/writes.js';
import type { LeaseStoreDriver } from './lease-store-driver.js';
import { inLeaseStoreWorld } from './lease-store-world.js';

/**
 * The behaviours that every `LeaseStore` must have, as cases for whatever test runner: as `sourceConformance` for sources.
 *
 * ```ts
 * const driver = { name: 'dynamoLeaseStore', open: () => ({ worker: () => dynamoLeaseStore(newClient(), 'leases') }) };
 * for (const { name, run, timeoutMs } of leaseStoreConformance(driver)) it(name, run, timeoutMs);
 * ```
 * @public
 */
export function leaseStoreConformance(driver: LeaseStoreDriver): ConformanceCase[] {
  const timings = resolveTimings(`The timings of ${driver.name}`, driver.timings);
  return [...leaseRowCases, ...leaseWriteCases, ...leaseRaceCases]
    .map((definition) =>
      conformanceCase(definition, {}, timeoutOf(timings), (body) => inLeaseStoreWorld(driver, timings, body)),
    )
    .sort((left, right) => (left.behaviours[0] ?? 0) - (right.behaviours[0] ?? 0));
}
