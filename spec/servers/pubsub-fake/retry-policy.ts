import type { protos } from '@google-cloud/pubsub';
import type { SubscriptionConfig } from './subscription.js';

const DEFAULT_MINIMUM_MS = 10_000;
const DEFAULT_MAXIMUM_MS = 600_000;

/** How long a message waits after so many failures: doubled each time, between the policy's bounds; 0 without one. */
export function retryDelayMs({ retryPolicy }: SubscriptionConfig, failures: number): number {
  if (!retryPolicy) return 0;
  const minimum = msOf(retryPolicy.minimumBackoff, DEFAULT_MINIMUM_MS);
  const maximum = msOf(retryPolicy.maximumBackoff, DEFAULT_MAXIMUM_MS);
  return Math.min(maximum, minimum * 2 ** (failures - 1));
}

function msOf(duration: protos.google.protobuf.IDuration | null | undefined, absent: number): number {
  return duration ? Number(duration.seconds ?? 0) * 1_000 + (duration.nanos ?? 0) / 1e6 : absent;
}
