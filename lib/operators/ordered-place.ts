import type { DeliveryNode } from '../core/delivery-node.js';
import { notify } from '../core/telemetry.js';

/** Warns of an `ordered` that stands where it cannot keep the order, or can stop for good. @internal */
export function warnOfPlace(delivery: DeliveryNode): void {
  if (delivery.epoch.shares !== null) {
    notify(delivery.epoch.session, {
      type: 'misuse',
      code: 'ordered-below-batch',
      message: 'ordered() stands below batch(): a batch has many keys, so nothing is ordered here. Place it above.',
    });
    return;
  }
  const { isBelowRetry, mayStandStill } = placeOf(delivery);
  if (isBelowRetry) {
    notify(delivery.epoch.session, {
      type: 'misuse',
      code: 'ordered-below-retry',
      message:
        'ordered() stands below retryToDlq(): place it above, or order per key may break where a retry overtakes.',
    });
  }
  if (mayStandStill) {
    notify(delivery.epoch.session, {
      type: 'misuse',
      code: 'ordered-below-ordered',
      message:
        'ordered() stands below ordered(), and both below retryToDlq() or fanOut(): after a failure messages of several keys can wait ' +
        'for each other for good. Order once, by both keys together, or place one of the two above retryToDlq() and fanOut().',
    });
  }
}

// Two of them in a row let a younger message that waits in the lower one keep an older one waiting in the upper one. Where the older one
// is what the younger one waits for, as a probe or as a copy of a message that is to come again, neither ever goes on.
function placeOf(delivery: DeliveryNode): { readonly isBelowRetry: boolean; readonly mayStandStill: boolean } {
  let isBelowRetry = false;
  let isBelowOrdered = false;
  let mayStandStill = false;
  let isPart = false;
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    const { op } = node;
    isPart ||= op.splits === true;
    isBelowRetry ||= op.retries === true;
    mayStandStill ||= isBelowOrdered && (op.retries === true || op.forks === true);
    isBelowOrdered ||= op.orders === true;
  }
  // No lane is kept for a part.
  return { isBelowRetry, mayStandStill: mayStandStill && !isPart };
}
