import type { Partition } from './partition.js';
import type { Session } from './session.js';

/** How many records of one partition may wait: deep enough to ride out a fetch, small beside maxBufferedBytes. @internal */
export const HIGH_WATER_RECORDS = 2_048;

/** Asks the adapter to read on where a queue fell to half of its bound. @internal */
export function resumeIfLow(session: Session): void {
  if (session.paused === 0 || session.pendingBytes > session.options.maxBufferedBytes / 2) return;
  // By index: reading on may assign, revoke or push at once.
  for (let i = 0; i < session.partitions.length; i++) {
    const partition = session.partitions[i] as Partition;
    if (partition.paused && partition.pending <= HIGH_WATER_RECORDS / 2) setPaused(session, partition, false);
  }
}

/** @internal */
export function setPaused(session: Session, partition: Partition, paused: boolean): void {
  if (partition.paused === paused || partition.closed) return;
  partition.paused = paused;
  session.paused += paused ? 1 : -1;
  session.engine.demand(partition, !paused);
}
