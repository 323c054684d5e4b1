import { describe, expect, it } from '@jest/globals';
import { hunt } from './hunt.js';
import { mutants } from './mutants.js';
import { runModel, type Coverage } from './run-model.js';

const soak = process.env['RXSLUICE_SOAK'] === '1';
const RUNS = soak ? 100_000 : 2_000;
// RXSLUICE_SEED=4711 replays one run and prints its log.
const replay = process.env['RXSLUICE_SEED'];
const FIRST = replay === undefined ? 1 + Math.floor(Math.random() * 1_000_000) : Number(replay);

/** What the runs together must have reached, or they prove nothing. */
const REACHED = [
  'settled',
  'retried',
  'dead-lettered',
  'timed-out',
  'parked',
  'quiet',
  'stale-settlement',
  'ack-failed',
  'position-lost',
  'unavailable',
  'recovered',
  'revoked',
  'unsettled-too-long',
  'promises that outlive their time-out',
  'step lose',
  'step stop',
];

describe('the log engine against its model', () => {
  it(
    `keeps I1 to I10 after every step of ${RUNS} random runs from seed ${FIRST}`,
    () => {
      const coverage: Coverage = {};
      for (let seed = FIRST; seed < FIRST + (replay === undefined ? RUNS : 1); seed++) {
        const run = runModel(seed);
        for (const [what, count] of Object.entries(run.coverage)) coverage[what] = (coverage[what] ?? 0) + count;
        if (replay !== undefined) console.log(run.log.join('\n'));
        if (run.violations.length === 0) continue;
        throw new Error(
          `RXSLUICE_SEED=${seed} replays this:\n${run.violations.slice(0, 5).join('\n')}\n--- log\n${run.log.join('\n')}`,
        );
      }
      if (replay === undefined) expect(REACHED.filter((what) => !coverage[what])).toEqual([]);
    },
    soak ? 3_600_000 : 120_000,
  );

  it(
    'catches each defect that is put in on purpose',
    async () => {
      const chosen = soak ? mutants : mutants.filter(({ name }) => /^I(1|3|5|6|10) /.test(name));
      const catches = await hunt(soak ? 20_000 : 2_000, chosen);
      console.log(catches.map(({ name, runs }) => `${String(runs).padStart(5)} runs  ${name}`).join('\n'));
      expect(catches.filter(({ runs }) => runs === null).map(({ name }) => name)).toEqual([]);
    },
    soak ? 3_600_000 : 120_000,
  );
});
