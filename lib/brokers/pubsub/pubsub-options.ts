import { checkNames, checkOptions, type OptionRule } from '../../core/options.js';
import { resolveSourceOptions, SOURCE_OPTION_NAMES, type SourceOptions } from '../../core/source-options.js';

/**
 * How `fromPubSub` reads: {@link SourceOptions}, but for `maxSpan`, since there is no watermark, and `until`, since a queue has
 * no end.
 * @public
 */
export interface PubSubSourceOptions extends Omit<SourceOptions, 'maxSpan' | 'until'> {
  /**
   * `'streaming'`: the service pushes over StreamingPull, up to `maxInFlight + readAhead` messages; the fast way, and the one
   * for exactly-once delivery. `'pull'`: each call asks for as many messages as may be emitted at once, so that nothing is
   * fetched ahead: for long work, and for exact back-pressure. Default: `'streaming'`.
   */
  readonly mode?: 'streaming' | 'pull';
  /**
   * Streaming: how many messages may wait in memory beside those in flight, under lease, so that a freed place is filled at
   * once: 0 to 1,000,000. Take 0 where work is long, and other consumers could have what waits. Default: `maxInFlight`.
   */
  readonly readAhead?: number;
  /**
   * Streaming: over how many streams the messages come, 1 to 10, which share the bounds; fewer where a stream would have less than
   * 4 messages or 10 MB of them. The service sends some 10 MB/s over one (quotas: "StreamingPull"). Take 1 or 2 for small messages,
   * which come in fuller answers then. Sources over one `PubSub` have 60 together, at least one each. Default: 5, as many as the client
   * opens.
   */
  readonly maxStreams?: number;
  /**
   * By how much the lease of a message is extended, in milliseconds, 10,000 to 600,000, again and again while it is worked on.
   * After a crash its messages come again within this time; a process that is blocked for as long loses them. Default: 60,000.
   */
  readonly ackDeadlineMs?: number;
  /**
   * For how long a lease is extended at most, in milliseconds, from `ackDeadlineMs` to 86,400,000. What takes longer comes
   * again, to whoever reads; here it is not started twice while it still runs. Default: 3,600,000.
   */
  readonly maxExtensionMs?: number;
  /** How long a call may take, in milliseconds, 100 to 600,000. Default: 30,000. */
  readonly requestTimeoutMs?: number;
}

/** What `fromPubSub` uses once defaults are filled in. @internal */
export interface ResolvedPubSubOptions extends Required<
  Pick<
    PubSubSourceOptions,
    'mode' | 'readAhead' | 'ackDeadlineMs' | 'maxExtensionMs' | 'requestTimeoutMs' | 'drainTimeoutMs'
  >
> {
  readonly maxInFlight: number;
  readonly maxBufferedBytes: number;
  /** How many streams are open at once; with `mode: 'pull'`, how many pulls are under way. */
  readonly maxStreams: number;
  readonly refusalTimeoutMs: number;
}

const OWN_NAMES: readonly string[] = [
  'mode',
  'readAhead',
  'maxStreams',
  'ackDeadlineMs',
  'maxExtensionMs',
  'requestTimeoutMs',
];
const NAMES = [...OWN_NAMES, ...SOURCE_OPTION_NAMES.filter((name) => name !== 'maxSpan' && name !== 'until')];

/** The least that the service takes for a deadline is 10 s, the most 600 s (ModifyAckDeadline). */
const DEADLINE_MS: OptionRule = { integer: true, min: 10_000, max: 600_000 };

/** Pulls that may be under way at once. */
const MOST_PULLS = 4;

/** Of what pulls have not. */
const NONE: OptionRule = { that: { be: "0 or left out with mode 'pull'", holds: (value) => value === 0 } };

/** Checks the options of a Pub/Sub source and fills in the defaults. @internal */
export function resolvePubSubOptions(subscription: unknown, options: PubSubSourceOptions): ResolvedPubSubOptions {
  checkNames('fromPubSub', options, NAMES);
  const { maxInFlight, maxBufferedBytes, drainTimeoutMs, refusalTimeoutMs } = resolveSourceOptions(
    'fromPubSub',
    options,
  );
  const { ackDeadlineMs = 60_000, mode = 'streaming' } = options;
  checkOptions(
    'fromPubSub',
    { subscription, ...options },
    {
      subscription: {
        required: true,
        that: {
          be: 'a Subscription of @google-cloud/pubsub, as pubsub.subscription(name) makes it',
          holds: isSubscription,
        },
      },
      mode: { oneOf: ['streaming', 'pull'] },
      readAhead: mode === 'pull' ? NONE : { integer: true, min: 0, max: 1_000_000 },
      maxStreams: mode === 'pull' ? NONE : { integer: true, min: 1, max: 10 },
      ackDeadlineMs: DEADLINE_MS,
      maxExtensionMs: { integer: true, min: { value: ackDeadlineMs, of: 'ackDeadlineMs' }, max: 86_400_000 },
      requestTimeoutMs: { integer: true, min: 100, max: 600_000 },
    },
  );
  return {
    mode,
    maxInFlight,
    maxBufferedBytes,
    drainTimeoutMs,
    refusalTimeoutMs,
    ackDeadlineMs,
    readAhead: mode === 'pull' ? 0 : (options.readAhead ?? maxInFlight),
    maxStreams: mode === 'pull' ? MOST_PULLS : (options.maxStreams ?? 5),
    maxExtensionMs: options.maxExtensionMs ?? 3_600_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
  };
}

function isSubscription(value: unknown): boolean {
  const { name, pubsub } = (value ?? {}) as { name?: unknown; pubsub?: Record<string, unknown> | null };
  if (typeof name !== 'string' || typeof pubsub !== 'object' || pubsub === null) return false;
  return typeof pubsub.subscription === 'function' && typeof pubsub.request === 'function';
}
