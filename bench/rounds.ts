/** One side of a comparison: does the work once and answers how long it took, in nanoseconds an item. */
export interface Contender {
  readonly name: string;
  run(): Promise<number>;
}

export interface Comparison {
  readonly what: string;
  readonly ours: Contender;
  readonly theirs: Contender;
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

/** Paired rounds in one process, the order of each pair turned round each time; the first pair only warms up. */
export async function compare(comparison: Comparison, rounds: number): Promise<Result> {
  const { ours, theirs } = comparison;
  const times: { ours: number; theirs: number }[] = [];
  for (let round = 0; round <= rounds; round++) {
    let a: number;
    let b: number;
    if (round % 2 === 0) {
      a = await ours.run();
      b = await theirs.run();
    } else {
      b = await theirs.run();
      a = await ours.run();
    }
    if (round > 0) times.push({ ours: a, theirs: b });
  }
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

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2;
}
