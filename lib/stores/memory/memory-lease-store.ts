import { defer, EMPTY, of } from 'rxjs';
import type { LeaseGroup, LeaseStore, ShardLease } from '../../core/lease-store.js';

/**
 * Leases in this process: for tests, in virtual time too, and for what one process consumes alone. All workers that hold
 * the object share it; with the process the checkpoints are gone. It has one row a shard, and none that was removed.
 * @public
 */
export function memoryLeaseStore(): LeaseStore {
  const groups = new Map<string, Map<string, ShardLease>>();

  const rowsOf = ({ consumer, stream }: LeaseGroup): Map<string, ShardLease> => {
    const name = JSON.stringify([consumer, stream]);
    const rows = groups.get(name) ?? new Map<string, ShardLease>();
    groups.set(name, rows);
    return rows;
  };

  return {
    list: (group) => defer(() => of([...rowsOf(group).values()])),
    add: (group, leases) =>
      defer(() => {
        const rows = rowsOf(group);
        for (const lease of leases) if (!rows.has(lease.shard)) rows.set(lease.shard, copyOf(lease));
        return EMPTY;
      }),
    write: (group, leases) =>
      defer(() => {
        const rows = rowsOf(group);
        return of(
          leases.map((lease) => {
            if (rows.get(lease.shard)?.counter !== lease.counter - 1) return false;
            rows.set(lease.shard, copyOf(lease));
            return true;
          }),
        );
      }),
    remove: (group, leases) =>
      defer(() => {
        const rows = rowsOf(group);
        for (const { shard, counter } of leases) if (rows.get(shard)?.counter === counter) rows.delete(shard);
        return EMPTY;
      }),
  };
}

function copyOf(lease: ShardLease): ShardLease {
  return { ...lease, parents: [...lease.parents] };
}
