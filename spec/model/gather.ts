import { asyncScheduler, type MonoTypeOperatorFunction, type Subscription } from 'rxjs';
import type { Delivery } from '../../lib/core/delivery.js';
import type { DeliveryNode } from '../../lib/core/delivery-node.js';
import { operate } from '../../lib/core/operate.js';
import { hold, unhold } from '../../lib/core/units.js';

/** How many are gathered now, for a spec to see. */
export interface GatherProbe {
  gathered: number;
}

/**
 * A gathering operator, as `batch` will be: holds deliveries until there are `size` of them, the session is quiet, or
 * `maxWaitMs` is over.
 */
export function gather<T>(
  size: number,
  maxWaitMs: number,
  probe: GatherProbe = { gathered: 0 },
): MonoTypeOperatorFunction<Delivery<T>> {
  return operate((destination) => {
    let gathered: DeliveryNode[] = [];
    let timer: Subscription | null = null;
    const flush = (): void => {
      timer?.unsubscribe();
      timer = null;
      const batch = gathered;
      gathered = [];
      probe.gathered = 0;
      for (const delivery of batch) unhold(delivery.epoch);
      for (const delivery of batch) {
        if (delivery.epoch.live && !destination.closed) destination.next(delivery);
        else delivery.abandon();
      }
    };
    const drop = (matches: (delivery: DeliveryNode) => boolean): void => {
      const dropped = gathered.filter(matches);
      gathered = gathered.filter((delivery) => !matches(delivery));
      probe.gathered = gathered.length;
      for (const delivery of dropped) {
        unhold(delivery.epoch);
        delivery.abandon();
      }
    };
    return {
      next: (delivery) => {
        if (!delivery.epoch.live) {
          delivery.abandon();
          return;
        }
        gathered.push(delivery);
        probe.gathered = gathered.length;
        timer ??= asyncScheduler.schedule(flush, maxWaitMs);
        hold(delivery.epoch);
        if (gathered.length >= size) flush();
      },
      onQuiet: flush,
      onRevoke: (partition) => drop(({ epoch }) => epoch === partition),
      onClose: (partition) => drop(({ epoch }) => epoch === partition),
      complete: () => {
        flush();
        destination.complete();
      },
      teardown: () => {
        timer?.unsubscribe();
        drop(() => true);
      },
    };
  });
}
