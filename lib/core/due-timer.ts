import { asapScheduler, asyncScheduler, type Subscription } from 'rxjs';
import { environment } from './environment.js';

/** A timer that is asked again and again when it is due, and begins anew only where that is sooner. @internal */
export interface DueTimer {
  /** In so many milliseconds at the latest; with 0 in a microtask, without a timer; `null`: not at all. */
  dueIn(waitMs: number | null): void;
}

/** @internal */
export function createDueTimer(run: () => void): DueTimer {
  let timer: Subscription | null = null;
  let dueAt = 0;

  const fire = (): void => {
    timer = null;
    run();
  };

  return {
    dueIn: (waitMs) => {
      if (waitMs === null) {
        timer?.unsubscribe();
        timer = null;
        return;
      }
      const at = environment.now() + waitMs;
      if (timer !== null && dueAt <= at) return;
      timer?.unsubscribe();
      dueAt = at;
      timer = (waitMs === 0 ? asapScheduler : asyncScheduler).schedule(fire, waitMs);
    },
  };
}
