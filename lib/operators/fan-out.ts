import { isObservable, Subject, type OperatorFunction, type Subscriber, type Subscription } from 'rxjs';
import { giveUpOn } from '../core/at-once.js';
import type { Delivery } from '../core/delivery.js';
import { DeliveryNode, type SettlementHook } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { kindOf } from '../core/kind-of.js';
import { operate, type OperatorParts } from '../core/operate.js';
import { checkOptions } from '../core/options.js';
import type { Outcome } from '../core/outcome.js';
import { reportStale } from '../core/telemetry.js';
import { Tally } from '../core/tally.js';
import type { Taken } from '../core/type-hints.js';
import { pumpIfStill } from '../core/units.js';

/**
 * The same delivery through several pipelines; it is settled once all of them have ended it. (`share()` would ack on the
 * first.)
 *
 * ```text
 * in         --a--b-------------|
 * branch 1   --a--b-------------|    settles a1 at once, b1 at once
 * branch 2   --a--b-------------|    settles a2 later, fails on b2
 * settled    ---------A---x------    a with the worst outcome; b is nacked, and runs again in all branches
 * ```
 *
 * Each branch gets a delivery of its own, of the same identity, value and attempt; what the branches emit is merged. The
 * outcome is the worst of theirs: dead-lettered, then skipped, then done. Where a branch nacks, the delivery is nacked
 * with the first reason once the others have ended it, and comes again in all branches: give each branch a `retryToDlq` of its own,
 * which runs only that one again, or a `dedupe`. The value is shared: a branch must not change it. The copies cost no credit.
 *
 * The stream completes when all branches have. A branch that completes before its input has (`take`) completes the
 * whole, as it would without the others; one that fails (a foreign operator) ends it with its error; what is out comes
 * again. While a branch does not listen (a `retry` with a delay inside it) deliveries are let go before any branch sees
 * them, and come again. What a foreign operator in a branch drops is leaked (I2).
 *
 * Order: each branch is given the deliveries in order of arrival. A crash before the last branch has ended a delivery
 * brings it again in all branches; so do a revoke and an unsubscribe that cut one of them off.
 *
 * @example
 * ```ts
 * orders.pipe(
 *   fanOut(
 *     (each) => each.pipe(retryToDlq({ deadLetters }), handle(charge, { concurrency: 16 }), ackEach()),
 *     (each) => each.pipe(retryToDlq({ deadLetters }), batch({ maxSize: 500, maxWaitMs: 200 }), handle(index), ackEach()),
 *   ),
 * );
 * ```
 * @public
 */
export function fanOut<D extends Delivery<unknown>, A, B = never, C = never, E = never, F = never, G = never>(
  first: OperatorFunction<D, A>,
  second?: OperatorFunction<D, B>,
  third?: OperatorFunction<D, C>,
  fourth?: OperatorFunction<D, E>,
  fifth?: OperatorFunction<D, F>,
  ...others: OperatorFunction<D, G>[]
): OperatorFunction<Taken<D>, A | B | C | E | F | G>;
/** The same for branches in an array. @public */
export function fanOut<D extends Delivery<unknown>, R>(
  ...branches: readonly OperatorFunction<D, R>[]
): OperatorFunction<Taken<D>, R>;
export function fanOut(...branches: readonly unknown[]): OperatorFunction<never, unknown> {
  checkOptions(
    'fanOut',
    { branches },
    { branches: { required: true, that: { be: 'operators, at least one', holds: areOperators } } },
  );
  return operate((destination) => new FanOut(destination, branches as readonly OperatorFunction<unknown, unknown>[]));
}

/** The deliveries that it makes carry their tally in `ref`. */
class FanOut implements OperatorParts, SettlementHook {
  readonly forks = true;
  private readonly inputs: readonly Subject<unknown>[];
  private readonly subscriptions: readonly Subscription[];
  /** Branches that have not completed. */
  private open: number;
  private upstreamCompleted = false;

  constructor(
    private readonly destination: Subscriber<unknown>,
    branches: readonly OperatorFunction<unknown, unknown>[],
  ) {
    this.open = branches.length;
    this.inputs = branches.map(() => new Subject<unknown>());
    // All are made before one is subscribed: making them may throw, and then there is nothing to undo.
    const outputs = branches.map((branch, index) => {
      const output: unknown = branch((this.inputs[index] as Subject<unknown>).asObservable());
      if (!isObservable(output)) throw noPipeline(index, output);
      return output;
    });
    this.subscriptions = outputs.map((output) =>
      output.subscribe({
        next: (value) => destination.next(value),
        error: (error: unknown) => destination.error(error),
        complete: () => this.branchCompleted(),
      }),
    );
  }

  next(delivery: DeliveryNode): void {
    const { inputs } = this;
    const { value, attempt, epoch } = delivery;
    if (!epoch.live || !inputs.every(isObserved)) {
      delivery.abandon();
      return;
    }
    const tally = new Tally(delivery);
    tally.add(inputs.length);
    for (const input of inputs) {
      const copy = new DeliveryNode(value, attempt, delivery, this, 0, epoch, tally);
      // What the branch before did may have ended this one, or begun a revoke.
      if (epoch.live && input.observed) input.next(copy);
      else copy.abandon();
    }
  }

  complete(): void {
    this.upstreamCompleted = true;
    for (const input of this.inputs) input.complete();
  }

  teardown(): void {
    for (const subscription of this.subscriptions) subscription.unsubscribe();
  }

  onAck(copy: DeliveryNode, outcome: Outcome): void {
    if (isVoid(copy)) return;
    const tally = copy.ref as Tally;
    tally.settle(outcome);
    end(tally);
  }

  onNack(copy: DeliveryNode, reason: unknown, delayMs: number): void {
    if (isVoid(copy)) return;
    const tally = copy.ref as Tally;
    tally.fail(reason, delayMs);
    end(tally);
  }

  onAbandon(copy: DeliveryNode): void {
    const tally = copy.ref as Tally;
    tally.abandon();
    end(tally);
  }

  private branchCompleted(): void {
    this.open--;
    if (!this.upstreamCompleted || this.open === 0) this.destination.complete();
  }
}

function end(tally: Tally): void {
  tally.end();
  if (tally.live === 0) tally.conclude();
  else pumpIfStill(tally.delivery.epoch.session);
}

function isVoid(copy: DeliveryNode): boolean {
  if (!copy.epoch.closed) return false;
  reportStale(copy, 'closed');
  return true;
}

function noPipeline(index: number, output: unknown): SluiceError {
  giveUpOn(output);
  const text = `fanOut: branch ${index + 1} must be an operator: a function from an Observable to another, not to ${kindOf(output)}.`;
  return new SluiceError('invalid-options', text, { details: { owner: 'fanOut', option: 'branches' } });
}

function isObserved(input: Subject<unknown>): boolean {
  return input.observed;
}

function areOperators(branches: unknown): boolean {
  const all = branches as readonly unknown[];
  return all.length > 0 && all.every((branch) => typeof branch === 'function');
}
