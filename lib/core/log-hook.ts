import { asyncScheduler, type Subscription } from 'rxjs';
import { waitOf, type Backoff } from './backoff.js';
import { DeliveryNode, type SettlementHook } from './delivery-node.js';
import { detach } from './detach.js';
import { classifyFailure } from './failures.js';
import type { Outcome } from './outcome.js';
import type { Committer } from './committer.js';
import { addRetry, giveBackCredit, tellSlotListeners, type Partition } from './partition.js';
import { tellIfEndless } from './passed-retry.js';
import { pump } from './pump.js';
import { reportRetry } from './report-retry.js';
import { messageInfo, notify, reportStale } from './telemetry.js';
import { hold } from './units.js';
import type { Window } from './window.js';

/**
 * Settles root deliveries of a log: an ack moves the watermark, a nack runs the same slot again after a backoff, so the
 * watermark waits for it (I1).
 * @internal
 */
export class LogHook implements SettlementHook {
  /** How often each record met an outage: those count no attempt, but their waits grow. */
  private readonly outages = new WeakMap<object, number>();

  constructor(
    private readonly committer: Committer,
    private readonly commitEvery: number,
    private readonly commitsAbove: boolean,
    private readonly redelivery: Backoff,
  ) {}

  onAck(delivery: DeliveryNode, outcome: Outcome): void {
    const { epoch, slot } = delivery;
    const { session } = epoch;
    if (epoch.closed) {
      reportStale(delivery, 'closed');
      return;
    }
    giveBackCredit(epoch);
    const window = epoch.window as Window;
    const moved = window.settle(slot);
    if (moved || this.commitsAbove) {
      if (!epoch.dirty) this.committer.mark(epoch);
      if (window.head - epoch.committed >= this.commitEvery) this.committer.hurry(epoch);
    }
    if (session.telemetry !== null) notify(session, { type: 'settled', message: messageInfo(delivery), outcome });
    if (epoch.slotListeners !== null) tellSlotListeners(epoch, slot, 'settled');
    pump(session);
  }

  onNack(delivery: DeliveryNode, reason: unknown, askedMs: number): void {
    const { epoch, attempt } = delivery;
    if (epoch.closed) {
      reportStale(delivery, 'closed');
      return;
    }
    if (!comesAgain(epoch)) {
      release(delivery);
      return;
    }
    const record = delivery.ref as object;
    const failure = classifyFailure(reason);
    const outage = failure === 'unavailable' ? (this.outages.get(record) ?? 0) + 1 : 0;
    if (outage > 0) this.outages.set(record, outage);
    const delayMs = askedMs >= 0 ? askedMs : waitOf(this.redelivery, outage > 0 ? outage : attempt);
    reportRetry(delivery, failure, reason, delayMs, askedMs);
    tellIfEndless(delivery, reason, failure, askedMs);
    park(delivery, outage > 0 ? attempt : attempt + 1, delayMs);
  }

  onAbandon(delivery: DeliveryNode): void {
    const { epoch, attempt } = delivery;
    if (epoch.closed) return;
    park(delivery, attempt, waitOf(this.redelivery, 1));
  }
}

function comesAgain({ session, live }: Partition): boolean {
  return live && !session.unsubscribed && !session.closing;
}

function release(delivery: DeliveryNode): void {
  const { epoch, slot } = delivery;
  (epoch.window as Window).release(slot);
  giveBackCredit(epoch);
  if (epoch.slotListeners !== null) tellSlotListeners(epoch, slot, 'gone');
  pump(epoch.session);
}

function park(delivery: DeliveryNode, attempt: number, delayMs: number): void {
  detach(delivery);
  const { epoch, slot, value, ref, op } = delivery;
  if (!comesAgain(epoch)) {
    release(delivery);
    return;
  }
  const due = asyncScheduler.schedule(() => {
    epoch.parked?.delete(due);
    addRetry(new DeliveryNode(value, attempt, null, op, slot, epoch, ref));
    pump(epoch.session);
  }, delayMs);
  (epoch.parked ??= new Map<Subscription, DeliveryNode>()).set(due, delivery);
  hold(epoch, 1, 1);
}
