/** Fails the case with what was seen. @internal */
export function check(holds: boolean, seen: () => string): void {
  if (!holds) throw new Error(seen());
}

/** The first few of a list, to be read in a failure. @internal */
export function list(items: readonly string[]): string {
  if (items.length === 0) return 'nothing';
  return items.length <= 12 ? items.join(', ') : `${items.slice(0, 12).join(', ')} and ${items.length - 12} more`;
}
