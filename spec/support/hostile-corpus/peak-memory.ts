import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const SAMPLE_MS = 10;
const MB = 1_000_000;

/** In MB. */
export interface Peak {
  readonly rss: number;
  readonly heap: number;
}

/** Measures from now on, after a collection; `end` answers with the most above that. */
export function measurePeak(): { end(): Peak } {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const start = process.memoryUsage();
  let [rss, heap] = [0, 0];
  const sample = (): void => {
    const now = process.memoryUsage();
    rss = Math.max(rss, now.rss - start.rss);
    heap = Math.max(heap, now.heapUsed + now.external - start.heapUsed - start.external);
  };
  const timer = setInterval(sample, SAMPLE_MS);
  return {
    end: () => {
      clearInterval(timer);
      sample();
      return { rss: Math.round(rss / MB), heap: Math.round(heap / MB) };
    },
  };
}
