import { batchOf, type DeliveryNode } from './delivery-node.js';

/**
 * Copies what waits for a retry out of the buffer that brokers slice their records from: one message that is parked would
 * keep all that was fetched with it in memory.
 * @internal
 */
export function detach(delivery: DeliveryNode): void {
  if (delivery.epoch.session.shape.detach === undefined) return;
  const batch = batchOf(delivery);
  if (batch === null) {
    detachOne(delivery);
    return;
  }
  const { node: told, members, op } = batch;
  for (const member of members) detach(member);
  const shared = told.value;
  const own = members.map(({ value }) => value);
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.op === op ? null : node.up) {
    replace(node, shared, own);
  }
}

function detachOne(delivery: DeliveryNode): void {
  const { root } = delivery;
  const { shape } = root.epoch.session;
  const shared = shape.value(root.ref);
  shape.detach?.(root.ref);
  const own = shape.value(root.ref);
  // Whoever passed the raw value on holds it too.
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) replace(node, shared, own);
}

function replace(node: DeliveryNode, shared: unknown, own: unknown): void {
  if (node.value === shared) (node as { value: unknown }).value = own;
}
