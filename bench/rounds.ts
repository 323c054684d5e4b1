import { startContender, type Contender } from './contenders.js';
import { median } from './median.js';

const WARM_UP = 2;

/** One side of a comparison. */
export interface Side {
  readonly name: string;
  readonly run: Contender;
}

export interface Comparison {
  readonly what: string;
  readonly ours: Side;
  readonly theirs: Side;
  /** The lowest ratio theirs ÷ ours that the issue asks for. */
  readonly bar: number;
}

export interface Result {
  readonly what: string;
  readonly ours: string;
  readonly theirs: string;
  /** Median of the paired ratios theirs ÷ ours: above 1, ours is faster. */
  readonly ratio: number;
  readonly spread: string;
  readonly bar: number;
}

/**
 * Paired rounds, each side in a process of its own, the order of each pair turned round each time; the first pairs only
 * warm up. `index` is that of the comparison's first contender.
 */
export async function compare(comparison: Comparison, index: number, rounds: number): Promise<Result> {
  const { ours, theirs } = comparison;
  const [one, other] = [startContender(index), startContender(index + 1)];
  const times: { ours: number; theirs: number }[] = [];
  for (let round = -WARM_UP; round < rounds; round++) {
    let a: number;
    let b: number;
    if (round % 2 === 0) {
      a = await one.run();
      b = await other.run();
    } else {
      b = await other.run();
      a = await one.run();
    }
    if (round >= 0) times.push({ ours: a, theirs: b });
  }
  await Promise.all([one.end(), other.end()]);
  const ratios = times.map((pair) => pair.theirs / pair.ours);
  return {
    what: comparison.what,
    ours: `${ours.name} ${Math.round(median(times.map((pair) => pair.ours)))} ns`,
    theirs: `${theirs.name} ${Math.round(median(times.map((pair) => pair.theirs)))} ns`,
    ratio: median(ratios),
    spread: `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`,
    bar: comparison.bar,
  };
}
