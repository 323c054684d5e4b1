import { noteLow, resumeIfLow, tellRoom } from './demand.js';
import { DeliveryNode } from './delivery-node.js';
import { wake, type Chunk, type Partition } from './partition.js';
import { tellQuiet } from './quiet.js';
import type { PumpTask, Session } from './session.js';
import { isStackOverflow, noteOverflow } from './stack.js';
import { messageInfo, notify } from './telemetry.js';
import { watch } from './watchdog.js';

const BURST = 32;

/**
 * Gives what can be given. The only place where the source emits, and never re-entered: a settlement marks state and
 * asks for a pump, which the outermost frame runs. (By recursion, ack → credit → next dies silently after some 500
 * deliveries.)
 * @internal
 */
export function pump(session: Session): void {
  if (session.pumping || session.corks > 0) session.again = true;
  else runPump(session);
}

// Apart, so that the asking is small enough to be inlined.
function runPump(session: Session): void {
  session.pumping = true;
  try {
    do {
      session.again = false;
      session.waiting = false;
      runTasks(session);
      finishDrains(session);
      give(session);
      resumeIfLow(session);
      if (session.wantedBytes > 0) tellRoom(session);
      if (!session.again && session.tasks.length === 0) {
        session.waiting = canGiveNothing(session);
        tellQuiet(session);
      }
    } while (session.again || session.tasks.length > 0);
  } catch (error) {
    // The code that settles is not told of a stack overflow, and RxJS may lose it: the stream ends with it, on a stack of its own.
    if (!isStackOverflow(error)) throw error;
    noteOverflow(session, error);
  } finally {
    session.pumping = false;
  }
  if (session.overflowed) noteOverflow(session, session.overflow);
  if (session.emitted && session.watchdog === null && !session.closing) watch(session);
  if (session.inFlight === 0 && session.lingering === 0 && isEnding(session)) session.onIdle();
}

/** Holds the pump back while a loop settles, abandons, revokes or fences. @internal */
export function cork(session: Session): void {
  session.corks++;
}

/** @internal */
export function uncork(session: Session): void {
  if (--session.corks === 0 && session.again && !session.pumping) pump(session);
}

/** Runs `work` corked. @internal */
export function corked(session: Session, work: () => void): void {
  cork(session);
  try {
    work();
  } finally {
    uncork(session);
  }
}

/** Has an operator's task run in the pump, outside of any settlement, once however often it is asked for. @internal */
export function defer(session: Session, task: PumpTask): void {
  if (!task.queued) {
    task.queued = true;
    session.tasks.push(task);
  }
  pump(session);
}

function runTasks(session: Session): void {
  for (let task = session.tasks.shift(); task !== undefined; task = session.tasks.shift()) {
    task.queued = false;
    task.run();
  }
}

function finishDrains(session: Session): void {
  const { drained } = session;
  for (let partition = drained.shift(); partition !== undefined; partition = drained.shift()) partition.finishDrain?.();
}

// In turns: the retries that are due of one partition, then a burst of another. Neither can keep the other from its turn.
function give(session: Session): void {
  const { subscriber, givers, retriers } = session;
  while (!subscriber.closed && !session.closing) {
    const retrier = retriers.shift();
    if (retrier !== undefined) giveRetries(session, retrier);
    const giver = mayGive(session) ? givers.next() : null;
    if (giver !== null) giveBurst(session, giver);
    if (session.tasks.length > 0) runTasks(session);
    else if (retrier === undefined && giver === null) return;
  }
}

function mayGive({ stopping, inFlight, options }: Session): boolean {
  return !stopping && inFlight < options.maxInFlight;
}

function giveRetries(session: Session, partition: Partition): void {
  const { subscriber, retriers } = session;
  const { ready } = partition;
  for (let left = BURST; left > 0 && ready.length > 0 && !subscriber.closed; left--) {
    const delivery = ready.shift() as DeliveryNode;
    partition.held--;
    partition.blocked--;
    session.held--;
    wake(partition);
    subscriber.next(delivery);
  }
  if (ready.length > 0) retriers.push(partition);
  else partition.hasRetries = false;
}

function giveBurst(session: Session, partition: Partition): void {
  const { subscriber, mostBlocked } = session;
  // What settles meanwhile frees more, for the next burst: within one, the bounds are looked at once.
  const most = session.stopping || partition.gated ? 0 : room(session, partition);
  let given = 0;
  while (given < most && partition.pending > 0 && partition.blocked < mostBlocked && !subscriber.closed) {
    given++;
    const delivery = take(session, partition);
    // Telemetry was just told of it, and may have unsubscribed.
    if (subscriber.closed) delivery.abandon();
    else subscriber.next(delivery);
  }
  // One that is stopped waits for what frees it, without a turn.
  if (given === 0) return;
  session.emitted = true;
  if (partition.pending > 0) session.givers.add(partition);
  if (partition.paused) noteLow(partition);
}

function room(session: Session, { window }: Partition): number {
  const { maxInFlight, maxSpan } = session.options;
  const credits = Math.min(BURST, maxInFlight - session.inFlight);
  return window === null ? credits : Math.min(credits, maxSpan - window.span);
}

function take(session: Session, partition: Partition): DeliveryNode {
  const chunk = partition.chunks.peek() as Chunk;
  const record = chunk.records[partition.cursor++];
  if (partition.cursor === chunk.records.length) {
    partition.chunks.shift();
    partition.cursor = 0;
    partition.pendingBytes -= chunk.bytes;
    session.pendingBytes -= chunk.bytes;
    if (partition.chunks.length === 0) session.backlog--;
  }
  partition.pending--;
  partition.out++;
  session.inFlight++;
  const { shape, engine } = session;
  const slot = partition.window === null ? partition.nextSlot++ : partition.window.open(record);
  const attempt = shape.attempt === undefined ? 1 : shape.attempt(record);
  const delivery = new DeliveryNode(shape.value(record), attempt, null, engine.root, slot, partition, record);
  if (session.telemetry !== null) notify(session, { type: 'received', message: messageInfo(delivery) });
  return delivery;
}

function canGiveNothing(session: Session): boolean {
  if (session.full > 0) return true;
  if (session.stopping || session.unsubscribed || session.inputEnded) return true;
  if (session.inFlight >= session.options.maxInFlight) return true;
  return session.backlog > 0;
}

function isEnding(session: Session): boolean {
  if (session.stopping || session.unsubscribed) return true;
  return session.inputEnded && session.gated === 0 && session.backlog === 0;
}
