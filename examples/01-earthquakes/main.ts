import { mismatches } from './check.js';
import { runDemo } from './demo.js';
import { memoryDemo } from './memory-demo.js';
import { startProgress } from './progress.js';
import { report } from './report.js';

const onKafka = process.argv.includes('--kafka');
if (onKafka) console.log('Starting Apache Kafka, unless KAFKA_BROKERS names one …');
const broker = onKafka ? await (await import('./kafka-demo.js')).kafkaDemo() : memoryDemo();
console.log(`A week of USGS earthquakes through rxsluice, on ${broker.name}.\n`);

const progress = startProgress(process.stdout);
const result = await runDemo(progress.update, broker).finally(() => broker.close());
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
