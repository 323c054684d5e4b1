import { mismatches } from './check.js';
import { runDemo } from './demo.js';
import { startProgress } from './progress.js';
import { report } from './report.js';

console.log('A week of USGS earthquakes through rxsluice, on a broker in this process.\n');

const progress = startProgress(process.stdout);
const result = await runDemo(progress.update);
progress.end();
console.log(`\n${report(result)}\n`);

const wrong = mismatches(result);
if (wrong.length > 0) {
  console.error(`The sums do not add up: ${wrong.join('; ')}.`);
  process.exitCode = 1;
} else {
  console.log('The sums add up: each message is done, skipped or dead-lettered, none is lost.');
  console.log('Next: copy examples/01-earthquakes/pipeline.ts; docs/guarantees.md says what holds where it crashes.');
}
