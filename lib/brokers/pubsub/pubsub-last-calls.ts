/** How long the calls of a close may take: a little less than the engine waits for it, so that what fails is told before. @internal */
export function lastCallsMs({ drainTimeoutMs }: { readonly drainTimeoutMs: number }): number {
  return 0.9 * (drainTimeoutMs || 1_000);
}
