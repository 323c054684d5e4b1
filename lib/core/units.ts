import { wake, type Partition } from './partition.js';
import { pump } from './pump.js';
import { isAllHeld } from './quiet.js';
import type { Session } from './session.js';

/**
 * An operator takes units into a buffer of its own; `blocked` of them behind a key or for a retry, which is what the
 * fairness rule bounds. A batch weighs its members. Where nothing else runs this may end in a flush of what is gathered at
 * once: call it last.
 * @internal
 */
export function hold(partition: Partition, units = 1, blocked = 0): void {
  if (partition.closed) return;
  const { session, shares } = partition;
  if (shares === null) change(partition, units, blocked);
  else for (const share of shares) change(share.partition, units * share.members, blocked * share.members);
  // The pump itself looks at its end.
  if (session.waiting || (!session.pumping && isAllHeld(session))) pump(session);
}

/** An operator lets units out of its buffer. @internal */
export function unhold(partition: Partition, units = 1, blocked = 0): void {
  const { shares } = partition;
  if (shares === null) change(partition, -units, -blocked);
  else for (const share of shares) change(share.partition, -units * share.members, -blocked * share.members);
}

/** `split` and `fanOut` add the parts that they make and take them away as they settle. @internal */
export function addParts(partition: Partition, parts: number): void {
  if (partition.shares === null) add(partition, parts);
  else for (const share of partition.shares) add(share.partition, parts * share.members);
}

/**
 * An operator can let nothing more through until something below it settles, whatever the source could give; or it can
 * again. This may end in quiet at once: call it last.
 * @internal
 */
export function setFull(session: Session, full: boolean): void {
  session.full += full ? 1 : -1;
  if (full) pump(session);
}

/** There are fewer units: all that are left may be held. Call it last. @internal */
export function pumpIfStill(session: Session): void {
  if (session.waiting || isAllHeld(session)) pump(session);
}

function change(partition: Partition, units: number, blocked: number): void {
  if (partition.closed) return;
  partition.blocked += blocked;
  partition.held += units;
  partition.session.held += units;
  if (blocked < 0) wake(partition);
}

function add(partition: Partition, parts: number): void {
  if (partition.closed) return;
  partition.parts += parts;
  partition.session.parts += parts;
}
