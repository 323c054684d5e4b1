import type { Partition } from './partition.js';
import type { Session } from './session.js';

/**
 * How much of one partition may wait before the adapter is asked to stop: deep enough to ride out the latency of a
 * fetch at full speed, small beside `maxBufferedBytes`. Reading goes on at half of it.
 */
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
const HIGH_WATER_RECORDS = 32_768;

/** @internal */
export function isFull({ pending, pendingBytes }: Partition): boolean {
  return pendingBytes >= HIGH_WATER_BYTES || pending >= HIGH_WATER_RECORDS;
}

function isLow({ pending, pendingBytes }: Partition): boolean {
  return pendingBytes <= HIGH_WATER_BYTES / 2 && pending <= HIGH_WATER_RECORDS / 2;
}

/** Asks the adapter to read on where a queue fell to half of its bound. @internal */
export function resumeIfLow(session: Session): void {
  if (session.stopping || session.unsubscribed) return;
  if (session.paused === 0 || session.pendingBytes > session.options.maxBufferedBytes / 2) return;
  // By index: reading on may assign, revoke or push at once.
  for (let i = 0; i < session.partitions.length; i++) {
    const partition = session.partitions[i] as Partition;
    if (partition.paused && isLow(partition)) setPaused(session, partition, false);
  }
}

/** Whether so many bytes more would stay within the bound; where not, the adapter is told once they would. @internal */
export function hasRoom(session: Session, bytes: number): boolean {
  const has = session.pendingBytes + session.reservedBytes + bytes <= session.options.maxBufferedBytes;
  session.wantedBytes = has ? 0 : bytes;
  return has;
}

/** Tells the adapter of room that it was refused before. @internal */
export function tellRoom(session: Session): void {
  if (session.stopping || session.unsubscribed) return;
  if (hasRoom(session, session.wantedBytes)) session.engine.room(session);
}

/** @internal */
export function setPaused(session: Session, partition: Partition, paused: boolean): void {
  if (partition.paused === paused || partition.closed) return;
  partition.paused = paused;
  session.paused += paused ? 1 : -1;
  session.engine.demand(partition, !paused);
}
