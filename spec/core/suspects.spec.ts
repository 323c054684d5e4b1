import { describe, expect, it } from '@jest/globals';
import { createSuspects } from '../../lib/core/suspects.js';

interface Item {
  readonly name: number;
  readonly key: string | null;
}

interface Run {
  readonly passed: readonly number[];
  readonly blamed: readonly number[];
  /** How many calls failed, and how many went well. */
  readonly failures: number;
  readonly successes: number;
  readonly standIns: number;
}

interface Given {
  readonly count: number;
  readonly most?: number;
  readonly keyOf?: (name: number) => string | null;
  /** Also what stands in for others fails, where no name is given. */
  readonly fails: (names: readonly number[], call: number) => boolean;
  readonly maxCalls?: number;
  readonly standsIn?: boolean;
}

/** One call after another, as `groupCalls` makes them, until nothing waits. */
function run({ count, most = 500, keyOf = () => null, fails, maxCalls = 100_000, standsIn = false }: Given): Run {
  const suspects = createSuspects<Item>({
    keysOf: ({ key }) => [key],
    ...(standsIn ? { standIn: () => ({ name: -1, key: null }) } : {}),
  });
  let waiting: Item[] = Array.from({ length: count }, (_, name) => ({ name, key: keyOf(name) }));
  const [passed, blamed]: [number[], number[]] = [[], []];
  let [failures, successes, standIns] = [0, 0, 0];
  while (waiting.length > 0 && failures + successes < maxCalls) {
    const { items, left, isStandIn } = suspects.next(waiting, most);
    waiting = left;
    if (isStandIn) standIns++;
    const own = isStandIn ? [] : items;
    const names = own.map(({ name }) => name);
    if (!fails(names, failures + successes)) {
      successes++;
      suspects.wentWell(own);
      passed.push(...names);
      continue;
    }
    failures++;
    const culprit = own.length === 0 ? null : suspects.failed(own);
    if (culprit === null) waiting = [...own, ...waiting];
    else {
      blamed.push(culprit.name);
      suspects.forget(culprit);
    }
  }
  return { passed, blamed, failures, successes, standIns };
}

const but = (count: number, ...missing: readonly number[]): number[] =>
  Array.from({ length: count }, (_, name) => name).filter((name) => !missing.includes(name));

describe('suspects', () => {
  it('takes what comes first, as much as may go, where nothing fails', () => {
    expect(run({ count: 1_001, fails: () => false })).toMatchObject({ passed: but(1_001), successes: 3 });
  });

  it.each([0, 1, 250, 498, 499])('finds the one of 500 that makes each call fail, be it number %i', (culprit) => {
    const { passed, blamed, failures, successes } = run({ count: 500, fails: (names) => names.includes(culprit) });
    expect(blamed).toEqual([culprit]);
    expect([...passed].sort((left, right) => left - right)).toEqual(but(500, culprit));
    // 3 of all, 9 halvings, and alone: 5 before others have their first turn, if none of them had one yet.
    expect(failures).toBeLessThanOrEqual(3 + 9 + 6);
    expect(successes).toBeLessThanOrEqual(9 + 3);
  });

  it.each([
    [2, 500],
    [10, 1_000],
    [50, 5_000],
  ])('finds %i of %i in few calls', (culprits, count) => {
    const every = count / culprits;
    const { passed, blamed, failures, successes } = run({
      count,
      fails: (names) => names.some((name) => name % every === 7),
    });
    expect(blamed).toHaveLength(culprits);
    expect(passed).toHaveLength(count - culprits);
    expect(failures + successes).toBeLessThanOrEqual(2 * culprits * Math.log2(500) + 6 * culprits + 2 * (count / 500));
  });

  it('blames none where all calls fail, for however long, and soon has all of them through once that is over', () => {
    for (const outage of [1, 2, 3, 10, 50, 1_000]) {
      const { passed, blamed, successes } = run({ count: 500, fails: (_, call) => call < outage });
      expect(blamed).toEqual([]);
      expect(passed).toHaveLength(500);
      expect(successes).toBeLessThanOrEqual(12);
    }
  });

  it('blames none of those that an outage kept alone', () => {
    // Out, back for a single call, out again: a bit of evidence, and not enough.
    const { blamed, passed } = run({ count: 500, fails: (_, call) => call < 40 || (call > 40 && call < 60) });
    expect(blamed).toEqual([]);
    expect(passed).toHaveLength(500);
  });

  it('lets none overtake another of its key', () => {
    const keyOf = (name: number): string => `key-${name % 7}`;
    const ran = [null, 0, 20].flatMap((culprit) =>
      Array.from({ length: 60 }, (_, outage) =>
        run({ count: 200, keyOf, fails: (names, call) => call < outage || names.some((name) => name === culprit) }),
      ),
    );
    for (const { passed, blamed } of ran) {
      expect(passed.length + blamed.length).toBe(200);
      for (let key = 0; key < 7; key++) {
        const its = passed.filter((name) => name % 7 === key);
        expect(its).toEqual([...its].sort((left, right) => left - right));
      }
    }
  });

  it('cannot tell one that waits alone from an outage, and goes on trying', () => {
    const { blamed, failures } = run({ count: 1, fails: () => true, maxCalls: 1_000 });
    expect([blamed, failures]).toEqual([[], 1_000]);
  });

  it('has something stand in for others where one waits alone, and believes that', () => {
    const { blamed, failures, standIns } = run({ count: 1, fails: (names) => names.includes(0), standsIn: true });
    expect(blamed).toEqual([0]);
    expect(failures).toBeLessThanOrEqual(10);
    expect(standIns).toBeLessThanOrEqual(2);
  });

  it('finds several that wait alone together', () => {
    const { blamed, standIns } = run({ count: 3, fails: (names) => names.length > 0, standsIn: true, maxCalls: 200 });
    expect([...blamed].sort()).toEqual([0, 1, 2]);
    expect(standIns).toBeLessThanOrEqual(10);
  });

  it('has it stand in seldom while that fails as well', () => {
    const { blamed, standIns } = run({ count: 1, fails: () => true, standsIn: true, maxCalls: 1_000 });
    expect(blamed).toEqual([]);
    expect(standIns).toBeLessThanOrEqual(200);
  });

  it('looks at the keys of what waits once a call, and of no more than a call takes', () => {
    let looks = 0;
    const suspects = createSuspects<Item>({ keysOf: () => (looks++, []) });
    const items = Array.from({ length: 10_000 }, (_, name): Item => ({ name, key: null }));
    const [first, ...others] = items as [Item, ...Item[]];
    for (let i = 0; i < 3; i++) suspects.failed([first]);
    suspects.next([first], 500);
    const { items: taken, left } = suspects.next([first, ...others], 500);
    expect([taken.length, left.length]).toEqual([500, 9_500]);
    expect(looks).toBeLessThanOrEqual(503);
  });
});
