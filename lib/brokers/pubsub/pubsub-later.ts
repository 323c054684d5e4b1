import { asyncScheduler, type Subscription } from 'rxjs';

/** Runs it once, in so many milliseconds, unless its owner has ended by then. @internal */
export function later(owner: Subscription, delayMs: number, run: () => void): void {
  owner.add(
    asyncScheduler.schedule(function once() {
      // Else its owner would keep it.
      this.unsubscribe();
      run();
    }, delayMs),
  );
}
