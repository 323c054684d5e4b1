import { readFileSync } from 'node:fs';

const page = readFileSync('docs/operators-and-plain-rxjs.md', 'utf8');

/** The table of RxJS's operators. */
export const operatorRows = [...page.matchAll(/^\| `(\w+)` \| (safe|settles|leaks) \|/gm)].map(
  ([, operator, verdict]) => ({ operator: operator as string, verdict: verdict as string }),
);

const ours = page.slice(page.indexOf('## Our operators'), page.indexOf('Their order from the source'));

/** The table of our own: their names. */
export const ourOperators = [...ours.matchAll(/^\| `(\w+)` \|/gm)].map(([, operator]) => operator as string);
