/** Runs one mistake until it has been told of for a while, then ends it in order: `tsx main.ts NAME`, with what is given in `GIVEN`. */
import { mistakes, type Given } from './mistakes.js';

/** For what is told behind the first warning. */
const GOES_ON_MS = 4_000;

const [name = ''] = process.argv.slice(2);
const mistake = mistakes[name];
if (mistake === undefined) throw new Error(`There is no mistake "${name}".`);
const ending = new AbortController();
process.once('warning', () => setTimeout(() => ending.abort(), GOES_ON_MS));

const pipeline = await mistake(JSON.parse(process.env['GIVEN'] ?? '{}') as Given, ending.signal);
pipeline.subscribe({
  complete: () => {
    console.log('complete');
    // A process warning is printed with the next tick.
    setImmediate(() => process.exit(0));
  },
});
