import type { Observable, Subscriber } from 'rxjs';
import type { DeliveryNode } from '../core/delivery-node.js';
import { operate, type OperatorParts } from '../core/operate.js';
import { cork, uncork } from '../core/pump.js';
import type { Deliveries } from '../core/type-hints.js';

/**
 * Acks each delivery and emits its plain value: the end of a pipeline, and the type shows that it settles.
 *
 * ```text
 * in       --a--b--c--|
 * settled  --A--B--C--      acked before the value is emitted
 * out      --v--w--x--|
 * ```
 *
 * On a crash before the ack the message comes again; after it, its value may not have reached the subscriber.
 * @public
 */
export function ackEach(): <T>(source: Observable<Deliveries<T>>) => Observable<T> {
  return operate((destination) => new AckEach(destination));
}

class AckEach implements OperatorParts {
  constructor(private readonly destination: Subscriber<unknown>) {}

  next(delivery: DeliveryNode): void {
    const { value, epoch } = delivery;
    // What the ack lets out comes after its value.
    cork(epoch.session);
    delivery.ack();
    this.destination.next(value);
    uncork(epoch.session);
  }
}
