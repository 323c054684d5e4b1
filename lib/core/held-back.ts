import type { DeliveryNode } from './delivery-node.js';

/**
 * Tells the operators above that a delivery waits until another is settled. What they send only after it may be that other one.
 * @internal
 */
export function tellHeldBack(delivery: DeliveryNode): void {
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) node.op.heldBack?.(node);
}
