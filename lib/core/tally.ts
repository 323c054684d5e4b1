import type { DeliveryNode } from './delivery-node.js';
import type { Outcome } from './outcome.js';
import { addParts } from './units.js';

/**
 * What becomes of the several deliveries that were made of one, by `split` or `fanOut`. With the last of them the one
 * is settled: it fails as the first of them that failed, or is let go as they were, or has the worst of their outcomes.
 * @internal
 */
export class Tally {
  /** Made and not ended. */
  live = 0;
  private outcome: Outcome = 'done';
  private failed = false;
  private reason: unknown = undefined;
  private delayMs = -1;
  private letGo = false;

  constructor(readonly delivery: DeliveryNode) {}

  /** One failed or was let go: the delivery will have to come again. */
  get comesAgain(): boolean {
    return this.failed || this.letGo;
  }

  /** Counts what is made of the delivery, before it is emitted. The delivery is the unit of the first of them. */
  add(count = 1): void {
    const units = this.live === 0 ? count - 1 : count;
    this.live += count;
    if (units > 0) addParts(this.delivery.epoch, units);
  }

  /** One ended; `settle`, `fail` or `abandon` said how. To be followed by `conclude` or `pumpIfStill`. */
  end(): void {
    this.live--;
    if (this.live > 0) addParts(this.delivery.epoch, -1);
  }

  settle(outcome: Outcome): void {
    if (outcome === 'dead-lettered' || this.outcome === 'done') this.outcome = outcome;
  }

  fail(reason: unknown, delayMs: number): void {
    if (this.failed) return;
    this.failed = true;
    this.reason = reason;
    this.delayMs = delayMs;
  }

  abandon(): void {
    this.letGo = true;
  }

  /** All have ended: hands it up. */
  conclude(): void {
    const { delivery } = this;
    if (this.failed) delivery.fail(this.reason, this.delayMs);
    else if (this.letGo) delivery.abandon();
    else delivery.settle(this.outcome);
  }
}
