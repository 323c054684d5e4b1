import { afterEach, describe, expect, it } from '@jest/globals';
import {
  leaseStoreConformance,
  publisherConformance,
  sourceConformance,
  type ConformanceCase,
} from '../../lib/testing.js';
import { memoryLeaseStoreDriver, memoryPublisherDriver, memorySourceDriver } from '../conformance/memory-drivers.js';
import { leaseStoreMutants } from './lease-store-mutants.js';
import { endLeftTimers, type Mutant } from './mutant.js';
import { publisherMutants } from './publisher-mutants.js';
import { reshardMutants } from './reshard-mutants.js';
import { sourceMutants } from './source-mutants.js';

afterEach(endLeftTimers);

describe('the source suite catches a source that', () => {
  const mutants = [...sourceMutants, ...reshardMutants];
  catchesAll(mutants, sourceConformance);
  coversAll(mutants, sourceConformance(memorySourceDriver));
});

describe('the publisher suite catches a publisher that', () => {
  catchesAll(publisherMutants, publisherConformance);
  coversAll(publisherMutants, publisherConformance(memoryPublisherDriver));
});

describe('the suite of lease stores catches a store that', () => {
  catchesAll(leaseStoreMutants, leaseStoreConformance);
  coversAll(leaseStoreMutants, leaseStoreConformance(memoryLeaseStoreDriver));
});

function catchesAll<D>(mutants: readonly Mutant<D>[], suite: (driver: D) => readonly ConformanceCase[]): void {
  it.each(mutants)('$name (by: $caughtBy)', async ({ driver, caughtBy, seen }) => {
    await expect(caseOf(suite(driver), caughtBy).run()).rejects.toThrow(seen);
  });
}

function coversAll(mutants: readonly Mutant<unknown>[], cases: readonly ConformanceCase[]): void {
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
