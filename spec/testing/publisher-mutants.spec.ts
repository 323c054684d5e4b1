import { afterEach, describe } from '@jest/globals';
import { publisherConformance } from '../../lib/testing.js';
import { memoryPublisherDriver } from '../conformance/memory-drivers.js';
import { catchesAll, coversAll } from './catches-all.js';
import { endLeftTimers } from './mutant.js';
import { publisherMutants } from './publisher-mutants.js';

afterEach(endLeftTimers);

// A file of its own: a timer that a broken source has left, and that ends meanwhile, would hide one that a publisher begins.
describe('the publisher suite catches a publisher that', () => {
  catchesAll(publisherMutants, publisherConformance);
  coversAll(publisherMutants, publisherConformance(memoryPublisherDriver));
});
