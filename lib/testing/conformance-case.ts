/**
 * One check of a conformance suite, for whatever runs it:
 *
 * ```ts
 * for (const { name, run, timeoutMs, featuresOff } of sourceConformance(driver)) {
 *   (featuresOff.length === 0 ? it : it.skip)(name, run, timeoutMs);
 * }
 * ```
 * @public
 */
export interface ConformanceCase {
  /** The numbers of the behaviours, what must hold, and the guarantees behind it: `7 commits … (I1)`. */
  readonly name: string;
  /** The behaviours' numbers, as docs/conformance.md lists them. */
  readonly behaviours: readonly number[];
  /** The guarantees of docs/guarantees.md, `I1` to `I10`, that it holds up. */
  readonly guarantees: readonly string[];
  /** The features that it needs. */
  readonly needs: readonly string[];
  /** Those of them that the driver says are off: such a case is to be skipped, and its `run` rejects. */
  readonly featuresOff: readonly string[];
  /** A bound that only a broken adapter meets, in milliseconds: each wait in it has a bound of its own. */
  readonly timeoutMs: number;
  /** Resolves when the behaviour was seen; rejects with what was seen instead. Leaves nothing open. */
  readonly run: () => Promise<void>;
}

/** What the cases of both suites are written as. @internal */
export interface CaseDefinition<F extends string, W> {
  readonly behaviours: readonly number[];
  readonly title: string;
  readonly guarantees?: readonly string[];
  readonly needs?: readonly F[];
  readonly run: (world: W) => Promise<void>;
}

/** @internal */
export function conformanceCase<F extends string, W>(
  definition: CaseDefinition<F, W>,
  features: Readonly<Record<F, boolean>>,
  timeoutMs: number,
  inWorld: (body: (world: W) => Promise<void>) => Promise<void>,
): ConformanceCase {
  const { behaviours, title, guarantees = [], needs = [] } = definition;
  const featuresOff = needs.filter((feature) => !features[feature]);
  const suffix = guarantees.length > 0 ? ` (${guarantees.join(', ')})` : '';
  const name = `${behaviours.join(', ')} ${title}${suffix}`;
  return {
    name,
    behaviours,
    guarantees,
    needs,
    featuresOff,
    timeoutMs,
    run: () =>
      featuresOff.length > 0
        ? Promise.reject(new Error(`Not run: ${featuresOff.join(' and ')} is off.`))
        : inWorld(definition.run),
  };
}
