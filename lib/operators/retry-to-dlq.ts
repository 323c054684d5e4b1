import { asyncScheduler, type Observable, type Subscriber, type Subscription } from 'rxjs';
import { giveUpOn } from '../core/at-once.js';
import { exponential, waitOf, type Backoff } from '../core/backoff.js';
import { unsettledOf } from '../core/batch-members.js';
import { bisectsOf, type NackAnswer } from '../core/bisection.js';
import type { Delivery } from '../core/delivery.js';
import { DeliveryNode, isNothingLeft, isWorkUnanswered, type SettlementHook } from '../core/delivery-node.js';
import { detach } from '../core/detach.js';
import { environment } from '../core/environment.js';
import type { SluiceError } from '../core/errors.js';
import { classifyFailure, isFailureClass, type FailureClass } from '../core/failures.js';
import { rememberFailure } from '../core/last-failure.js';
import type { Message } from '../core/message.js';
import { operate, type OperatorParts } from '../core/operate.js';
import type { Outcome } from '../core/outcome.js';
import { checkNames, checkOptions } from '../core/options.js';
import type { Partition } from '../core/partition.js';
import { tellWorkAboveRetry } from '../core/passed-retry.js';
import { Pending } from '../core/pending.js';
import type { Publisher } from '../core/publisher.js';
import { corked } from '../core/pump.js';
import type { Session } from '../core/session.js';
import { messageInfo, notify } from '../core/telemetry.js';
import type { Taken } from '../core/type-hints.js';
import { hold, unhold } from '../core/units.js';
import type { DeadLetterFormat } from './dead-letter.js';
import { createDeadLetterQueue, type DeadLetterQueue, type OnUndeliverable } from './dead-letter-queue.js';
import { eachMessage } from './each-message.js';
import { createOutageGate, type Attempt } from './outage-gate.js';
import { isPublisher } from './publisher-link.js';

/** What `retryToDlq` takes. @public */
export interface RetryToDlqOptions {
  /** Where dead letters go. Connected while the pipeline is subscribed, closed after it. */
  readonly deadLetters: Publisher<Message>;
  /** How many times a transient failure is tried again: a whole number, at least 0. Default: 3. */
  readonly maxRetries?: number;
  /** How long to wait before each retry, where the nack asks for no delay. Default: exponential, 100 ms to 30 s, full jitter. */
  readonly backoff?: Backoff;
  /** Classifies a failure; `undefined`, or what is no class, leaves it to the marks (`permanent`, `unavailable`). Default: the marks. */
  readonly classify?: (error: unknown) => FailureClass | undefined;
  /** What to do with a dead letter that cannot be published, also without stack, headers and key. Default: `'digest'`. */
  readonly onUndeliverable?: OnUndeliverable;
  /**
   * `'headers'`: the raw value, `dead-letter-*` headers. `'json'`: `{ original, encoding, error, failed_at }`, or the raw value where
   * that is too large. Default: `'headers'`.
   */
  readonly format?: DeadLetterFormat;
}

const OPTION_NAMES = ['deadLetters', 'maxRetries', 'backoff', 'classify', 'onUndeliverable', 'format'];

/**
 * Catches the nacks of everything below it, runs the delivery again after a backoff, and publishes what still fails as a
 * dead letter, which is acked upward only once that is confirmed (I6).
 *
 * ```text
 * in           --a--------------|
 * nacks below  ----x----x----x---      maxRetries: 2
 * out          --a----a----a----|      attempts 1, 2, 3
 * dead letter  --------------p---
 * settled      ---------------D--      once the publish is confirmed
 * ```
 *
 * Permanent failures skip the retries. `unavailable` ones count no attempt: everything is held and one probe at a time
 * finds out when it is over. What waits is in credit, so `maxInFlight` bounds it. On a revoke what waits is let go (I4).
 * A crash between the publish and the commit of its ack publishes the dead letter again.
 *
 * Place it above all that can fail. What is nacked above it, by a `decode` or a `handle` there, comes again from the source
 * without a limit and never becomes a dead letter: telemetry tells it as a `misuse`. A second one lower down has its own count.
 *
 * Below `batch` a retry is of the whole batch, without members that are settled already (unless the array was replaced by
 * another in between), and its dead letters are those of its members, one each. Above `batch` each member is tried again by itself.
 * @public
 */
