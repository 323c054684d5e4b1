import type { PubSubDuration } from './pubsub-client.js';

const UNIT_MS: Readonly<Record<string, number>> = { millisecond: 1, second: 1_000, minute: 60_000, hour: 3_600_000 };

/** A length of time as the client takes it, without a need to load the client. @internal */
export function pubsubDuration(milliseconds: number): PubSubDuration {
  const total = (unit: string): number => milliseconds / (UNIT_MS[unit.replace(/s$/, '')] ?? NaN);
  return {
    milliseconds,
    total,
    totalOf: total,
    subtract: (other) => pubsubDuration(milliseconds - (other.milliseconds ?? 0)),
  };
}
