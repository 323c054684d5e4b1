import { expect } from '@jest/globals';
import { corpusFor, mix, type CorpusShape } from './corpus.js';
import { fateOn } from './entry.js';
import { runCorpus, type CorpusDriver } from './run-corpus.js';
import type { DeadLetterFormat } from '../../../lib/index.js';

const GOOD = 10_000;

/** The most memory above the start, in MB. */
export interface MostMemory {
  readonly rss: number;
  readonly heap: number;
}

/** Sends the corpus among 10,000 good messages, and expects each to end as it should, with nothing left. */
export async function expectSound(
  driver: CorpusDriver,
  shape: CorpusShape,
  { seed, format, most }: { readonly seed: number; readonly format: DeadLetterFormat; readonly most: MostMemory },
): Promise<void> {
  const entries = corpusFor(shape, format, seed);
  const objects = snapshot();
  const startedAt = performance.now();
  const run = await runCorpus(driver, mix(GOOD, entries, seed), format);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);

  console.log(
    `${shape.broker}, ${format}, seed ${seed}: ${GOOD} good ones and ${entries.length} entries; ${run.letters} dead letters, ` +
      `${run.repeats} repeats; peak above the start ${run.peak.rss} MB of RSS, ${run.peak.heap} MB of heap; ${seconds} s`,
  );
  const expected = Object.fromEntries(entries.map((entry) => [entry.name, fateOn(shape.broker, entry)]));
  expect(run.fates).toEqual(expected);
  expect(run.end).toBe('complete');
  expect([...new Set(run.good)].sort((a, b) => a - b)).toEqual(Array.from({ length: GOOD }, (_, number) => number));
  expect({
    ...run,
    fates: null,
    good: null,
    peak: null,
    letters: null,
    repeats: null,
    end: null,
    nameless: null,
  }).toEqual({
    fates: null,
    good: null,
    peak: null,
    letters: null,
    repeats: null,
    end: null,
    nameless: null,
    outOfOrder: [],
    strangers: [],
    held: 0,
    leftOver: 0,
    leaks: [],
    untyped: [],
    unhandled: [],
  });
  const [nameless, dead] = run.nameless;
  expect(nameless).toBe(dead);
  expect(snapshot()).toEqual(objects);
  expect(run.peak.rss).toBeLessThan(most.rss);
  expect(run.peak.heap).toBeLessThan(most.heap);
}

function snapshot(): unknown[] {
  return [
    ...[Object.prototype, Array.prototype, Function.prototype].map((each) => Object.getOwnPropertyNames(each).join()),
    ({} as Record<string, unknown>)['polluted'],
  ];
}
