import type { Observable, Subscription } from 'rxjs';

/** Fails to compile for a pipeline whose values are still deliveries, and says what to do. @public */
export type Settled<T> = T extends { ack(): void; nack(...reason: never[]): void }
  ? { readonly error: 'the pipeline still emits deliveries: end it with ackEach()' }
  : unknown;

/**
 * Subscribes a pipeline that is to be run for its effects. A pipeline that still emits deliveries does not compile:
 * nobody would ack them. An error that ends the pipeline is reported as RxJS reports any unhandled one.
 *
 * @example
 * ```ts
 * const subscription = run(orders.pipe(handle(charge, { concurrency: 64 }), ackEach()));
 * ```
 * @public
 */
export function run<T>(pipeline: Observable<T> & Observable<T & Settled<T>>): Subscription {
  return (pipeline as Observable<T>).subscribe();
}
