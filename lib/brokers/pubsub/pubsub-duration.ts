/** A length of time, as the client takes it: the part of its `Duration` that it reads. @internal */
export interface PubSubDuration {
  /** In milliseconds. */
  readonly milliseconds: number;
  /** In another unit. */
  total(unit: string): number;
  /** In another unit, by its older name. */
  totalOf(unit: string): number;
  /** Less another. */
  subtract(other: { readonly milliseconds?: number }): PubSubDuration;
}

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
