import type { AssignedPartition } from '../../lib/core/log-engine.js';

/**
 * Counts how often any of these partitions is looked at: each read of a member of one of them. A loop over all of them is seen by
 * that, and no clock is asked. The answer gives the count and begins anew.
 */
export function countLooks(partitions: readonly AssignedPartition[]): () => number {
  let looks = 0;
  for (const partition of partitions) {
    for (const [name, value] of Object.entries(partition)) {
      let current: unknown = value;
      Object.defineProperty(partition, name, {
        enumerable: true,
        configurable: true,
        get: () => {
          looks++;
          return current;
        },
        set: (next: unknown) => {
          current = next;
        },
      });
    }
  }
  return () => {
    const counted = looks;
    looks = 0;
    return counted;
  };
}
