import { asyncScheduler, type MonoTypeOperatorFunction, type Subscription } from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { operate } from '../../lib/core/operate.js';
import type { Partition } from '../../lib/core/partition.js';
import type { Position } from '../../lib/core/position.js';
import { hold, unhold } from '../../lib/core/units.js';

/**
 * Gathers deliveries and lets them go together: `size` of them, what there is on quiet, or after `maxWaitMs`. `sizes` is
 * told how many went each time.
 */
export function gather<T, P extends Position>(
  size: number,
  maxWaitMs: number,
  sizes: number[] = [],
): MonoTypeOperatorFunction<Delivery<T, P>> {
  return operate((destination) => {
    let gathered: DeliveryNode[] = [];
    let timer: Subscription | null = null;

    const take = (matches: (delivery: DeliveryNode) => boolean): DeliveryNode[] => {
      const taken = gathered.filter(matches);
      gathered = gathered.filter((delivery) => !taken.includes(delivery));
      if (gathered.length === 0) {
        timer?.unsubscribe();
        timer = null;
      }
      for (const { epoch } of taken) unhold(epoch);
      return taken;
    };
    const emit = (together: readonly DeliveryNode[]): void => {
      if (together.length > 0) sizes.push(together.length);
      for (const delivery of together) {
        if (destination.closed) delivery.abandon();
        else destination.next(delivery);
      }
    };
    const flush = (): void => emit(take(() => true));
    const drop = (partition: Partition): void => {
      for (const delivery of take(({ epoch }) => epoch === partition)) delivery.abandon();
    };

    return {
      onQuiet: flush,
      onRevoke: drop,
      onClose: drop,
      next: (delivery) => {
        if (gathered.length + 1 >= size) {
          emit([...take(() => true), delivery]);
          return;
        }
        gathered.push(delivery);
        timer ??= asyncScheduler.schedule(flush, maxWaitMs);
        hold(delivery.epoch);
      },
      complete: () => {
        flush();
        destination.complete();
      },
      teardown: () => {
        for (const delivery of take(() => true)) delivery.abandon();
      },
    };
  });
}
