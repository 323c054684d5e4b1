import type { MonoTypeOperatorFunction } from 'rxjs';
import type { Delivery } from '../../lib/index.js';
import { DeliveryNode, type SettlementHook } from '../../lib/core/delivery-node.js';
import { operate } from '../../lib/core/operate.js';

/** What one attempt at a message was made into, and which of that reached the bottom. */
interface Account {
  readonly wanted: number;
  readonly reached: Set<string>;
}

/** Stands above what makes several deliveries of one, or one of several, and sees that none is settled before its work is done. */
export interface Witness<T> {
  /** `wanted`: how many leaves a message has. */
  stand(wanted: (value: T) => number): MonoTypeOperatorFunction<Delivery<T>>;
  /** A leaf is done; of a batch, one of each member. */
  reached(delivery: DeliveryNode, leaf: string): void;
}

/** `done` hears of each message that is settled as done. */
export function createWitness<T>(done: (value: T) => void, fail: (what: string) => void): Witness<T> {
  const hook: SettlementHook = {
    onAck: (child, outcome) => {
      const { wanted, reached } = child.ref as Account;
      if (outcome === 'done') {
        if (reached.size < wanted) fail(`I2 ${child.id} is done, and ${reached.size} of its ${wanted} leaves are`);
        done(child.value as T);
      }
      child.up?.settle(outcome);
    },
    onNack: (child, reason, delayMs) => child.up?.fail(reason, delayMs),
    onAbandon: (child) => child.up?.abandon(),
  };
  return {
    stand: (wanted) =>
      operate((destination) => ({
        next: (delivery) => {
          const { value, attempt, epoch } = delivery;
          const account: Account = { wanted: wanted(value as T), reached: new Set() };
          destination.next(new DeliveryNode(value, attempt, delivery, hook, 0, epoch, account));
        },
      })),
    reached: (delivery, leaf) => {
      for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
        if (node.op === hook) (node.ref as Account).reached.add(leaf);
      }
    },
  };
}
