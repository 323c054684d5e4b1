import type { DeliveryNode } from './delivery-node.js';
import { closePartition, createPartition, onEpochClose, type Partition, type Share } from './partition.js';

/**
 * The epochs of batches. One stands for those of all members: it weighs what they weigh, is live while all of them are,
 * and closed once all of them are, so that operators below need not know what a batch is.
 * @internal
 */
export interface BatchEpochs {
  open(members: readonly DeliveryNode[]): Partition;
  /** The batch is settled. */
  end(epoch: Partition): void;
  /** A partition is being revoked: batches that have members of it may not be started any more (I4). */
  revoke(partition: Partition): void;
  /** No more batches will be opened; those that are open are still looked after. */
  close(): void;
}

/** @internal */
export function createBatchEpochs(): BatchEpochs {
  // In credit: a batch that is out has members that are.
  const open = new Set<Partition>();
  const watched = new Map<Partition, () => void>();
  let closed = false;

  const leaveIfDone = (): void => {
    if (!closed || open.size > 0) return;
    for (const unwatch of watched.values()) unwatch();
    watched.clear();
  };

  const onClose = (partition: Partition): void => {
    watched.delete(partition);
    for (const epoch of of(partition)) {
      if ((epoch.shares as readonly Share[]).every((share) => share.partition.closed)) {
        open.delete(epoch);
        closePartition(epoch);
      }
    }
  };

  const of = (partition: Partition): Partition[] =>
    [...open].filter(({ shares }) => shares?.some((share) => share.partition === partition));

  return {
    open: (members) => {
      const shares = sharesOf(members);
      for (const { partition } of shares) {
        if (!watched.has(partition))
          watched.set(
            partition,
            onEpochClose(partition, () => onClose(partition)),
          );
      }
      const { session, topic, partition } = (members[0] as DeliveryNode).epoch;
      const epoch = createPartition(session, { topic, partition }, null, shares);
      open.add(epoch);
      return epoch;
    },
    end: (epoch) => {
      open.delete(epoch);
      leaveIfDone();
    },
    revoke: (partition) => {
      for (const epoch of of(partition)) {
        if (!epoch.live) continue;
        epoch.live = false;
        for (const operator of [...epoch.session.listeners]) operator.onRevoke?.(epoch);
      }
    },
    close: () => {
      closed = true;
      leaveIfDone();
    },
  };
}

// Of partitions alone: the epoch of a batch among the members counts as what it stands for.
function sharesOf(members: readonly DeliveryNode[]): Share[] {
  const counts = new Map<Partition, number>();
  for (const { epoch } of members) {
    for (const { partition, members: count } of epoch.shares ?? [{ partition: epoch, members: 1 }]) {
      counts.set(partition, (counts.get(partition) ?? 0) + count);
    }
  }
  return [...counts].map(([partition, count]) => ({ partition, members: count }));
}
