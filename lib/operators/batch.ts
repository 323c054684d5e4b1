import { asyncScheduler, type Observable, type Subscriber, type Subscription } from 'rxjs';
import { createBatchEpochs } from '../core/batch-epochs.js';
import { messagesOf } from '../core/batch-members.js';
import type { BatchDelivery } from '../core/batch-delivery.js';
import { answerTo, bisectsOf, type Bisects, type FailedBatch } from '../core/bisection.js';
import { batchOf, DeliveryNode, isSettled, type SettlementHook } from '../core/delivery-node.js';
import { detach } from '../core/detach.js';
import { isAwaited } from '../core/held-back.js';
import { operate, type OperatorParts } from '../core/operate.js';
import { checkNames, checkOptions, LONGEST_TIMER_MS } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import type { Partition } from '../core/partition.js';
import { Pending } from '../core/pending.js';
import type { Position } from '../core/position.js';
import { corked, defer } from '../core/pump.js';
import type { PumpTask, Session } from '../core/session.js';
import { messageInfo, notify } from '../core/telemetry.js';
import type { Deliveries } from '../core/type-hints.js';
import { hold, unhold } from '../core/units.js';
import { Halving } from './halving.js';

/** What bounds a batch: both are needed. @public */
export interface BatchOptions {
  /** The most members: a whole number, at least 1. More than the source's `maxInFlight` is never reached. */
  readonly maxSize: number;
  /**
   * The longest that the first member waits for others, in milliseconds, above 0: the last resort. Where nothing else runs the batch
   * goes at once if the source can give nothing more, or if others wait for a member of it: behind its key, in `ordered` above.
   */
  readonly maxWaitMs: number;
  /**
   * Where a batch fails as a whole and its members would be dead letters, it is run by halves first, so that only those that fail
   * alone are. `false`: all of its members are dead letters. Default: `true`.
   */
  readonly bisectOnFailure?: boolean;
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
 * A batch that fails as a whole is retried as a whole, by whoever answers its nack. Where `retryToDlq`, above or below, would make dead letters of
 * its members, it is run by halves first, one after another, and a half that fails is halved again: only what fails alone is a dead
 * letter. Of n members of which k fail these are some 2k·log₂(n) runs, less than 2n; what the handler does is done again in each. It is
 * not for failures that are `unavailable`, nor where `nackOnly` named those that failed, nor in a branch of `fanOut` below.
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
  checkNames('batch', options, ['maxSize', 'maxWaitMs', 'bisectOnFailure']);
  checkOptions(
    'batch',
    { ...options },
    {
      maxSize: { required: true, integer: true, min: 1 },
      maxWaitMs: { required: true, above: 0, max: LONGEST_TIMER_MS },
      bisectOnFailure: { that: { be: 'true or false', holds: (value) => typeof value === 'boolean' } },
    },
  );
  const { maxSize, maxWaitMs, bisectOnFailure = true } = options;
  return operate((destination) => new Batch(destination, maxSize, maxWaitMs, bisectOnFailure));
}

/** What is gathered of one source. */
class Gather implements PumpTask {
  members: DeliveryNode[] = [];
  /** So many of the members were looked at, when so many waits had begun: nobody waits for those. */
  private looked = 0;
  private waits = 0;
  timer: Subscription | null = null;
  queued = false;

  constructor(
    readonly session: Session,
    private readonly maxWaitMs: number,
    private readonly emit: (gather: Gather) => void,
  ) {}

  /**
   * Whether others wait for a member. A standstill may follow each message, so only what has come since is looked at, and all anew once
   * somebody else waits.
   */
  get isAwaited(): boolean {
    const { session, members } = this;
    if (this.waits !== session.waits) this.looked = 0;
    this.waits = session.waits;
    while (this.looked < members.length && !isAwaited(members[this.looked] as DeliveryNode)) this.looked++;
    return this.looked < members.length;
  }

  /** From here on these are gathered. */
  reset(members: DeliveryNode[]): void {
    this.members = members;
    this.looked = 0;
  }

