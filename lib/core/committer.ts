import { asyncScheduler, defer, type ObservableInput, type Subscription } from 'rxjs';
import { exponential, type Backoff } from './backoff.js';
import { refOf, type Partition } from './partition.js';
import { notify } from './telemetry.js';

/** Makes watermarks durable beside the reading: one commit under way at a time, in order. @internal */
export interface Committer {
  /** The watermark of a partition moved: commit it within the interval. */
  mark(partition: Partition): void;
  /** The watermark has moved far: commit it as soon as no other commit is under way. */
  hurry(partition: Partition): void;
  /** Calls back once nothing of these partitions is uncommitted. */
  flush(partitions: readonly Partition[], done: () => void): void;
  close(): void;
}

interface Waiter {
  readonly partitions: readonly Partition[];
  readonly done: () => void;
}

/**
 * A commit that fails is tried again with backoff, with what the watermark is by then; a partition whose epoch is
 * closed is left out (I5).
 * @internal
 */
export function createCommitter(
  commit: (partitions: readonly Partition[]) => ObservableInput<unknown>,
  intervalMs: number,
): Committer {
  const backoff: Backoff = exponential({ initialMs: 100, maxMs: 5_000, jitter: 'none' });
  let dirty: Partition[] = [];
  // What the commit under way carries.
  let carried: ReadonlySet<Partition> = new Set();
  let current: Subscription | null = null;
  let busy = false;
  let timer: Subscription | null = null;
  let waiters: Waiter[] = [];
  let starts = 0;
  let failures = 0;
  let hurried = false;
  let closed = false;

  const schedule = (delayMs: number): void => {
    timer ??= asyncScheduler.schedule(() => {
      timer = null;
      start();
    }, delayMs);
  };

  const hasten = (): void => {
    timer?.unsubscribe();
    timer = null;
    schedule(0);
  };

  const answerWaiters = (): void => {
    if (waiters.length === 0) return;
    const settled: Waiter[] = [];
    const left: Waiter[] = [];
    for (const waiter of waiters) (waiter.partitions.some(isUncommitted) ? left : settled).push(waiter);
    waiters = left;
    for (const { done } of settled) done();
  };

  const isUncommitted = (partition: Partition): boolean =>
    !partition.closed && (partition.dirty || carried.has(partition));

  const start = (): void => {
    if (busy || closed) return;
    timer?.unsubscribe();
    timer = null;
    const taken = dirty.filter((partition) => !partition.closed);
    carried = new Set(taken);
    dirty = [];
    hurried = false;
    for (const partition of taken) {
      partition.dirty = false;
      partition.committed = partition.window?.head ?? 0;
    }
    if (taken.length === 0) {
      answerWaiters();
      return;
    }
    busy = true;
    const begun = ++starts;
    const commitment = defer(() => commit(taken)).subscribe({
      error: (error: unknown) => {
        failures++;
        const [first] = taken as [Partition, ...Partition[]];
        notify(first.session, { type: 'ack-failed', partition: refOf(first), error });
        for (const partition of taken) remember(partition);
        end(backoff(failures));
      },
      complete: () => {
        failures = 0;
        end(intervalMs);
      },
    });
    // One that ends at once may have begun the next.
    if (begun === starts) current = commitment;
  };

  const end = (nextMs: number): void => {
    busy = false;
    carried = new Set();
    if (closed) return;
    answerWaiters();
    if (dirty.length === 0) return;
    if ((waiters.length > 0 || hurried) && failures === 0) start();
    else schedule(nextMs);
  };

  const remember = (partition: Partition): void => {
    if (partition.dirty) return;
    partition.dirty = true;
    dirty.push(partition);
  };

  return {
    mark: (partition) => {
      remember(partition);
      if (!busy) schedule(intervalMs);
    },
    hurry: (partition) => {
      // Asked once a step: the next one is as far again.
      partition.committed = partition.window?.head ?? 0;
      if (failures > 0 || hurried) return;
      hurried = true;
      // Scheduled, not called: this is inside a settlement.
      if (!busy) hasten();
    },
    flush: (partitions, done) => {
      waiters.push({ partitions, done });
      if (!busy) start();
    },
    close: () => {
      closed = true;
      timer?.unsubscribe();
      current?.unsubscribe();
      waiters = [];
    },
  };
}
