import { environment } from '../../core/environment.js';
import type { PubSubRecord } from './pubsub-record.js';

/** What is pulled, as it is settled: the id of one arrival, and how long it is ours. @internal */
export interface PulledHandle {
  readonly ackId: string;
  readonly receivedAt: number;
  /** When half of its lease is over, by the monotonic clock. */
  halfAt: number;
}

/** Which leases are to be extended now: those of which less than half is left, and which may still be. @internal */
export function leasesToExtend(records: Iterable<PubSubRecord<PulledHandle>>, maxExtensionMs: number): PulledHandle[] {
  const now = environment.now();
  const due: PulledHandle[] = [];
  for (const { handles } of records) {
    const handle = handles.at(-1) as PulledHandle;
    if (now > handle.halfAt && now - handle.receivedAt < maxExtensionMs) due.push(handle);
  }
  return due;
}
