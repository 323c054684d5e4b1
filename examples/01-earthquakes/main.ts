import { parseArgs } from 'node:util';
import { mismatches } from './check.js';
import { runDemo } from './demo.js';
import { givenDatabase } from '../../spec/servers/open-postgres.js';
import { whyNoPostgres } from '../../spec/servers/why-no-postgres.js';
import { memoryDatabase } from './memory-database.js';
import { memoryQuakes } from './memory.js';
import { startProgress } from './progress.js';
import type { QuakeBroker } from './quake-broker.js';
import type { QuakeDatabase } from './quake-database.js';
import { report } from './report.js';

const INTERRUPTED = 130;

try {
  const { values } = parseArgs({ options: { kafka: { type: 'boolean' }, memory: { type: 'boolean' } } });
  const missing = values.memory ? undefined : givenDatabase() === undefined ? await whyNoPostgres() : undefined;
  if (missing !== undefined) console.log(`${missing}; a table in memory stands in. DATABASE_URL names one.`);
  const withDatabase = async (broker: QuakeBroker): Promise<void> => {
    if (values.memory || missing !== undefined) await play(broker, memoryDatabase());
    else await (await import('./postgres.js')).onPostgres((database) => play(broker, database));
  };
  if (values.kafka) {
    const { onKafka } = await import('./kafka.js');
    await onKafka(withDatabase);
  } else {
    await withDatabase(memoryQuakes());
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function play<Tx>(broker: QuakeBroker, database: QuakeDatabase<Tx>): Promise<void> {
  console.log(`A week of USGS earthquakes through rxsluice, on ${broker.name} with ${database.name}.\n`);
  const stop = new AbortController();
  // The first Ctrl-C lets what is out settle; a second one ends the process, as always.
  process.once('SIGINT', () => stop.abort());

  const progress = startProgress(process.stdout);
  const result = await runDemo(broker, database, progress.update, stop.signal);
  progress.end();
  if (stop.signal.aborted) {
    console.log('\nStopped: what was out has settled, and the positions are committed.');
    process.exitCode = INTERRUPTED;
    return;
  }
  console.log(`\n${report(result)}\n`);

  const wrong = mismatches(result);
  if (wrong.length > 0) {
    console.error(`The sums do not add up: ${wrong.join('; ')}.`);
    process.exitCode = 1;
  } else {
    console.log('The sums add up: each message is done, skipped or dead-lettered, none is lost.');
    console.log('Next: copy examples/01-earthquakes/pipeline.ts; docs/guarantees.md says what holds where it crashes.');
  }
}
