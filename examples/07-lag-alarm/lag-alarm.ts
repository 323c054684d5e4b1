import type { Telemetry, TelemetryEvent } from 'rxsluice';

export interface LagAlarmOptions {
  /** More than this is too much, in messages. Default: no bound. */
  readonly mostMessages?: number;
  /** Older than this is too old, in milliseconds: where the broker tells a time (Kinesis, the outbox). Default: no bound. */
  readonly mostMs?: number;
  /** Figures older than this say nothing, in milliseconds: the broker does not answer. Default: 60,000. */
  readonly mostAgeMs?: number;
  /** How long it has to last, in milliseconds. Default: 60,000. */
  readonly forMs?: number;
  readonly raise: (partition: string, why: string) => void;
  readonly clear: (partition: string) => void;
}

type Lag = Extract<TelemetryEvent, { type: 'lag' }>;

/**
 * Telemetry that raises an alarm for a partition that is too far behind, or of which nothing is known, for `forMs`, and clears it once
 * that is over. The lag is told of each partition every `lagEveryMs`, whatever the partition waits for, so an alarm needs no timer.
 */
export function lagAlarm(options: LagAlarmOptions): Telemetry {
  const { mostMessages = Infinity, mostMs = Infinity, mostAgeMs = 60_000, forMs = 60_000, raise, clear } = options;
  const bad = new Map<string, { readonly since: number; raised: boolean }>();

  const whyBad = ({ lagMessages, lagMs, ageMs = Infinity, bufferedMessages, inFlight }: Lag): string | null => {
    const here = `${bufferedMessages} buffered, ${inFlight} in flight`;
    if (ageMs > mostAgeMs) return 'the broker does not tell how far it is behind';
    if (lagMessages !== undefined && lagMessages > mostMessages) return `${lagMessages} messages behind, ${here}`;
    if (lagMs !== undefined && lagMs > mostMs)
      return `the oldest message is ${Math.round(lagMs / 1_000)} s old, ${here}`;
    return null;
  };

  const end = (partition: string): void => {
    if (bad.get(partition)?.raised) clear(partition);
    bad.delete(partition);
  };

  return (event) => {
    // Who has the partition next tells of it.
    if (event.type === 'revoked') end(`${event.partition.topic}/${event.partition.partition}`);
    if (event.type !== 'lag') return;
    const partition = `${event.partition.topic}/${event.partition.partition}`;
    const why = whyBad(event);
    if (why === null) {
      end(partition);
      return;
    }
    const state = bad.get(partition) ?? { since: performance.now(), raised: false };
    bad.set(partition, state);
    if (state.raised || performance.now() - state.since < forMs) return;
    state.raised = true;
    raise(partition, why);
  };
}
