import type { DeliveryNode, SettlementHook } from './delivery-node.js';
import type { Partition } from './partition.js';

/** The attempt and the first failure of a batch that failed as a whole. @internal */
export interface FailedBatch {
  /** The number of the attempt that failed. */
  readonly attempt: number;
  /** Milliseconds since 1970, or `null` where nobody counted. */
  readonly firstFailureAt: number | null;
}

/** How a retry would answer a nack. @internal */
export type NackAnswer = 'again' | 'dead-letter' | 'hold';

/** A retry below `batch` calls this to have a failed batch run by halves. @internal */
export interface Bisects {
  /** `nackOnly` named those that failed of this batch: they need not be looked for. Asked once for each nack. */
  takeNamed(epoch: Partition): boolean;
  /** Whether the batch will be run by halves once it is nacked; `false` where that makes no sense. */
  bisect(batch: DeliveryNode, failed: FailedBatch): boolean;
  /** A half of this epoch failed alone and will be a dead letter: the next may run, however long that letter takes. */
  goOnAfter(epoch: Partition): void;
  /** The failed batch that this half came from; `undefined` where this is no half. */
  halfOf(epoch: Partition): FailedBatch | undefined;
}

/**
 * The maker of the batch that a delivery is, where a nack would reach it: `null` where a retry stands between, or several
 * deliveries were made of the batch.
 * @internal
 */
export function bisectsOf(delivery: DeliveryNode): Bisects | null {
  if (delivery.epoch.shares === null) return null;
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    const op: SettlementHook = node.op;
    if (op.settleSome !== undefined) return op.bisects ?? null;
    if (op.retries === true || op.forks === true) return null;
  }
  return null;
}

/** How the nearest retry above would answer a nack of this delivery. @internal */
export function answerTo(delivery: DeliveryNode, reason: unknown): NackAnswer {
  for (let node: DeliveryNode | null = delivery; node !== null; node = node.up) {
    if (node.op.answerTo !== undefined) return node.op.answerTo(node, reason);
  }
  return 'again';
}
