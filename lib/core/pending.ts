import { asyncScheduler, type Subscriber, type Subscription } from 'rxjs';
import type { Partition } from './partition.js';

interface Count {
  deliveries: number;
}

/**
 * What an operator still has to pass on when its upstream completes, as it does under `take(n)`: it completes with the last
 * of that. What is out of a closed epoch is forgotten, since it may never end.
 * @internal
 */
export class Pending {
  private readonly counts = new Map<Partition, Count>();
  /** The epoch seen last: bursts come from one. */
  private epoch: Partition | null = null;
  private count: Count | null = null;
  private total = 0;
  private upstreamCompleted = false;
  private completing: Subscription | null = null;

  constructor(private readonly destination: Subscriber<unknown>) {}

  get isEmpty(): boolean {
    return this.total === 0;
  }

  add(epoch: Partition): void {
    const count = epoch === this.epoch ? (this.count as Count) : this.countOf(epoch);
    count.deliveries++;
    this.total++;
  }

  remove(epoch: Partition): void {
    const count = epoch === this.epoch ? this.count : this.counts.get(epoch);
    if (!count) return;
    count.deliveries--;
    this.total--;
    // Each batch has an epoch of its own.
    if (count.deliveries === 0 && epoch.shares !== null) this.forget(epoch);
    if (this.upstreamCompleted) this.completeIfEmpty();
  }

  /** The epoch is closed. */
  drop(epoch: Partition): void {
    const count = this.counts.get(epoch);
    if (count === undefined) return;
    this.total -= count.deliveries;
    this.forget(epoch);
    if (this.upstreamCompleted) this.completeIfEmpty();
  }

  /** Upstream completed. */
  complete(): void {
    this.upstreamCompleted = true;
    if (this.isEmpty) this.destination.complete();
  }

  close(): void {
    this.upstreamCompleted = false;
    this.completing?.unsubscribe();
  }

  // Scheduled: the last may have ended inside a settlement, where nothing may complete.
  private completeIfEmpty(): void {
    if (this.isEmpty) this.completing ??= asyncScheduler.schedule(() => this.destination.complete());
  }

  private countOf(epoch: Partition): Count {
    let count = this.counts.get(epoch);
    if (count === undefined) this.counts.set(epoch, (count = { deliveries: 0 }));
    this.epoch = epoch;
    this.count = count;
    return count;
  }

  private forget(epoch: Partition): void {
    this.counts.delete(epoch);
    if (epoch === this.epoch) this.epoch = this.count = null;
  }
}
