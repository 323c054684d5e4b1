import { checkNames, checkOptions } from '../core/options.js';

/** How patient a suite is with a broker: a live one takes longer than one in this process. @public */
export interface ConformanceTimings {
  /** How long what must happen may take, in milliseconds, above 0; a wait ends as soon as it has. Default: 5,000. */
  readonly withinMs?: number;
  /**
   * How long is watched that something does not happen, in milliseconds, above 0: longer than the source takes to commit
   * and to deliver. Default: 250.
   */
  readonly quietMs?: number;
  /** The `drainTimeoutMs` that the sources get, in milliseconds, above 0. Default: 250. */
  readonly drainMs?: number;
  /**
   * After how long the broker gives away what a silent member owns, in milliseconds (behaviour 14, the feature
   * `leases`): the source is stalled for half as long again. Default: 0.
   */
  readonly leaseMs?: number;
}

/** @internal */
export type ResolvedTimings = Required<ConformanceTimings>;

/** @internal */
export function resolveTimings(owner: string, timings: ConformanceTimings = {}): ResolvedTimings {
  checkNames(owner, timings, ['withinMs', 'quietMs', 'drainMs', 'leaseMs']);
  const { withinMs = 5_000, quietMs = 250, drainMs = 250, leaseMs = 0 } = timings;
  checkOptions(
    owner,
    { withinMs, quietMs, drainMs, leaseMs },
    { withinMs: { above: 0 }, quietMs: { above: 0 }, drainMs: { above: 0 }, leaseMs: { min: 0 } },
  );
  return { withinMs, quietMs, drainMs, leaseMs };
}

/** Longer than all the waits of the longest case. @internal */
export function timeoutOf({ withinMs, quietMs, drainMs, leaseMs }: ResolvedTimings): number {
  return 10 * withinMs + 20 * quietMs + 20 * drainMs + 2 * leaseMs;
}
