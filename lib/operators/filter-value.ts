import type { Observable, OperatorFunction, Subscriber } from 'rxjs';
import { invalidResult, mustBeAtOnce } from '../core/at-once.js';
import type { Delivery } from '../core/delivery.js';
import type { DeliveryNode } from '../core/delivery-node.js';
import { kindOf } from '../core/kind-of.js';
import { operate, pass, type OperatorParts } from '../core/operate.js';
import { checkOptions } from '../core/options.js';
import type { Position } from '../core/position.js';
import type { AtOnce, Deliveries } from '../core/type-hints.js';

/**
 * Lets the values pass that a pure function accepts; the others are settled as skipped, not lost as under `filter`.
 *
 * ```text
 * in       --a--b--c--|
 * settled  -----B-----     b is not wanted: settled here
 * out      --a-----c--|
 * ```
 *
 * A predicate that throws nacks the delivery with the error, and so does one that gives neither `true` nor `false`: with nothing
 * given by mistake, each message would be skipped without a word, and with a Promise each would pass.
 * @public
 */
export function filterValue<T, S extends T, P extends Position>(
  predicate: (value: T) => value is S,
): OperatorFunction<Deliveries<T, P>, Delivery<S, P>>;
/** A predicate that is not waited for: does not compile where it returns a Promise. @public */
export function filterValue<T, P extends Position = Position, R extends PromiseLike<unknown> = never>(
  predicate: (value: T) => R,
): (source: Observable<Deliveries<T, P>> & AtOnce<R>) => Observable<Delivery<T, P>>;
/** Lets the values pass that a predicate accepts; the others are settled as skipped. @public */
export function filterValue<T, P extends Position>(
  predicate: (value: T) => boolean,
): OperatorFunction<Deliveries<T, P>, Delivery<T, P>>;
export function filterValue<T, P extends Position>(
  predicate: (value: T) => unknown,
): OperatorFunction<Deliveries<T, P>, Delivery<T, P>> {
  checkOptions('filterValue', { predicate }, { predicate: { required: true, type: 'function' } });
  return operate((destination) => new FilterValue(destination, predicate as (value: unknown) => unknown));
}

class FilterValue implements OperatorParts {
  constructor(
    private readonly destination: Subscriber<unknown>,
    private readonly predicate: (value: unknown) => unknown,
  ) {}

  next(delivery: DeliveryNode): void {
    let wanted: unknown;
    try {
      wanted = this.predicate(delivery.value);
      if (wanted !== true && wanted !== false) throw notABoolean(delivery, wanted);
    } catch (error) {
      delivery.fail(error, -1);
      return;
    }
    if (wanted) pass(this.destination, delivery);
    else delivery.settle('skipped');
  }
}

function notABoolean(delivery: DeliveryNode, wanted: unknown): Error {
  mustBeAtOnce('filterValue', delivery, wanted);
  const { id } = delivery;
  return invalidResult(`filterValue: the predicate must give true or false for ${id}, not ${kindOf(wanted)}.`, id);
}
