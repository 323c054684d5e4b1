/** A request may have 512 KiB, an id has some 200 bytes. */
const MOST_IDS = 1_000;

/** What goes with one request each. @internal */
export function groupsOf<T>(list: readonly T[]): T[][] {
  const groups: T[][] = [];
  for (let first = 0; first < list.length; first += MOST_IDS) groups.push(list.slice(first, first + MOST_IDS));
  return groups;
}
