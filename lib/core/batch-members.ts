import { batchOf, isSettled, type DeliveryNode } from './delivery-node.js';

/**
 * The delivery itself; of a batch some of whose members are settled already: the same with the others alone, unless
 * its value was replaced since.
 * @internal
 */
export function unsettledOf(delivery: DeliveryNode): DeliveryNode {
  const batch = batchOf(delivery);
  if (batch === null || batch.forked || batch.node.value !== delivery.value) return delivery;
  const left = batch.members.filter((member) => !isSettled(member));
  return left.length === batch.members.length ? delivery : delivery.narrowedTo(left);
}

/**
 * The unsettled messages that a delivery stands for: itself, or the members of its batch, those of a batch of batches
 * included.
 * @internal
 */
export function messagesOf(delivery: DeliveryNode): readonly DeliveryNode[] {
  const batch = batchOf(delivery);
  if (batch === null) return [delivery];
  return batch.members.filter((member) => !isSettled(member)).flatMap(messagesOf);
}
