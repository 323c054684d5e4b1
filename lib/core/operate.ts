import {
  asyncScheduler,
  Observable,
  Subscription,
  type Subscriber,
  type SubscriptionLike,
  type TeardownLogic,
} from 'rxjs';
import { isDeliveryNode, type DeliveryNode } from './delivery-node.js';
import { SluiceError } from './errors.js';
import { kindOf } from './kind-of.js';
import { remove } from './partition.js';
import { cork, uncork } from './pump.js';
import type { Session, SessionListener } from './session.js';
import { isStackOverflow, stackOverflow } from './stack.js';

/**
 * One operator subscription: what it does with deliveries, and what it hears from their sessions. Those on the hot path
 * are classes: methods of a prototype stay fast with many pipelines in a process, closures do not
 * (docs/decisions/0004).
 * @internal
 */
export interface OperatorParts extends SessionListener {
  next(delivery: DeliveryNode): void;
  /** Upstream completed. Default: complete downstream. */
  complete?(): void;
  /** Lets go of what is held; runs corked and after upstream is torn down, so that an abandon starts nothing. */
  teardown?(): void;
}

/**
 * Makes an operator of deliveries. Upstream is linked to downstream before it is subscribed, so that a synchronous
 * source sees at once that nobody listens any more.
 * @internal
 */
export function operate<Operator>(setUp: (destination: Subscriber<unknown>) => OperatorParts): Operator {
  const operator = (source: Observable<unknown>): Observable<unknown> =>
    new Observable((destination) => {
      const parts = setUp(destination);
      const entry = new Entry(parts, destination);
      destination.add(() => {
        entry.unsubscribe();
        entry.leave();
      });
      source.subscribe(entry as unknown as Subscriber<unknown>);
    });
  // The operators' own signatures say which deliveries go in and come out.
  return operator as Operator;
}

/**
 * Emits a delivery, or lets go of it where the user's code, called just before, has ended the subscription.
 * @internal
 */
export function pass(destination: Subscriber<unknown>, delivery: DeliveryNode): void {
  if (destination.closed) delivery.abandon();
  else destination.next(delivery);
}

/**
 * Where deliveries enter an operator: it joins each session with the first delivery that it sees of it. RxJS takes it
 * for a subscriber by its shape, as it takes those of another copy of RxJS: one call from operator to operator, where an
 * observer inside of a `Subscriber` costs three (docs/decisions/0004).
 */
class Entry implements SubscriptionLike {
  closed = false;
  private stopped = false;
  private readonly upstream = new Subscription();
  private session: Session | null = null;
  private readonly sessions: Session[] = [];

  constructor(
    private readonly parts: OperatorParts,
    private readonly destination: Subscriber<unknown>,
  ) {}

  next(delivery: unknown): void {
    if (this.stopped) return;
    const session = (delivery as DeliveryNode | null | undefined)?.epoch?.session;
    if (session !== this.session && !this.admit(delivery)) return;
    this.parts.next(delivery as DeliveryNode);
  }

  error(error: unknown): void {
    if (this.stopped) return;
    if (isStackOverflow(error)) {
      this.failLater(error);
      return;
    }
    this.stopped = true;
    try {
      this.destination.error(error);
    } finally {
      this.unsubscribe();
    }
  }

  complete(): void {
    if (this.stopped) return;
    this.stopped = true;
    try {
      if (this.parts.complete) this.parts.complete();
      else this.destination.complete();
    } finally {
      this.unsubscribe();
    }
  }

  add(teardown: TeardownLogic): void {
    this.upstream.add(teardown);
  }

  remove(teardown: Exclude<TeardownLogic, void>): void {
    this.upstream.remove(teardown);
  }

  unsubscribe(): void {
    this.stopped = true;
    this.closed = true;
    this.upstream.unsubscribe();
  }

  leave(): void {
    const { sessions, parts } = this;
    for (const session of sessions) cork(session);
    parts.teardown?.();
    for (const session of sessions) {
      remove(session.listeners, parts);
      uncork(session);
    }
  }

  /**
   * Nearly nothing is left of the stack: on its way down the error would fail where it is lost, since an RxJS subscriber
   * that was told once hears nothing more. So it goes down on a stack of its own. Where even the timer fails, what is thrown reaches a
   * caller further out, which tries again.
   */
  private failLater(cause: unknown): void {
    const later = asyncScheduler.schedule(() => {
      this.stopped = false;
      this.error(stackOverflow(cause));
    });
    this.stopped = true;
    this.upstream.add(later);
  }

  private admit(delivery: unknown): boolean {
    if (!isDeliveryNode(delivery)) {
      this.destination.error(notADelivery(delivery));
      return false;
    }
    this.session = delivery.epoch.session;
    if (!this.sessions.includes(this.session)) {
      // A source that is subscribed anew, above, has a new session each time.
      for (const old of [...this.sessions]) if (old.closed) remove(this.sessions, old);
      this.sessions.push(this.session);
      this.session.listeners.push(this.parts);
    }
    return true;
  }
}

function notADelivery(value: unknown): SluiceError {
  return new SluiceError(
    'not-a-delivery',
    `An operator of rxsluice was given ${kindOf(value)} where a delivery must be. Use ` +
      'mapValue instead of map, and delivery.withValue instead of a spread.',
  );
}
