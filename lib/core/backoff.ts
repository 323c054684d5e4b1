import { giveUpOn } from './at-once.js';
import { environment } from './environment.js';
import { checkNames, checkOptions, LONGEST_TIMER_MS } from './options.js';

/**
 * How long to wait before the next try: `failures` is how often it has failed so far, from 1; the answer is in
 * milliseconds, of which 2,147,483,647 (24.8 days) are the most. Any function of that shape will do.
 * @public
 */
export type Backoff = (failures: number) => number;

/** How the waits of `exponential` grow. @public */
export interface ExponentialOptions {
  /** The longest wait after the first failure, in milliseconds, above 0. */
  readonly initialMs: number;
  /** The longest wait ever, in milliseconds, from `initialMs` to 2,147,483,647 (24.8 days). Default: 30,000. */
  readonly maxMs?: number;
  /** By how much each wait grows, at least 1. Default: 2. */
  readonly factor?: number;
  /**
   * `'full'`: a random wait from 0 up to the grown one, so that what failed together does not return together.
   * `'none'`: the grown one itself. Default: `'full'`.
   */
  readonly jitter?: 'full' | 'none';
}

/** The same wait each time, in milliseconds, 0 to 2,147,483,647 (24.8 days). @public */
export function constant(ms: number): Backoff {
  checkOptions('constant', { ms }, { ms: { required: true, min: 0, max: LONGEST_TIMER_MS } });
  return () => ms;
}

/**
 * Waits that grow: `initialMs × factor ** (failures − 1)`, at most `maxMs`, each drawn at random from 0 up to that with
 * full jitter. Three retries from 200 ms wait 0.7 s on average and 1.4 s at most.
 * @public
 */
export function exponential(options: ExponentialOptions): Backoff {
  checkNames('exponential', options, ['initialMs', 'maxMs', 'factor', 'jitter']);
  const { initialMs, maxMs = 30_000, factor = 2, jitter = 'full' } = options;
  checkOptions(
    'exponential',
    { initialMs, maxMs, factor, jitter },
    {
      initialMs: { required: true, above: 0, max: LONGEST_TIMER_MS },
      maxMs: { min: { value: initialMs, of: 'initialMs' }, max: LONGEST_TIMER_MS },
      factor: { min: 1 },
      jitter: { oneOf: ['full', 'none'] },
    },
    options,
  );
  return (failures) => {
    const grown = Math.min(maxMs, initialMs * factor ** Math.max(0, failures - 1));
    return jitter === 'none' ? grown : environment.random() * grown;
  };
}

/** What a bare nack waits where nobody says otherwise: 100 ms to 30 s with full jitter. @internal */
export const DEFAULT_NACK: ExponentialOptions = { initialMs: 100, maxMs: 30_000 };

/** The wait that a backoff gives; one of the user's that throws or gives no number must not end a stream. @internal */
export function waitOf(backoff: Backoff, failures: number): number {
  let ms: unknown;
  try {
    ms = backoff(failures);
    giveUpOn(ms);
  } catch {
    ms = undefined;
  }
  return typeof ms === 'number' && ms >= 0 && ms < Infinity ? timerMs(ms) : exponential(DEFAULT_NACK)(failures);
}

/** As long as a timer can wait. @internal */
export function timerMs(ms: number): number {
  return Math.min(ms, LONGEST_TIMER_MS);
}
