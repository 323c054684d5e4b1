import { runModel } from './run-model.js';

const [, , from = '1', runs = '300', stopAtFirst] = process.argv;
let bad = 0;
const kinds: Record<string, number> = {};
const totals: Record<string, number> = {};
const began = Date.now();
for (let seed = Number(from); seed < Number(from) + Number(runs); seed++) {
  const run = runModel(seed);
  for (const [what, count] of Object.entries(run.coverage)) totals[what] = (totals[what] ?? 0) + count;
  if (run.violations.length === 0) continue;
  bad++;
  const kind = (run.violations[0] as string).replace(/[\d.]+/g, '#').slice(0, 60);
  kinds[kind] = (kinds[kind] ?? 0) + 1;
  if ((kinds[kind] as number) <= 2) console.log(`seed ${seed}`, run.log[0], run.violations.slice(0, 3));
  if (stopAtFirst !== undefined) {
    console.log(`caught after ${seed - Number(from) + 1} runs`);
    process.exit(1);
  }
}
console.log({ runs, bad, kinds, ms: Date.now() - began, totals });
