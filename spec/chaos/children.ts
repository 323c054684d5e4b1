import type { ChildProcess } from 'node:child_process';

/** Signals a process that may have ended already, and waits until it has. */
export async function endChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  await exited;
}

/** Waits until something holds, at most `timeoutMs`: what did not come is judged, and traced, by what came. */
export async function waitUntil(holds: () => Promise<boolean>, timeoutMs: number): Promise<void> {
  const limit = performance.now() + timeoutMs;
  while (!(await holds()) && performance.now() < limit) await pause(200);
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
