import { afterEach, describe } from '@jest/globals';
import { leaseStoreConformance } from '../../lib/testing.js';
import { memoryLeaseStoreDriver } from '../conformance/memory-drivers.js';
import { catchesAll, coversAll } from './catches-all.js';
import { leaseStoreMutants } from './lease-store-mutants.js';
import { endLeftTimers } from './mutant.js';

afterEach(endLeftTimers);

describe('the suite of lease stores catches a store that', () => {
  catchesAll(leaseStoreMutants, leaseStoreConformance);
  coversAll(leaseStoreMutants, leaseStoreConformance(memoryLeaseStoreDriver));
});
