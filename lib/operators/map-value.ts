import type { Observable, Subscriber } from 'rxjs';
import { mustBeAtOnce } from '../core/at-once.js';
import type { Delivery } from '../core/delivery.js';
import type { DeliveryNode } from '../core/delivery-node.js';
import { operate, pass, type OperatorParts } from '../core/operate.js';
import { checkOptions } from '../core/options.js';
import type { Position } from '../core/position.js';
import type { AtOnce, Deliveries } from '../core/type-hints.js';

/**
 * Maps the value with a pure function and keeps the delivery: what `map` would drop.
 *
 * ```text
 * in   --a--b--c--|
 * out  --A-----C--|     the function throws for b: nacked with the error
 * ```
 * @public
 */
export function mapValue<T, R extends PromiseLike<unknown> = never>(
  fn: (value: T) => R,
): <P extends Position>(source: Observable<Deliveries<T, P>> & AtOnce<R>) => Observable<Delivery<R, P>>;
/** Makes another value of each. @public */
export function mapValue<T, R>(
  fn: (value: T) => R,
): <P extends Position>(source: Observable<Deliveries<T, P>>) => Observable<Delivery<R, P>>;
export function mapValue<T, R>(
  fn: (value: T) => R,
): <P extends Position>(source: Observable<Deliveries<T, P>>) => Observable<Delivery<R, P>> {
  checkOptions('mapValue', { fn }, { fn: { required: true, type: 'function' } });
  return operate((destination) => new MapValue(destination, fn as (value: unknown) => unknown));
}

class MapValue implements OperatorParts {
  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly fn: (value: unknown) => unknown,
  ) {}

  next(delivery: DeliveryNode): void {
    let value: unknown;
    try {
      value = this.fn(delivery.value);
      mustBeAtOnce('mapValue', delivery, value);
    } catch (error) {
      delivery.fail(error, -1);
      return;
    }
    pass(this.destination, delivery.withResult(value));
  }
}
