import type { TelemetryEvent } from 'rxsluice';

/** What telemetry says of a run. */
export interface Counts {
  received: number;
  done: number;
  skipped: number;
  deadLettered: number;
  retried: number;
  /** The most messages that were out at once: received and not settled. */
  peakInFlight: number;
}

export function newCounts(): Counts {
  return { received: 0, done: 0, skipped: 0, deadLettered: 0, retried: 0, peakInFlight: 0 };
}

/** Counts one event: the source's `telemetry` option takes it. */
export function count(counts: Counts, event: TelemetryEvent): void {
  if (event.type === 'received') {
    counts.received++;
    counts.peakInFlight = Math.max(counts.peakInFlight, counts.received - settledOf(counts));
  } else if (event.type === 'settled') {
    if (event.outcome === 'done') counts.done++;
    else if (event.outcome === 'skipped') counts.skipped++;
    else counts.deadLettered++;
  } else if (event.type === 'retried') {
    counts.retried++;
  }
}

export function settledOf({ done, skipped, deadLettered }: Counts): number {
  return done + skipped + deadLettered;
}
