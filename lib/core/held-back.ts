import type { DeliveryNode } from './delivery-node.js';

/**
 * Tells the operators above that a delivery waits until another is settled. What they send only after it may be that other one.
 * @internal
 */
export function tellHeldBack(delivery: DeliveryNode): void {
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) node.op.heldBack?.(node);
}

/** Whether others wait until this one is settled: for a batch, one of its members. @internal */
export function isAwaited(delivery: DeliveryNode): boolean {
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    if (node.op.isAwaited?.(node) === true) return true;
    if (node.op.settleSome !== undefined) return (node.ref as readonly DeliveryNode[]).some(isAwaited);
  }
  return false;
}
