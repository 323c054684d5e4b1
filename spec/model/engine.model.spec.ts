import { describe, expect, it } from '@jest/globals';
import { hunt, runBatches } from './hunt.js';
import { mutants } from './mutants.js';
import type { Coverage } from './run-model.js';

const soak = process.env['RXSLUICE_SOAK'] === '1';
const HOUR_MS = 3_600_000;
// RXSLUICE_SEED=4711 replays one run and prints its log.
const replay = process.env['RXSLUICE_SEED'];
const RUNS = replay !== undefined ? 1 : soak ? 100_000 : 2_000;
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
  'takes',
  'unsubscribes inside a handler',
  'step lose',
  'step stop',
];

describe('the log engine against its model', () => {
  it(
    `keeps I1 to I10 after every step of ${RUNS} random runs from seed ${FIRST}`,
    async () => {
      const batches = await runBatches(FIRST, RUNS, replay === undefined ? 2 : 1);
      const coverage: Coverage = {};
      for (const batch of batches) {
        for (const [what, count] of Object.entries(batch.coverage)) coverage[what] = (coverage[what] ?? 0) + count;
      }
      const failed = batches.find((batch) => batch.failed !== null)?.failed ?? null;
      if (failed !== null) {
        const { seed, violations, log } = failed;
        throw new Error(
          `RXSLUICE_SEED=${seed} replays this:\n${violations.slice(0, 5).join('\n')}\n--- log\n${log.join('\n')}`,
        );
      }
      const [runs, steps] = batches.reduce(([r, s], batch) => [r + batch.runs, s + batch.steps], [0, 0] as [
        number,
        number,
      ]);
      console.log(`${runs} runs from seed ${FIRST}, ${steps} steps and 60 calm ones each; ${JSON.stringify(coverage)}`);
      if (replay !== undefined) return;
      expect(runs).toBeGreaterThanOrEqual(RUNS);
      expect(steps / runs).toBeGreaterThanOrEqual(30);
      expect(REACHED.filter((what) => !coverage[what])).toEqual([]);
    },
    soak ? HOUR_MS : 120_000,
  );

  it(
    'catches each defect that is put in on purpose',
    async () => {
      const chosen = soak ? mutants : mutants.filter(({ name }) => /^I(1|3|5|6|10) /.test(name));
      const catches = await hunt(soak ? 20_000 : 2_000, chosen);
      console.log(catches.map(({ name, runs }) => `${String(runs).padStart(5)} runs  ${name}`).join('\n'));
      expect(catches.filter(({ runs }) => runs === null).map(({ name }) => name)).toEqual([]);
    },
    soak ? HOUR_MS : 120_000,
  );
});
