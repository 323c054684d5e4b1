import { checkNames, checkOptions } from '../core/options.js';
import { resolveSourceOptions, SOURCE_OPTION_NAMES, type SourceOptions } from '../core/source-options.js';

/** What `fromOutbox` takes. @public */
export interface FromOutboxOptions extends SourceOptions {
  /**
   * How long it waits before it looks for rows again where there were none, in milliseconds, at least 1. A store that can wake it
   * does so earlier. Where a claim that finds nothing takes long, five times as long as that, up to 5,000. Default: 100.
   */
  readonly pollMs?: number;
  /**
   * How long rows stay with this relay without being renewed, in milliseconds, at least 1,000; they are renewed at a third of that.
   * After a crash they wait so long for another relay. Default: 30,000.
   */
  readonly leaseMs?: number;
  /** After how many attempts a message that fails is dead, at least 1. Default: only what fails for good is. */
  readonly maxAttempts?: number;
}

/** @internal */
export interface ResolvedRelayOptions {
  readonly pollMs: number;
  readonly leaseMs: number;
  readonly maxAttempts: number;
  /** How many rows may be leased at once, those in flight included. */
  readonly capacity: number;
  readonly maxBytes: number;
  readonly refusalTimeoutMs: number;
  readonly untilEnd: boolean;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** @internal */
export function resolveRelayOptions(owner: string, options: FromOutboxOptions): ResolvedRelayOptions {
  checkNames(owner, options, [...SOURCE_OPTION_NAMES, 'pollMs', 'leaseMs', 'maxAttempts']);
  const { pollMs = 100, leaseMs = 30_000, maxAttempts = Infinity } = options;
  // Those of every source too: the engine, which checks them, is made with the subscription.
  const { maxInFlight, maxBufferedBytes, refusalTimeoutMs } = resolveSourceOptions(owner, options);
  checkOptions(
    owner,
    { pollMs, leaseMs, maxAttempts },
    {
      pollMs: { min: 1, max: LONGEST_TIMER_MS },
      leaseMs: { min: 1_000, max: LONGEST_TIMER_MS },
      maxAttempts: { min: 1 },
    },
  );
  return {
    pollMs,
    leaseMs,
    maxAttempts,
    // The next rows are read while the ones before are published.
    capacity: 2 * maxInFlight,
    maxBytes: Math.max(1, Math.floor(maxBufferedBytes / 2)),
    refusalTimeoutMs,
    untilEnd: options.until === 'end',
  };
}
