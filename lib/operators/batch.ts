import { asyncScheduler, type Observable, type Subscriber, type Subscription } from 'rxjs';
import { createBatchEpochs } from '../core/batch-epochs.js';
import type { BatchDelivery } from '../core/batch-delivery.js';
import { DeliveryNode, isSettled, type SettlementHook } from '../core/delivery-node.js';
import { operate, type OperatorParts } from '../core/operate.js';
import { checkNames, checkOptions, LONGEST_TIMER_MS } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import type { Partition } from '../core/partition.js';
import type { Position } from '../core/position.js';
import { corked, defer } from '../core/pump.js';
import type { PumpTask, Session } from '../core/session.js';
import type { Deliveries } from '../core/type-hints.js';
import { hold, unhold } from '../core/units.js';

/** What bounds a batch: both are needed. @public */
export interface BatchOptions {
  /** The most members: a whole number, at least 1. More than the source's `maxInFlight` is never reached. */
  readonly maxSize: number;
  /**
   * The longest that the first member waits for others, in milliseconds, above 0: the last resort. Where the source can
   * give nothing more and nothing else runs, the batch goes at once.
   */
  readonly maxWaitMs: number;
}

/**
 * Gathers deliveries into one whose value is the array of theirs; settling it settles all of them.
 *
 * ```text
 * in       --a--b--c--d-----------|    maxSize: 3
 * out      --------(abc)-----(d)--|    d goes on quiet, or after maxWaitMs
 * settled  ----------ABC-------D---    by one settlement each
 * ```
 *
 * A batch has `members`, and the id, key, position, headers and attempt of its first. `nackOnly(members, reason)` acks the others.
 * A member may also be settled by itself; the batch then settles the rest. What is gathered is in credit, so
 * `maxInFlight` bounds it. A batch has the members of one source: over `merge` each source has its own.
 *
 * Order: members are in order of arrival, batches too. On a revoke what is gathered is let go, and so is a batch that is not
 * started and has a member of that partition; its other members come again (I4). One that is started settles those members that are
 * still ours; its `signal` is aborted when none is. On unsubscribe what is gathered is let go. A crash before the batch is settled
 * brings all of its members again, perhaps in other batches.
 * @public
 */
export function batch(
  options: BatchOptions,
): <T, P extends Position>(source: Observable<Deliveries<T, P>>) => Observable<BatchDelivery<T, P>> {
  checkNames('batch', options, ['maxSize', 'maxWaitMs']);
  checkOptions(
    'batch',
    { ...options },
    {
      maxSize: { required: true, integer: true, min: 1 },
      maxWaitMs: { required: true, above: 0, max: LONGEST_TIMER_MS },
    },
  );
  return operate((destination) => new Batch(destination, options.maxSize, options.maxWaitMs));
}

/** What is gathered of one source. */
class Gather implements PumpTask {
  members: DeliveryNode[] = [];
  timer: Subscription | null = null;
  queued = false;

  constructor(
    readonly session: Session,
    private readonly emit: (gather: Gather) => void,
  ) {}

  run(): void {
    this.emit(this);
  }
}

class Batch implements OperatorParts, SettlementHook {
  private readonly epochs = createBatchEpochs();
  private readonly gathers: Gather[] = [];
  /** The one of the source seen last. */
  private gather: Gather | null = null;

  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly maxSize: number,
    private readonly maxWaitMs: number,
  ) {}

  next(delivery: DeliveryNode): void {
    const { epoch } = delivery;
    if (!epoch.live) {
      delivery.abandon();
      return;
    }
    const gather = this.gather?.session === epoch.session ? this.gather : this.gatherOf(epoch.session);
    if (gather.members.length + 1 >= this.maxSize) {
      this.emit([...take(gather), delivery]);
      return;
    }
    gather.members.push(delivery);
    // Through the pump, as all that is given: an ack below must not start another emission inside this one.
    gather.timer ??= asyncScheduler.schedule(() => defer(gather.session, gather), this.maxWaitMs);
    hold(epoch);
  }

  complete(): void {
    for (const gather of [...this.gathers]) this.emit(take(gather));
    this.destination.complete();
  }

  teardown(): void {
    for (const gather of this.gathers) for (const member of take(gather)) member.abandon();
    this.epochs.close();
  }

  onQuiet(session: Session): void {
    for (const gather of this.gathers) if (gather.session === session) this.emit(take(gather));
  }

  onRevoke(partition: Partition): void {
    this.drop(partition);
    this.epochs.revoke(partition);
  }

  onClose(partition: Partition): void {
    this.drop(partition);
    // A source that is subscribed anew is another session.
    this.gather = null;
    for (const gather of [...this.gathers]) {
      if (gather.members.length === 0) this.gathers.splice(this.gathers.indexOf(gather), 1);
    }
  }

  onAck(batch: DeliveryNode, outcome: Outcome): void {
    this.settleEach(batch, (member) => member.settle(outcome));
  }

  onNack(batch: DeliveryNode, reason: unknown, delayMs: number): void {
    this.settleEach(batch, (member) => member.fail(reason, delayMs));
  }

  onAbandon(batch: DeliveryNode): void {
    this.settleEach(batch, (member) => member.abandon());
  }

  settleSome({ epoch }: DeliveryNode, members: readonly DeliveryNode[]): void {
    corked(epoch.session, () => {
      for (const member of members) if (!isSettled(member)) member.settle('done');
    });
  }

  private settleEach({ epoch, ref }: DeliveryNode, settle: (member: DeliveryNode) => void): void {
    this.epochs.end(epoch);
    corked(epoch.session, () => {
      for (const member of ref as readonly DeliveryNode[]) if (!isSettled(member)) settle(member);
    });
  }

  private emit(members: readonly DeliveryNode[]): void {
    const [first] = members;
    if (first === undefined) return;
    // An unsubscribe is heard of by the source first: it may be quiet before this is torn down.
    if (this.destination.closed) {
      for (const member of members) member.abandon();
      return;
    }
    const values = members.map(({ value }) => value);
    const { attempt } = first;
    this.destination.next(
      new DeliveryNode<unknown>(values, attempt, first, this, 0, this.epochs.open(members), members),
    );
  }

  private gatherOf(session: Session): Gather {
    let gather = this.gathers.find((each) => each.session === session);
    if (gather === undefined) {
      gather = new Gather(session, (each) => this.emit(take(each)));
      this.gathers.push(gather);
    }
    this.gather = gather;
    return gather;
  }

  private drop(partition: Partition): void {
    for (const gather of this.gathers) {
      const dropped = gather.members.filter(({ epoch }) => epoch === partition);
      if (dropped.length === 0) continue;
      const kept = gather.members.filter(({ epoch }) => epoch !== partition);
      gather.members = kept;
      if (kept.length === 0) endTimer(gather);
      for (const member of dropped) {
        unhold(partition);
        member.abandon();
      }
    }
  }
}

function take(gather: Gather): DeliveryNode[] {
  const { members } = gather;
  endTimer(gather);
  gather.members = [];
  for (const { epoch } of members) unhold(epoch);
  return members;
}

function endTimer(gather: Gather): void {
  gather.timer?.unsubscribe();
  gather.timer = null;
}
