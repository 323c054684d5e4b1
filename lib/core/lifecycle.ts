import { asyncScheduler } from 'rxjs';
import { closeTimeoutMs } from './close-timeout.js';
import { whyUnsettled } from './last-failure.js';
import {
  closePartition,
  dropPending,
  giveBackCredit,
  refOf,
  takeParked,
  tellSlotListeners,
  type Partition,
} from './partition.js';
import { corked, pump } from './pump.js';
import type { Session } from './session.js';
import { isStackLow, noteOverflow, stackOverflow, STACK_OVERFLOW } from './stack.js';
import { notify } from './telemetry.js';

/** Intake ends; what is out settles, retries included, within `drainTimeoutMs`; then the source completes. @internal */
export function stop(session: Session): void {
  if (session.stopping || session.unsubscribed || session.closing) return;
  session.stopping = true;
  session.engine.leaving();
  for (const partition of [...session.partitions]) {
    discardPending(partition);
    // What a queue holds after a nack is the broker's to run again.
    if (partition.window === null) releaseParked(partition);
  }
  session.deadline = asyncScheduler.schedule(() => cutOff(session), session.options.drainTimeoutMs);
  pump(session);
}

/**
 * Intake ends at once and nothing is retried; the epochs stay open in the background until all that is out is settled
 * or abandoned, at most `drainTimeoutMs`. Our operators abandon what they hold in the same teardown, after this.
 * @internal
 */
export function unsubscribe(session: Session): void {
  if (session.unsubscribed || session.closed) return;
  if (isStackLow()) {
    noteOverflow(session, null);
    return;
  }
  session.unsubscribed = true;
  if (session.closing) return;
  if (!session.stopping) session.engine.leaving();
  session.deadline?.unsubscribe();
  session.deadline = asyncScheduler.schedule(() => cutOff(session), session.options.drainTimeoutMs);
  corked(session, () => {
    for (const partition of [...session.partitions]) {
      discardPending(partition);
      releaseParked(partition);
    }
  });
  pump(session);
}

/**
 * The call stack was used up below the source. What stands there may have lost the error, or the count of what it holds: so
 * the source ends the stream, or tells its telemetry where nobody listens any more. Called on a fresh stack.
 * @internal
 */
export function endAfterOverflow(session: Session): void {
  if (session.unsubscribed || session.closed) return;
  if (!session.subscriber.closed) {
    fail(session, stackOverflow(session.overflow));
    return;
  }
  notify(session, { type: 'misuse', code: 'stack-overflow', message: STACK_OVERFLOW });
  unsubscribe(session);
}

/** What the pump calls when nothing is out and the session is to end. @internal */
export function endWhenIdle(session: Session): void {
  if (session.closing || session.ending !== null) return;
  if (session.unsubscribed) {
    close(session);
    return;
  }
  session.ending = asyncScheduler.schedule(() => {
    session.ending = null;
    if (session.inFlight === 0 && session.lingering === 0) close(session);
  });
}

/** Ends the stream: the source itself cannot go on (I7). What is out is abandoned and comes again. @internal */
export function fail(session: Session, error: unknown): void {
  session.subscriber.error(error);
}

/** Lets go of all that waits for a retry: it comes again, from the broker. @internal */
export function releaseParked(partition: Partition): void {
  const { window, session } = partition;
  for (const delivery of takeParked(partition)) {
    if (window === null) {
      session.engine.root.onAbandon(delivery);
      continue;
    }
    window.release(delivery.slot);
    giveBackCredit(partition);
    tellSlotListeners(partition, delivery.slot, 'gone');
  }
}

/** @internal */
export function discardPending(partition: Partition): void {
  const records = dropPending(partition);
  if (records.length > 0) partition.session.engine.discard(partition, records);
}

// Waits no longer for unsettled deliveries, and tells of them: nobody else tells the code that still holds them.
function cutOff(session: Session): void {
  const { drainTimeoutMs: afterMs } = session.options;
  for (const partition of [...session.partitions, ...session.draining]) {
    const { out } = partition;
    if (out === 0) continue;
    const why = whyUnsettled(session, session.engine.oldest(partition));
    const ref = refOf(partition);
    notify(session, { type: 'cut-off', partition: ref, unsettled: out, afterMs, ...(why === null ? {} : { why }) });
  }
  close(session);
}

// Makes durable what is done, voids the rest, closes the connection: each step bounded by the drain time-out.
function close(session: Session): void {
  if (session.closing) return;
  session.closing = true;
  session.ending?.unsubscribe();
  session.watchdog?.unsubscribe();
  session.watchdog = null;
  bounded(
    session,
    (done) => session.engine.settleUp([...session.partitions, ...session.draining], done),
    () =>
      bounded(
        session,
        (done) => closeEpochs(session, done),
        () =>
          bounded(
            session,
            (done) => session.engine.close(done),
            () => finish(session),
          ),
      ),
  );
}

// Operators give back what is still claimed for a delivery that nobody settled (I8): that alone is waited for, since what
// lingers longer has had the time of the drain.
function closeEpochs(session: Session, done: () => void): void {
  const before = session.lingering;
  corked(session, () => {
    for (const partition of [...session.partitions, ...session.draining]) {
      discardPending(partition);
      closePartition(partition);
    }
  });
  session.onLingered = done;
  if (session.lingering <= before) done();
}

function finish(session: Session): void {
  session.closed = true;
  session.background.unsubscribe();
  notify(session, { type: 'closed' });
  session.subscriber.complete();
}

function bounded(session: Session, step: (done: () => void) => void, then: () => void): void {
  let over = false;
  const next = (): void => {
    if (over) return;
    over = true;
    session.deadline?.unsubscribe();
    session.deadline = null;
    then();
  };
  session.deadline?.unsubscribe();
  session.deadline = asyncScheduler.schedule(next, closeTimeoutMs(session.options));
  step(next);
}
