import { environment } from '../../core/environment.js';
import type { ShardLease } from '../../core/lease-store.js';
import type { Rows } from './kinesis-lineage.js';

/** For how long the owners of shards have given no sign of life, as this worker has seen it. @internal */
export interface Sightings {
  /** A look has listed all rows. */
  observe(rows: Rows): void;
  /** Whether the owner has given no sign of life for as long as a lease holds. */
  isExpired(row: ShardLease): boolean;
}

interface Sighting extends Pick<ShardLease, 'counter' | 'owner' | 'wantedBy'> {
  silentMs: number;
}

/**
 * Judges by the clock of this process alone, from look to look. A counter that has not moved between two looks has not been
 * written in between, however long that was and whatever failed meanwhile. But a store that was out took no writes of the
 * owner either, and a machine that slept had the owner sleep too: so a gap between two looks counts for a third of a lease
 * at most, and an owner has that long again, twice, to write.
 * @internal
 */
export function createSightings(leaseMs: number): Sightings {
  const mostMs = Math.ceil(leaseMs / 3);
  const sightings = new Map<string, Sighting>();
  let lookedAt = -Infinity;

  return {
    observe: (rows) => {
      const now = environment.now();
      const gapMs = Math.min(now - lookedAt, mostMs);
      lookedAt = now;
      for (const { shard, counter, owner, wantedBy } of rows.values()) {
        const seen = sightings.get(shard);
        const silentMs =
          seen === undefined || isSignOfLife(seen, { counter, owner, wantedBy }) ? 0 : seen.silentMs + gapMs;
        sightings.set(shard, { counter, owner, wantedBy, silentMs });
      }
      for (const shard of sightings.keys()) if (!rows.has(shard)) sightings.delete(shard);
    },
    isExpired: ({ shard, counter }) => {
      const seen = sightings.get(shard);
      return seen !== undefined && seen.counter === counter && seen.silentMs >= leaseMs;
    },
  };
}

/** A worker that asks for a shard, or asks no more, writes the row once; all other writes are its owner's. */
function isSignOfLife(
  seen: Pick<ShardLease, 'counter' | 'owner' | 'wantedBy'>,
  { counter, owner, wantedBy }: Pick<ShardLease, 'counter' | 'owner' | 'wantedBy'>,
): boolean {
  if (counter === seen.counter) return false;
  return counter !== seen.counter + 1 || owner !== seen.owner || wantedBy === seen.wantedBy;
}
