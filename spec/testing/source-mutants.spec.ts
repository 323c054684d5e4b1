import { afterEach, describe } from '@jest/globals';
import { sourceConformance } from '../../lib/testing.js';
import { memorySourceDriver } from '../conformance/memory-drivers.js';
import { catchesAll, coversAll } from './catches-all.js';
import { endLeftTimers } from './mutant.js';
import { reshardMutants } from './reshard-mutants.js';
import { sourceMutants } from './source-mutants.js';

afterEach(endLeftTimers);

describe('the source suite catches a source that', () => {
  const mutants = [...sourceMutants, ...reshardMutants];
  catchesAll(mutants, sourceConformance);
  coversAll(mutants, sourceConformance(memorySourceDriver));
});
