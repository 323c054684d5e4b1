import {
  asyncScheduler,
  defaultIfEmpty,
  defer,
  last,
  Observable,
  retry,
  takeUntil,
  timer,
  type Subscriber,
  type Subscription,
} from 'rxjs';
import { exponential } from '../core/backoff.js';
import type { OutboxLease } from '../core/outbox-row.js';
import type { OutboxStore } from '../core/outbox-store.js';

/** @internal */
export interface OutboxMarksOptions {
  out(error: unknown): void;
  back(): void;
  /** Nothing is tried again from then on. */
  readonly ended: Observable<unknown>;
}

/**
 * Marks rows as published: one call at a time, in the order in which they were asked for, with all that has gathered
 * meanwhile. While the store is out it is tried again: what is not marked would be published again.
 * @internal
 */
export function outboxMarks(
  store: OutboxStore,
  { out, back, ended }: OutboxMarksOptions,
): (leases: readonly OutboxLease[]) => Observable<readonly boolean[]> {
  const backoff = exponential({ initialMs: 100, maxMs: 5_000 });
  let waiting: { readonly leases: readonly OutboxLease[]; readonly asker: Subscriber<readonly boolean[]> }[] = [];
  let busy = false;
  let flushing: Subscription | null = null;

  const flush = (): void => {
    flushing = null;
    if (busy || waiting.length === 0) return;
    busy = true;
    const batch = waiting;
    waiting = [];
    const leases = batch.flatMap((each) => each.leases);
    defer(() => store.published(leases))
      .pipe(
        last(undefined, []),
        retry({
          delay: (error: unknown, failures) => {
            out(error);
            return timer(backoff(failures));
          },
        }),
        takeUntil(ended),
        defaultIfEmpty([] as readonly boolean[]),
      )
      .subscribe({
        next: (marked) => {
          back();
          busy = false;
          let next = 0;
          for (const { leases: its, asker } of batch) {
            asker.next(its.map(() => marked[next++] ?? false));
            asker.complete();
          }
          flush();
        },
        error: () => undefined, // it is tried again instead
      });
  };

  return (leases) =>
    new Observable((asker) => {
      if (leases.length === 0) {
        asker.next([]);
        asker.complete();
        return;
      }
      waiting.push({ leases, asker });
      // What is published in one turn is marked together.
      flushing ??= asyncScheduler.schedule(flush);
    });
}
