// Who waits for no started work still commits what is done, and gives back what it holds.
const WITHOUT_DRAIN_MS = 1_000;

/** How long each step of a close may take. @internal */
export function closeTimeoutMs({ drainTimeoutMs }: { readonly drainTimeoutMs: number }): number {
  return drainTimeoutMs || WITHOUT_DRAIN_MS;
}
