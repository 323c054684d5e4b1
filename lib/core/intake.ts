import { pauseIfFull } from './demand.js';
import type { Partition } from './partition.js';
import { pump } from './pump.js';

/** Takes what an adapter pushed into the partition's queue, and asks it to stop where a bound is reached (I3). @internal */
export function take(partition: Partition, records: readonly unknown[]): void {
  const { session } = partition;
  const { shape } = session;
  let bytes = 0;
  for (const record of records) bytes += shape.bytes(record);
  partition.chunks.push({ records, bytes });
  if (!partition.gated) {
    if (partition.pending === 0) session.backlog++;
    session.givers.add(partition);
  }
  partition.pending += records.length;
  partition.pendingBytes += bytes;
  session.pendingBytes += bytes;
  session.wakeLagTimer?.();
  pump(session);
  pauseIfFull(session, partition);
}

/** Whether a push is still wanted; what comes after a revoke, `stop` or an unsubscribe is not. @internal */
export function takesMore({ session, live }: Partition): boolean {
  return live && !session.stopping && !session.unsubscribed && !session.closing;
}
