import { messagesOf } from '../core/batch-members.js';
import { batchOf, DeliveryNode, type SettlementHook } from '../core/delivery-node.js';

/**
 * What a delivery is dead-lettered as: itself; of a batch each of its members, which settle the batch with the last of
 * them, so that what stands between hears of it too.
 * @internal
 */
export function eachMessage(delivery: DeliveryNode): readonly DeliveryNode[] {
  const batch = batchOf(delivery);
  if (batch === null) return [delivery];
  const messages = messagesOf(delivery);
  if (messages.length === 0) delivery.settle('done');
  let left = messages.length;
  let letGo = false;
  const leave = (): void => {
    if (--left > 0) return;
    if (letGo) delivery.abandon();
    else delivery.settle('dead-lettered');
  };
  const hook: SettlementHook = {
    onAck: (message, outcome) => {
      // Below a fork the others still work on it: there the batch settles it, in the end.
      if (!batch.forked) message.up?.settle(outcome);
      leave();
    },
    // Nobody nacks a dead letter.
    onNack: (message) => hook.onAbandon(message),
    onAbandon: (message) => {
      letGo = true;
      if (!batch.forked) message.up?.abandon();
      leave();
    },
  };
  return messages.map((message) => {
    const { value, attempt, epoch } = message;
    return new DeliveryNode(value, attempt, message, hook, 0, epoch, null);
  });
}
