import { isObservable, tap, type Observable, type Subscription } from 'rxjs';
import { isDeliveryNode, isSettled } from '../core/delivery-node.js';
import { SluiceError } from '../core/errors.js';
import { checkOptions } from '../core/options.js';

/** Fails to compile for a pipeline whose values are still deliveries, and says what to do. @public */
export type Settled<T> = T extends { ack(): void; nack(...reason: never[]): void }
  ? { readonly error: 'the pipeline still emits deliveries: end it with ackEach()' }
  : unknown;

/**
 * Subscribes a pipeline that is to be run for its effects. A pipeline that still emits deliveries does not compile:
 * nobody would ack them. An error that ends the pipeline is reported as RxJS reports any unhandled one.
 *
 * The compiler cannot see it all: RxJS gives `unknown` for a `pipe` of more than nine operators. So each value is looked at as
 * well, and a delivery that nobody has settled ends the pipeline with `unsupported`; it comes again. Several calls of `pipe`, one
 * after another, keep the types.
 *
 * @example
 * ```ts
 * const subscription = run(orders.pipe(handle(charge, { concurrency: 64 }), ackEach()));
 * ```
 * @public
 */
export function run<T>(pipeline: Observable<T> & Observable<T & Settled<T>>): Subscription {
  checkOptions(
    'run',
    { pipeline },
    { pipeline: { required: true, that: { be: 'an Observable', holds: isObservable } } },
  );
  return (pipeline as Observable<T>).pipe(tap(mustBeSettled)).subscribe();
}

function mustBeSettled(value: unknown): void {
  if (!isDeliveryNode(value) || isSettled(value)) return;
  const { id } = value;
  throw new SluiceError(
    'unsupported',
    `run: the pipeline still emits deliveries, and nobody has settled ${id}: end it with ackEach(). The compiler does not see it ` +
      'where a pipe() has more than nine operators, which RxJS types as unknown; several calls of pipe() keep the types.',
    { details: { owner: 'run', id } },
  );
}