  /** `maxWaitMs` is over. */
  run(): void {
    const { session, members } = this;
    const awaited = session.telemetry === null ? undefined : members.find(isAwaited);
    if (awaited !== undefined) {
      notify(session, { type: 'held-back', message: messageInfo(awaited), forMs: this.maxWaitMs });
    }
    this.emit(this);
  }
}

/** A part of a batch that failed, by the batch made of it. */
interface Half {
  readonly of: Halving;
  readonly failed: FailedBatch;
}

class Batch implements OperatorParts, SettlementHook, Bisects {
  readonly bisects: Bisects | undefined;
  private readonly epochs = createBatchEpochs();
  private readonly gathers: Gather[] = [];
  /** The one of the source seen last. */
  private gather: Gather | null = null;
  /** Batches that are out. */
  private readonly pending: Pending;
  /** Pending batches of which `nackOnly` named members. */
  private readonly named = new Set<Partition>();
  /** Pending batches that a retry below gave up, and will nack. */
  private readonly givenUp = new Map<Partition, FailedBatch>();
  /** Pending batches that are parts of one that failed. */
  private readonly halves = new Map<Partition, Half>();
  private readonly halvings = new Set<Halving>();

  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly maxSize: number,
    private readonly maxWaitMs: number,
    bisectOnFailure: boolean,
  ) {
    this.pending = new Pending(destination);
    this.bisects = bisectOnFailure ? this : undefined;
  }

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
    this.pending.complete();
  }

  teardown(): void {
    this.pending.close();
    for (const gather of this.gathers) for (const member of take(gather)) member.abandon();
    for (const halving of this.halvings) for (const member of halving.take(null)) member.abandon();
    this.halves.clear();
    this.epochs.close();
  }

  onQuiet(session: Session): void {
    for (const gather of this.gathers) if (gather.session === session) this.emit(take(gather));
  }

  onStandstill(session: Session): void {
    for (const gather of this.gathers) {
      if (gather.session === session && gather.isAwaited) this.emit(take(gather));
    }
  }

  onRevoke(partition: Partition): void {
    this.drop(partition);
    this.epochs.revoke(partition);
  }

  onClose(partition: Partition): void {
    this.drop(partition);
    if (partition.shares !== null) this.leave(partition, true);
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
    const members = unsettledOf(batch);
    const failed = this.wholeOf(batch, members, reason);
    if (failed !== null) {
      this.halve(batch, members, failed, reason);
      return;
    }
    const halving = this.halves.get(batch.epoch)?.of;
    // The others would find the same thing out.
    const rest = halving !== undefined && members.some((member) => answerTo(member, reason) === 'hold');
    const others = rest ? halving.take(null) : [];
    this.settleEach(batch, (member) => member.fail(reason, delayMs), others);
  }

  onAbandon(batch: DeliveryNode): void {
    this.settleEach(batch, (member) => member.abandon());
  }

  settleSome({ epoch }: DeliveryNode, members: readonly DeliveryNode[]): void {
    this.named.add(epoch);
    corked(epoch.session, () => {
      for (const member of members) if (!isSettled(member)) member.settle('done');
    });
  }

  takeNamed(epoch: Partition): boolean {
    return this.named.delete(epoch);
  }

  bisect(batch: DeliveryNode, failed: FailedBatch): boolean {
    const { epoch } = batch;
    const members = batchOf(batch)?.members.filter(hasMessages) ?? [];
    const [first] = members;
    if (first === undefined || this.destination.closed) return false;
    // Where a batch has one member, a batch itself, that member is halved, by the operator that made it.
    if (members.length === 1) return bisectsOf(first)?.bisect(first, failed) === true;
    this.givenUp.set(epoch, failed);
    return true;
  }

  goOnAfter(epoch: Partition): void {
    const half = this.halves.get(epoch);
    this.halves.delete(epoch);
    half?.of.goOn();
  }

  halfOf(epoch: Partition): FailedBatch | undefined {
    return this.halves.get(epoch)?.failed;
  }

  /** The failure of a batch that failed as a whole and whose members would be dead letters; `null` for any other. */
  private wholeOf(batch: DeliveryNode, members: readonly DeliveryNode[], reason: unknown): FailedBatch | null {
    const { epoch, attempt } = batch;
    const named = this.named.delete(epoch);
    const givenUp = this.givenUp.get(epoch);
    this.givenUp.delete(epoch);
    if (this.bisects === undefined || named || members.length < 2 || this.destination.closed) return null;
    if (givenUp !== undefined) return givenUp;
    const isGivenUp = members.some((member) => answerTo(member, reason) === 'dead-letter');
    return isGivenUp ? { attempt, firstFailureAt: null } : null;
  }

  private halve(batch: DeliveryNode, members: readonly DeliveryNode[], failed: FailedBatch, reason: unknown): void {
    const { epoch } = batch;
    const { session } = epoch;
    if (session.telemetry !== null) {
      notify(session, { type: 'bisected', message: messageInfo(batch), size: members.length, reason });
    }
    // By what it has just been told of, the user's code may have ended the subscription.
    if (this.destination.closed) {
      this.settleEach(batch, (member) => member.abandon());
      return;
    }
    detach(batch);
    this.epochs.end(epoch);
    const half = this.halves.get(epoch);
    corked(session, () => {
      const halving = half?.of ?? this.newHalving(epoch);
      halving.halve(
        members.filter((member) => member.epoch.live),
        failed,
      );
      // Nothing of a partition that is being revoked is started any more (I4).
      for (const member of members) if (!member.epoch.live) member.abandon();
      if (half === undefined) halving.goOn();
      else this.leave(epoch);
    });
  }

  // It stands for its batch, which is out until all of its members have ended.
  private newHalving(origin: Partition): Halving {
    const halving = new Halving({
      session: origin.session,
      emit: (members, failed) => this.emit(members, { of: halving, failed }),
      done: () => {
        this.halvings.delete(halving);
        this.pending.remove(origin);
      },
    });
    this.halvings.add(halving);
    return halving;
  }

  private settleEach(
    batch: DeliveryNode,
    settle: (member: DeliveryNode) => void,
    others: readonly DeliveryNode[] = [],
  ): void {
    const { epoch } = batch;
    this.epochs.end(epoch);
    corked(epoch.session, () => {
      for (const member of [...unsettledOf(batch), ...others]) settle(member);
      this.leave(epoch);
    });
  }

  // It is out no more.
  private leave(epoch: Partition, isClosed = false): void {
    this.named.delete(epoch);
    this.givenUp.delete(epoch);
    if (isClosed) this.pending.drop(epoch);
    else this.pending.remove(epoch);
    this.goOnAfter(epoch);
  }

  private emit(members: readonly DeliveryNode[], half: Half | null = null): void {
    const [first] = members;
    if (first === undefined) return;
    // An unsubscribe is heard of by the source first: it may be quiet before this is torn down.
    if (this.destination.closed) {
      for (const member of members) member.abandon();
      return;
    }
    const values = members.map(({ value }) => value);
    const attempt = half === null ? first.attempt : half.failed.attempt + 1;
    const epoch = this.epochs.open(members);
    if (half !== null) this.halves.set(epoch, half);
    this.pending.add(epoch);
    this.destination.next(new DeliveryNode<unknown>(values, attempt, first, this, 0, epoch, members));
  }

  private gatherOf(session: Session): Gather {
    let gather = this.gathers.find((each) => each.session === session);
    if (gather === undefined) {
      gather = new Gather(session, this.maxWaitMs, (each) => this.emit(take(each)));
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
      gather.reset(kept);
      if (kept.length === 0) endTimer(gather);
      for (const member of dropped) {
        unhold(partition);
        member.abandon();
      }
    }
    for (const halving of this.halvings) for (const member of halving.take(partition)) member.abandon();
  }
}

function unsettledOf({ ref }: DeliveryNode): DeliveryNode[] {
  return (ref as readonly DeliveryNode[]).filter((member) => !isSettled(member));
}

function hasMessages(member: DeliveryNode): boolean {
  return !isSettled(member) && messagesOf(member).length > 0;
}

function take(gather: Gather): DeliveryNode[] {
  const { members } = gather;
  endTimer(gather);
  gather.reset([]);
  for (const { epoch } of members) unhold(epoch);
  return members;
}

function endTimer(gather: Gather): void {
  gather.timer?.unsubscribe();
  gather.timer = null;
}
