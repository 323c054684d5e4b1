import type { DeliveryNode } from '../core/delivery-node.js';
import type { HeldClaim } from '../core/idempotency-store.js';
import { notify } from '../core/telemetry.js';

/** The claims that a delivery has in a `dedupe` above, told where it finds its key claimed. @internal */
export interface ClaimsAbove {
  /** This very key, in this store: it would wait for itself. */
  readonly isItself: boolean;
  /** Another key of this store, or this key in a store that may be the same: others may wait for it in turn. */
  readonly isWaitedFor: boolean;
}

/** A walk, for what has to wait. @internal */
export function claimsAbove(delivery: DeliveryNode, key: string, store: object): ClaimsAbove {
  let isWaitedFor = false;
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    const { claims } = node.op;
    if (claims === undefined) continue;
    const isThisKey = (node.ref as HeldClaim).key === key;
    if (isThisKey && claims === store) return { isItself: true, isWaitedFor: true };
    isWaitedFor ||= isThisKey || claims === store;
  }
  return { isItself: false, isWaitedFor };
}

/** @internal */
export function warnOfSameKey({ epoch }: DeliveryNode): void {
  notify(epoch.session, {
    type: 'misuse',
    code: 'dedupe-same-key',
    message:
      'dedupe() stands below dedupe() with the same key and store: it would wait for the claim of the same message above, so it lets ' +
      'the message pass, and all that was made of it. Give each keys of its own (a prefix), or leave one out.',
  });
}

/** @internal */
export function warnOfWaitInWait({ epoch }: DeliveryNode, leaseMs: number): void {
  notify(epoch.session, {
    type: 'misuse',
    code: 'dedupe-below-dedupe',
    message:
      `dedupe() stands below dedupe(): a message that has a claim of the one has waited ${leaseMs} ms for a claim of the other, maybe ` +
      'for a message that waits for it, or for itself. It is let go and comes again. Give each keys of its own (a prefix).',
  });
}
