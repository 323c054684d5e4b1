import { Observable } from 'rxjs';
import { deferredOf, isPromiseLike, whenSettled } from '../core/deferred.js';
import type { Delivery } from '../core/delivery.js';
import { abortSignal, isSettled, type DeliveryNode } from '../core/delivery-node.js';
import { inTurn } from '../core/in-turn.js';
import { checkNames, checkOptions } from '../core/options.js';
import { onEpochClose } from '../core/partition.js';
import type { Position } from '../core/position.js';
import { corked } from '../core/pump.js';
import type { Result, Returned } from '../core/returned.js';
import type { Deliveries } from '../core/type-hints.js';

/** What becomes of cancelled work. @public */
export interface SettlingOptions {
  /**
   * What becomes of the delivery where the work is cancelled, by `switchMap` or an unsubscribe: `'release'`: it comes
   * again and no attempt is counted; `'skip'`: it is settled as skipped. Under `switchMap` take `'skip'`: what it cancels would
   * come again, cancel the next, and nothing would ever finish. Default: `'release'`.
   */
  readonly cancelled?: 'release' | 'skip';
}

/**
 * Runs work for one delivery, to use inside any RxJS operator; what `handle` does, without a queue and a time-out.
 *
 * ```text
 * work fn   -----r|       ---#          unsubscribed before the end
 * out       -----d|       ---|          -
 * settled   (by whoever   nacked        released, or skipped
 *           is below)
 * ```
 *
 * Emits the delivery with the last value of the work and completes; never errors. Emits nothing where the work failed, or
 * settled the delivery itself.
 *
 * @example
 * ```ts
 * source.pipe(mergeMap((order) => settling(order, () => charge(order.value)), 64), ackEach());
 * ```
 * @public
 */
export function settling<T, V = never, P extends Position = Position, A = never, B = never, C = never>(
  delivery: Deliveries<T, P>,
  work: (value: T) => Returned<V, A, B, C>,
  options: SettlingOptions = {},
): Observable<Delivery<Result<V, A, B, C>['of'], P>> {
  checkNames('settling', options, ['cancelled']);
  const { cancelled = 'release' } = options;
  checkOptions(
    'settling',
    { work, cancelled },
    {
      work: { required: true, type: 'function' },
      cancelled: { oneOf: ['release', 'skip'] },
    },
  );
  const node = delivery as unknown as DeliveryNode<T>;

  const settled = new Observable<DeliveryNode<unknown>>((subscriber) => {
    const { session } = node.epoch;
    const complete = (): void => subscriber.complete();
    if (!node.epoch.live || isSettled(node)) {
      node.abandon();
      inTurn(session, complete);
      return undefined;
    }
    const letGo = (): void => {
      abortSignal(node);
      if (cancelled === 'skip') node.settle('skipped');
      else node.abandon();
    };
    let over = false;
    const end = (then: () => void): void => {
      if (over) return;
      over = true;
      unlisten();
      inTurn(session, () => {
        then();
        subscriber.complete();
      });
    };
    const succeed = (result: unknown): void =>
      end(() => {
        // An ack below starts nothing inside this emission.
        corked(session, () => {
          if (isSettled(node)) return;
          // Unsubscribed by the work itself, or while it waited for its turn.
          if (subscriber.closed) letGo();
          else subscriber.next(node.withResult(result));
        });
      });
    const fail = (error: unknown): void => end(() => node.fail(error, -1));
    const unlisten = onEpochClose(node.epoch, () => end(() => undefined));

    let result: unknown;
    let deferred: ReturnType<typeof deferredOf>;
    try {
      result = work(node.value);
      deferred = deferredOf(result);
    } catch (error) {
      fail(error);
      return undefined;
    }
    let cancel = (): void => undefined;
    if (deferred === null) {
      succeed(result);
    } else if (isPromiseLike(deferred)) {
      whenSettled(deferred, succeed, fail);
    } else {
      let last: unknown;
      const subscription = deferred.subscribe({
        next: (value) => (last = value),
        error: fail,
        complete: () => succeed(last),
      });
      cancel = () => subscription.unsubscribe();
    }
    return () => {
      const wasOver = over;
      over = true;
      unlisten();
      cancel();
      if (!wasOver) letGo();
    };
  });
  return settled as unknown as Observable<Delivery<Result<V, A, B, C>['of'], P>>;
}
