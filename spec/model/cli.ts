import { runModel, type Coverage, type ModelRun } from './run-model.js';

/** What a batch of runs answers, as one line of JSON. */
export interface Batch {
  /** How many runs were made: all of them, or up to the first that failed. */
  readonly runs: number;
  readonly steps: number;
  readonly failed: ModelRun | null;
  readonly coverage: Coverage;
}

const [, , first = '1', most = '300'] = process.argv;
process.stdout.write(JSON.stringify(runBatch(Number(first), Number(most))));

function runBatch(from: number, count: number): Batch {
  const coverage: Coverage = {};
  let steps = 0;
  for (let seed = from; seed < from + count; seed++) {
    const run = runModel(seed);
    for (const [what, times] of Object.entries(run.coverage)) {
      coverage[what] = (coverage[what] ?? 0) + times;
      if (what.startsWith('step ')) steps += times;
    }
    if (run.violations.length > 0) return { runs: seed - from + 1, steps, failed: run, coverage };
  }
  return { runs: count, steps, failed: null, coverage };
}
