import { firstValueFrom, timer } from 'rxjs';

const FIRST_LOOK_MS = 1;
const LAST_LOOK_MS = 50;

/** @internal */
export async function pause(ms: number): Promise<void> {
  await firstValueFrom(timer(ms));
}

/** Resolves as soon as a condition holds, looking at it ever less often; rejects after `withinMs` with what was seen. @internal */
export async function eventually(
  withinMs: number,
  holds: () => boolean | Promise<boolean>,
  seen: () => string,
): Promise<void> {
  const end = performance.now() + withinMs;
  for (let lookMs = FIRST_LOOK_MS; !(await holds()); lookMs = Math.min(LAST_LOOK_MS, lookMs * 1.5)) {
    if (performance.now() >= end) throw new Error(`${seen()} (after ${withinMs} ms)`);
    await pause(lookMs);
  }
}

/** Resolves after `forMs` if a condition held all the time; rejects as soon as it does not. @internal */
export async function always(
  forMs: number,
  holds: () => boolean | Promise<boolean>,
  seen: () => string,
): Promise<void> {
  const end = performance.now() + forMs;
  for (;;) {
    if (!(await holds())) throw new Error(seen());
    const left = end - performance.now();
    if (left <= 0) return;
    await pause(Math.min(left, LAST_LOOK_MS));
  }
}