export function retryToDlq(
  options: RetryToDlqOptions,
): <D extends Delivery<unknown>>(source: Observable<Taken<D>>) => Observable<D> {
  checkNames('retryToDlq', options, OPTION_NAMES);
  const { deadLetters: publisher, maxRetries = 3, onUndeliverable = 'digest', format = 'headers' } = options;
  checkOptions(
    'retryToDlq',
    { ...options },
    {
      deadLetters: { required: true, that: { be: 'a publisher, with connect()', holds: isPublisher } },
      maxRetries: { integer: true, min: 0 },
      backoff: { type: 'function' },
      classify: { type: 'function' },
      onUndeliverable: { oneOf: ['digest', 'hold', 'stop', 'ack'] },
      format: { oneOf: ['headers', 'json'] },
    },
  );

  const policy = {
    maxRetries,
    backoff: options.backoff ?? exponential({ initialMs: 100 }),
    classify: options.classify,
  };
  return operate((destination) => {
    const stop = (error: SluiceError): void => destination.error(error);
    const deadLetters = createDeadLetterQueue({ publisher, format, onUndeliverable, stop });
    return new RetryToDlq(destination, policy, deadLetters);
  });
}

interface RetryPolicy {
  readonly maxRetries: number;
  readonly backoff: Backoff;
  readonly classify: RetryToDlqOptions['classify'];
}

