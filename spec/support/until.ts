import { setTimeout as pause } from 'node:timers/promises';

/** Waits until something holds; after `ms` it fails by saying what did not. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, ms = 300_000): Promise<void> {
  const limit = performance.now() + ms;
  while (!(await holds())) {
    if (performance.now() > limit) throw new Error(`not within ${ms} ms: ${what}`);
    await pause(20);
  }
}
