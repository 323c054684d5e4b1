import { closeTimeoutMs } from '../../core/close-timeout.js';

/** How long the calls of a close may take: a little less than the engine waits for it, so that what fails is told before. @internal */
export function lastCallsMs(options: { readonly drainTimeoutMs: number }): number {
  return 0.9 * closeTimeoutMs(options);
}
