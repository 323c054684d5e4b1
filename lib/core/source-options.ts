import type { ObservableInput } from 'rxjs';
import { checkOptions, LONGEST_TIMER_MS, type OptionRule } from './options.js';
import { REFUSAL_TIMEOUT_MS } from './patience.js';
import { isStopInput } from './stop-signal.js';
import type { Telemetry } from './telemetry.js';

/**
 * What every source takes, with the same defaults whatever the broker.
 * @public
 */
export interface SourceOptions {
  /**
   * How many deliveries may be out at once, retries and parked ones included: a whole number, 1 to 1,000,000 (I3).
   * Default: 1,000, enough for 64 handlers of 5 ms on one core with room for keys that wait.
   */
  readonly maxInFlight?: number;
  /**
   * How many bytes may be fetched and not emitted yet; at least 1. One push of the broker may pass it. Default: 64 MiB.
   */
  readonly maxBufferedBytes?: number;
  /**
   * How far one partition may run ahead of its oldest unsettled message, in messages: at least `maxInFlight` (I9). It
   * bounds memory and the repeats after a crash. Default: 16 × `maxInFlight`.
   */
  readonly maxSpan?: number;
  /** How long a revoke, `stop` or an unsubscribe waits for started work, in milliseconds. With 0 the last commit and the close still have a second. Default: 10,000. */
  readonly drainTimeoutMs?: number;
  /** After how long the oldest unsettled delivery is reported, in milliseconds (I2). Default: 60,000. */
  readonly unsettledWarnMs?: number;
  /**
   * How often the lag of each partition is told to `telemetry`, in milliseconds, at least 100; with `Infinity` never. Where the broker
   * has to be asked for the end, it is asked as often. Default: 5,000.
   */
  readonly lagEveryMs?: number;
  /**
   * For how long a source that has worked may be refused (credentials, a permission, a stream, topic or table that is not
   * there) before it ends with the typed error, in milliseconds, 0 to 2 ** 31 - 1. Until then it tries again and tells of it as
   * `unavailable`. One that has never worked ends at its first refusal. Default: 300,000.
   */
  readonly refusalTimeoutMs?: number;
  /**
   * `'end'`: read to the end as it stands at subscription, settle, commit, then complete. Default: never ends.
   */
  readonly until?: 'end';
  /**
   * Ends the intake when it fires (an abort, or the first value or the completion of the input): what is out is settled, for
   * `drainTimeoutMs` at most, positions are committed, then the source completes. One that has fired before the subscription lets
   * nothing be opened or read. With a Promise the source begins a turn of the event loop later, to learn whether it has.
   */
  readonly stop?: AbortSignal | ObservableInput<unknown>;
  /** Takes the events. Default: process warnings for failures, dead letters, stalls, outages and misuse. */
  readonly telemetry?: Telemetry;
}

/** @internal */
export interface ResolvedOptions {
  readonly maxInFlight: number;
  readonly maxBufferedBytes: number;
  readonly maxSpan: number;
  readonly drainTimeoutMs: number;
  readonly unsettledWarnMs: number;
  readonly lagEveryMs: number;
  readonly refusalTimeoutMs: number;
  readonly stop: AbortSignal | ObservableInput<unknown> | null;
  readonly telemetry: Telemetry | null;
}

/** The names in {@link SourceOptions}, for adapters that check theirs. @internal */
export const SOURCE_OPTION_NAMES: readonly string[] = [
  'maxInFlight',
  'maxBufferedBytes',
  'maxSpan',
  'drainTimeoutMs',
  'unsettledWarnMs',
  'lagEveryMs',
  'refusalTimeoutMs',
  'until',
  'stop',
  'telemetry',
];

const MOST = 1_000_000;

const LAG_EVERY: OptionRule = {
  that: {
    be: `a number, at least 100 and at most ${LONGEST_TIMER_MS}, or Infinity for never`,
    holds: (ms) => ms === Infinity || (typeof ms === 'number' && ms >= 100 && ms <= LONGEST_TIMER_MS),
  },
};

/** Checks the options that every source has and fills in the defaults; `owner` is named in the error. @internal */
export function resolveSourceOptions(owner: string, options: SourceOptions): ResolvedOptions {
  const { maxInFlight = 1_000 } = options;
  checkOptions(
    owner,
    { ...options },
    {
      maxInFlight: { integer: true, min: 1, max: MOST },
      maxBufferedBytes: { integer: true, min: 1 },
      maxSpan: { integer: true, min: { value: maxInFlight, of: 'maxInFlight' }, max: 64 * MOST },
      drainTimeoutMs: { min: 0, max: LONGEST_TIMER_MS },
      unsettledWarnMs: { above: 0, max: LONGEST_TIMER_MS },
      lagEveryMs: LAG_EVERY,
      refusalTimeoutMs: { min: 0, max: LONGEST_TIMER_MS },
      until: { oneOf: ['end'] },
      stop: { that: { be: 'an AbortSignal, or an Observable, Promise or iterable', holds: isStopInput } },
      telemetry: { type: 'function' },
    },
  );
  return {
    maxInFlight,
    maxBufferedBytes: options.maxBufferedBytes ?? 64 * 1024 * 1024,
    maxSpan: options.maxSpan ?? 16 * maxInFlight,
    drainTimeoutMs: options.drainTimeoutMs ?? 10_000,
    unsettledWarnMs: options.unsettledWarnMs ?? 60_000,
    lagEveryMs: options.lagEveryMs ?? 5_000,
    refusalTimeoutMs: options.refusalTimeoutMs ?? REFUSAL_TIMEOUT_MS,
    stop: options.stop ?? null,
    telemetry: options.telemetry ?? null,
  };
}
