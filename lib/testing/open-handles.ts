import { eventually } from './wait.js';

/** Fails where there is more of anything than before. @internal */
export async function nothingLeft(
  withinMs: number,
  before: readonly string[],
  openHandles: () => Promise<readonly string[]> | readonly string[],
): Promise<void> {
  let extra: string[] = [];
  await eventually(
    withinMs,
    async () => {
      extra = surplus(before, await openHandles());
      return extra.length === 0;
    },
    () => `Still open although all is closed: ${extra.join(', ')}.`,
  );
}

/** What is in the second list and was not in the first, as often as it is there more often. @internal */
export function surplus(before: readonly string[], after: readonly string[]): string[] {
  const known = new Map<string, number>();
  for (const word of before) known.set(word, (known.get(word) ?? 0) + 1);
  return after.filter((word) => {
    const count = known.get(word) ?? 0;
    known.set(word, count - 1);
    return count <= 0;
  });
}
