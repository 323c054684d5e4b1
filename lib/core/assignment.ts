import type { Partition } from './partition.js';
import type { Session } from './session.js';

// What one partition may have blocked is its part of this share of the credits.
const BLOCKED_SHARE = 0.75;

/** From here on the partition is given from. @internal */
export function join(partition: Partition): void {
  const { session } = partition;
  session.partitions.add(partition);
  shareOut(session);
}

/** The partition gives nothing more: it is being revoked, or its epoch ends. @internal */
export function retire(partition: Partition): void {
  const { session } = partition;
  if (!session.partitions.delete(partition)) return;
  session.resumable.delete(partition);
  if (partition.paused) session.paused--;
  if (partition.gated) session.gated--;
  shareOut(session);
}

/** Nothing is emitted before `ungate`. @internal */
export function gate(partition: Partition): void {
  partition.gated = true;
  partition.session.gated++;
}

/** @internal */
export function ungate(partition: Partition): void {
  const { session, live, pending } = partition;
  partition.gated = false;
  if (!live) return;
  session.gated--;
  if (pending === 0) return;
  session.backlog++;
  session.givers.add(partition);
}

function shareOut(session: Session): void {
  const { partitions, mostBlocked, options } = session;
  const share = Math.floor((options.maxInFlight * BLOCKED_SHARE) / partitions.size);
  session.mostBlocked = partitions.size > 1 ? Math.max(1, share) : Infinity;
  if (session.mostBlocked <= mostBlocked) return;
  // They may have been stopped by what was blocked. Few of the partitions that go make a difference here.
  for (const partition of partitions) if (partition.pending > 0) session.givers.add(partition);
}
