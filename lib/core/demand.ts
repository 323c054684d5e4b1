import type { Partition } from './partition.js';
import type { Session } from './session.js';

/**
 * How much of one partition may wait before the adapter is asked to stop: deep enough to ride out the latency of a
 * fetch at full speed, small beside `maxBufferedBytes`. Reading goes on at half of it.
 */
const HIGH_WATER_BYTES = 4 * 1024 * 1024;
const HIGH_WATER_RECORDS = 32_768;

function isFull({ pending, pendingBytes }: Partition): boolean {
  return pendingBytes >= HIGH_WATER_BYTES || pending >= HIGH_WATER_RECORDS;
}

function isLow({ pending, pendingBytes }: Partition): boolean {
  return pendingBytes <= HIGH_WATER_BYTES / 2 && pending <= HIGH_WATER_RECORDS / 2;
}

/** Asks to stop reading where a bound is reached: of one partition, or of all of them (I3). @internal */
export function pauseIfFull(session: Session, partition: Partition): void {
  if (isFull(partition)) setPaused(session, partition, true);
  if (session.pendingBytes < session.options.maxBufferedBytes || session.paused === session.partitions.size) return;
  for (const other of [...session.partitions]) setPaused(session, other, true);
}

/** A partition that was asked to stop has fallen to half of its bound: it may be asked to read on. @internal */
export function noteLow(partition: Partition): void {
  if (partition.paused && isLow(partition)) partition.session.resumable.add(partition);
}

/** Asks to read on where a queue fell to half of its bound. @internal */
export function resumeIfLow(session: Session): void {
  const { resumable, options } = session;
  if (resumable.size === 0 || session.stopping || session.unsubscribed) return;
  if (session.pendingBytes > options.maxBufferedBytes / 2) return;
  for (const partition of resumable) {
    resumable.delete(partition);
    if (isLow(partition)) setPaused(session, partition, false);
    // Reading on may push at once, up to the bound again: the others read on once that has fallen.
    if (session.pendingBytes >= options.maxBufferedBytes) return;
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

function setPaused(session: Session, partition: Partition, paused: boolean): void {
  if (partition.paused === paused || !partition.live) return;
  partition.paused = paused;
  session.paused += paused ? 1 : -1;
  noteLow(partition);
  session.engine.demand(partition, !paused);
}
