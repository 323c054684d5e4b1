import { asyncScheduler } from 'rxjs';
import { whyUnsettled } from './last-failure.js';
import { idOf, type Partition } from './partition.js';
import type { Session } from './session.js';
import { notify } from './telemetry.js';

const CHECKS = 4;

/**
 * Reports a partition whose oldest unsettled delivery stays the same for `unsettledWarnMs` (I2), once for each. It
 * looks four times within that time instead of stamping each delivery, and sleeps while nothing new is emitted.
 * @internal
 */
export function watch(session: Session): void {
  const periodMs = session.options.unsettledWarnMs / CHECKS;
  const { stalls } = session;
  const check = (): void => {
    session.watchdog = null;
    // An unsubscribe that failed on its way up: RxJS takes it for done.
    if (session.overflowed || (session.subscriber.closed && !session.unsubscribed && !session.closing)) {
      session.onOverflow();
      return;
    }
    let unreported = session.emitted;
    session.emitted = false;
    for (const partition of [...session.partitions, ...session.draining]) {
      const record = session.engine.oldest(partition);
      const stall = stalls.get(partition);
      if (record === null) stalls.delete(partition);
      else if (stall === undefined || stall.record !== record) stalls.set(partition, { record, checks: 0 });
      else if (++stall.checks === CHECKS) report(session, partition, record, CHECKS * periodMs);
      unreported ||= record !== null && (stalls.get(partition)?.checks ?? 0) < CHECKS;
    }
    if (unreported) session.watchdog = asyncScheduler.schedule(check, periodMs);
  };
  session.emitted = false;
  session.watchdog = asyncScheduler.schedule(check, periodMs);
}

function report(session: Session, partition: Partition, record: unknown, forMs: number): void {
  const { topic, partition: number } = partition;
  const message = { topic, partition: number, id: idOf(partition, record), attempt: 1 };
  const why = whyUnsettled(session, record);
  notify(session, { type: 'unsettled-too-long', message, forMs, ...(why === null ? {} : { why }) });
}