/** The children that it makes carry the failures so far in `slot` and the time of the first in `ref`. */
class RetryToDlq implements OperatorParts, SettlementHook {
  readonly retries = true;
  readonly answers = true;
  private readonly gate = createOutageGate(
    (attempt) => this.make(attempt),
    (child) => this.emit(child),
    (delivery) => this.abandon(delivery),
  );
  /** What may still be tried again. */
  private readonly pending: Pending;
  /** Of what is given up: one for each delivery, so that its end is known. */
  private readonly givenUp: SettlementHook = {
    onAck: (last, outcome) => this.settle(last.up as DeliveryNode, outcome),
    // Nobody nacks a dead letter.
    onNack: (last) => this.abandon(last.up as DeliveryNode),
    onAbandon: (last) => this.abandon(last.up as DeliveryNode),
  };
  private readonly parked = new Map<Subscription, DeliveryNode>();
  /** Torn down: what is still out below may settle, but nothing is started any more. */
  private closed = false;
  /** The session seen last. */
  private session: Session | null = null;

  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly policy: RetryPolicy,
    private readonly deadLetters: DeadLetterQueue,
  ) {
    this.pending = new Pending(destination);
  }

  next(delivery: DeliveryNode): void {
    const { value, attempt, epoch } = delivery;
    if (!epoch.live) {
      delivery.abandon();
      return;
    }
    if (epoch.session !== this.session) this.meet(delivery);
    this.pending.add(epoch);
    // A half of a batch that was given up is run once.
    const before = epoch.shares === null ? undefined : bisectsOf(delivery)?.halfOf(epoch);
    const failures = before === undefined ? 0 : this.policy.maxRetries;
    const firstFailureAt = before?.firstFailureAt ?? null;
    if (this.gate.isShut) this.gate.hold({ delivery, attempt, failures, firstFailureAt });
    else this.destination.next(new DeliveryNode(value, attempt, delivery, this, failures, epoch, firstFailureAt));
  }

  complete(): void {
    this.pending.complete();
  }

  teardown(): void {
    this.closed = true;
    this.pending.close();
    this.letGo(() => true);
    this.gate.close();
    this.deadLetters.close();
  }

  onRevoke(partition: Partition): void {
    this.letGo(({ epoch }) => epoch === partition);
    this.gate.drop(partition);
    this.deadLetters.drop(partition);
  }

  onClose(partition: Partition): void {
    this.onRevoke(partition);
    this.pending.drop(partition);
  }

  onAck(child: DeliveryNode, outcome: Outcome): void {
    if (this.gate.isShut) this.gate.foundBack(child);
    this.settle(child.up as DeliveryNode, outcome);
  }

  onNack(child: DeliveryNode, reason: unknown, askedMs: number): void {
    const delivery = child.up as DeliveryNode;
    const firstFailureAt = child.ref as number | null;
    const bisects = bisectsOf(delivery);
    const named = bisects?.takeNamed(child.epoch) === true;
    if (this.closed || !child.epoch.live) {
      this.gate.letGo(child);
      this.abandon(delivery);
      return;
    }
    if (isNothingLeft(child)) {
      this.onAck(child, 'done');
      return;
    }
    const failure = this.classify(reason);
    if (failure === 'unavailable') {
      detach(delivery);
      const again = { delivery, attempt: child.attempt, failures: child.slot, firstFailureAt };
      this.gate.foundOut(child, again, reason);
      return;
    }
    this.gate.foundBack(child);
    const now = environment.wallClock();
    const failures = child.slot + 1;
    if (failure === 'permanent' || failures > this.policy.maxRetries) {
      const { attempt: attempts } = child;
      detach(delivery);
      const times = { firstFailureAt: firstFailureAt ?? now, lastFailureAt: now };
      if (!named && bisects?.bisect(delivery, { attempt: attempts, ...times }) === true) {
        delivery.fail(reason, -1);
        this.pending.remove(delivery.epoch);
        return;
      }
      // Corked, so that those of a batch go in one call.
      corked(delivery.epoch.session, () => {
        const { value, epoch } = delivery;
        const last = new DeliveryNode(value, attempts, delivery, this.givenUp, 0, epoch, null);
        for (const message of eachMessage(last)) {
          this.deadLetters.add({ delivery: message, reason, attempts, ...times, trim: 0, refusals: 0 });
        }
        bisects?.goOnAfter(delivery.epoch);
      });
      return;
    }
    const next = { delivery, attempt: child.attempt + 1, failures, firstFailureAt: firstFailureAt ?? now };
    this.park(next, reason, askedMs >= 0 ? askedMs : waitOf(this.policy.backoff, failures));
  }

  onAbandon(child: DeliveryNode): void {
    this.gate.letGo(child);
    this.abandon(child.up as DeliveryNode);
  }

  answerTo({ slot: failures, epoch }: DeliveryNode, reason: unknown): NackAnswer {
    if (this.closed || !epoch.live) return 'again';
    const failure = this.classify(reason);
    if (failure === 'unavailable') return 'hold';
    return failure === 'permanent' || failures >= this.policy.maxRetries ? 'dead-letter' : 'again';
  }

  get holdsBack(): boolean {
    return this.gate.isWaitedAt;
  }

  isAwaited(child: DeliveryNode): boolean {
    return this.gate.isProbe(child);
  }

  heldBack(child: DeliveryNode): void {
    this.gate.heldBack(child);
  }

  private meet(delivery: DeliveryNode): void {
    const { session } = delivery.epoch;
    this.session = session;
    this.deadLetters.meet(session);
    const isWork = isWorkUnanswered(delivery);
    if (isWork === null) return;
    session.retries = true;
    if (isWork) tellWorkAboveRetry(delivery);
  }

  private settle(delivery: DeliveryNode, outcome: Outcome): void {
    delivery.settle(outcome);
    this.pending.remove(delivery.epoch);
  }

  private abandon(delivery: DeliveryNode): void {
    delivery.abandon();
    this.pending.remove(delivery.epoch);
  }

  /** From a timer: an ack below starts nothing inside this emission. */
  private emit(child: DeliveryNode): void {
    corked(child.epoch.session, () => this.destination.next(child));
  }

  private make({ delivery, attempt, failures, firstFailureAt }: Attempt): DeliveryNode {
    const left = unsettledOf(delivery);
    return new DeliveryNode(left.value, attempt, left, this, failures, left.epoch, firstFailureAt);
  }

  private park(next: Attempt, reason: unknown, delayMs: number): void {
    const { delivery } = next;
    const { epoch } = delivery;
    detach(delivery);
    rememberFailure(delivery, reason);
    const message = messageInfo(delivery);
    notify(epoch.session, { type: 'retried', message, by: 'operator', failure: 'transient', reason, delayMs });
    // By what it has just been told of, the user's code may have ended the subscription.
    if (this.closed) {
      this.abandon(delivery);
      return;
    }
    const due = asyncScheduler.schedule(() => {
      this.parked.delete(due);
      unhold(epoch, 1, 1);
      if (this.gate.isShut) this.gate.hold(next);
      else this.emit(this.make(next));
    }, delayMs);
    this.parked.set(due, delivery);
    hold(epoch, 1, 1);
  }

  private letGo(matches: (delivery: DeliveryNode) => boolean): void {
    for (const [due, delivery] of [...this.parked]) {
      if (!matches(delivery)) continue;
      due.unsubscribe();
      this.parked.delete(due);
      unhold(delivery.epoch, 1, 1);
      this.abandon(delivery);
    }
  }

  private classify(reason: unknown): FailureClass {
    try {
      const failure: unknown = this.policy.classify?.(reason);
      giveUpOn(failure);
      return isFailureClass(failure) ? failure : classifyFailure(reason);
    } catch {
      return 'transient';
    }
  }
}
