import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { leaseStoreConformance, publisherConformance, sourceConformance } from '../../lib/testing.js';
import { memoryLeaseStoreDriver, memoryPublisherDriver, memorySourceDriver } from '../conformance/memory-drivers.js';

const page = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8');

describe('docs/conformance.md', () => {
  it('lists the behaviours that are checked, of sources and of publishers', () => {
    const checked = new Map<number, string>();
    const suites = { S: sourceConformance(memorySourceDriver), P: publisherConformance(memoryPublisherDriver) };
    for (const [letter, cases] of Object.entries(suites)) {
      for (const number of new Set(cases.flatMap(({ behaviours }) => behaviours))) {
        checked.set(number, [checked.get(number), letter].filter(Boolean).join(' '));
      }
    }
    const listed = [...page.matchAll(/^\| (\d+) \| .* \| (S|P|S P) \|$/gm)].map(([, number, letters]) => [
      number,
      letters,
    ]);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(checked));
  });

  it('lists the behaviours of a lease store that are checked', () => {
    const [, table = ''] = page.split('| | behaviour of a lease store |');
    const listed = [...table.matchAll(/^\| (\d+) \| [^|]* \|$/gm)].map(([, number]) => Number(number));
    const checked = leaseStoreConformance(memoryLeaseStoreDriver).flatMap(({ behaviours }) => behaviours);
    expect(listed).toEqual([...new Set(checked)]);
  });

  it('names every feature', () => {
    const features = new Set(
      [memorySourceDriver, memoryPublisherDriver].flatMap(({ features: all }) => Object.keys(all)),
    );
    expect([...features].filter((feature) => !page.includes(`\`${feature}\``))).toEqual([]);
  });
});
