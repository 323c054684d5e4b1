import { asyncScheduler, defer, Subscription, type SchedulerAction } from 'rxjs';
import type { EngineLag } from './engine-reports.js';
import { environment } from './environment.js';
import { nameOf } from './errors.js';
import { refOf, type Partition } from './partition.js';
import type { Session } from './session.js';
import { misuse, notify } from './telemetry.js';

// How many partitions are told of in one turn of the loop: each is a call of the user's function.
const TOLD_A_TURN = 500;
// In virtual time: how often in a row it is told although nothing has moved.
const MOST_IDLE = 50;

/**
 * Tells the lag of each partition every `lagEveryMs` as long as the source is open, whatever the partition waits for. The broker is
 * asked first. Where it has not answered when the next time comes, what is known is told, and its age says how old that is.
 *
 * The timer keeps no process alive. In virtual time one that goes on for ever would keep `flush` from ever ending: there it goes to
 * sleep when nothing has moved for long, until something is pushed.
 * @internal
 */
export function startLagTimer(session: Session): void {
  const { lagEveryMs } = session.options;
  if (session.telemetry === null || lagEveryMs === Infinity) return;
  let timer = Subscription.EMPTY;
  let asking = Subscription.EMPTY;
  let slice = Subscription.EMPTY;
  let unanswered = false;
  let telling = false;
  let idle = 0;
  let before = -1;

  const tell = (): void => {
    if (session.closing) return;
    unanswered = false;
    if (!telling) tellSome([...session.partitions, ...session.draining], 0);
  };

  const tellSome = (partitions: readonly Partition[], from: number): void => {
    const to = from + TOLD_A_TURN;
    for (const partition of partitions.slice(from, to)) if (!partition.closed) tellOf(session, partition);
    // Whoever was told may have ended the source.
    telling = to < partitions.length && !session.closing;
    if (telling) slice = asyncScheduler.schedule(() => tellSome(partitions, to));
  };

  const ask = (): void => {
    if (telling) return;
    if (unanswered) tell();
    if (session.closing) return;
    asking.unsubscribe();
    unanswered = true;
    asking = defer(() => session.engine.refreshLag()).subscribe({ error: tell, complete: tell });
  };

  const mayRest = (): boolean => {
    if (!environment.isVirtual()) return false;
    const now = progressOf(session);
    idle = now === before ? idle + 1 : 0;
    before = now;
    return idle > MOST_IDLE;
  };

  const run = function (this: SchedulerAction<unknown>): void {
    ask();
    if (mayRest()) session.wakeLagTimer = start;
    else environment.unref(this.schedule(undefined, lagEveryMs));
  };

  const start = (): void => {
    session.wakeLagTimer = null;
    timer = asyncScheduler.schedule(run, lagEveryMs);
    environment.unref(timer);
  };

  session.background.add(() => {
    for (const each of [timer, asking, slice]) each.unsubscribe();
  });
  start();
}

function tellOf(session: Session, partition: Partition): void {
  const lag = lagOf(session, partition);
  const { pending: bufferedMessages, pendingBytes: bufferedBytes, out: inFlight } = partition;
  notify(session, {
    type: 'lag',
    partition: refOf(partition),
    ...(lag === null ? {} : { ...lag, ageMs: Math.round(lag.ageMs ?? 0) }),
    bufferedMessages,
    bufferedBytes,
    inFlight,
  });
}

// A figure that cannot be told is no reason to end a stream.
function lagOf(session: Session, partition: Partition): EngineLag | null {
  try {
    return session.engine.lag(partition);
  } catch (error) {
    misuse(
      session,
      'lag-failed',
      `the adapter of the source threw when it was asked for a lag, which is not told: ${nameOf(error)}`,
    );
    return null;
  }
}

// Grows with each message that comes, is emitted or is settled.
function progressOf({ partitions }: Session): number {
  let progress = 0;
  for (const { window, nextSlot, pending, out } of partitions)
    progress += 3 * (window?.tail ?? nextSlot) + pending - out;
  return progress;
}
