import { lastValueFrom, toArray } from 'rxjs';
import { publish } from 'rxsluice';
import { count, newCounts, settledOf, type Counts } from './counts.js';
import { feedMessages } from './feed.js';
import { flakySink } from './flaky-sink.js';
import { alertRelay, quakePipeline } from './pipeline.js';
import type { Quake } from './quake.js';
import type { QuakeBroker, StoredMessage } from './quake-broker.js';
import type { QuakeDatabase } from './quake-database.js';

export interface DemoResult {
  readonly messages: number;
  readonly counts: Counts;
  readonly quakes: readonly Quake[];
  readonly deadLetters: readonly StoredMessage[];
  /** Rows of the database. */
  readonly stored: number;
  /** What the topic of alerts holds. */
  readonly alerts: readonly StoredMessage[];
  readonly peakSinkCalls: number;
  readonly elapsedMs: number;
}

/** Publishes the feed to a broker, runs the pipeline to its end (or until `stop`) and tells what came of it. */
export async function runDemo<Tx>(
  broker: QuakeBroker,
  database: QuakeDatabase<Tx>,
  onProgress: (settled: number, messages: number) => void,
  stop?: AbortSignal,
): Promise<DemoResult> {
  const messages = await feedMessages();
  const outcomes = await lastValueFrom(publish(broker.feed, messages));
  if (outcomes.some(({ status }) => status !== 'ok')) throw new Error('The broker refused a part of the feed.');

  const counts = newCounts();
  const sink = flakySink({ seed: 'rxsluice', failureRate: 0.06 });
  const startedAt = performance.now();
  const pipeline = quakePipeline({
    source: broker.source({
      telemetry: (event) => {
        count(counts, event);
        if (event.type === 'settled') onProgress(settledOf(counts), messages.length);
      },
      stop,
    }),
    database,
    sink: sink.store,
    deadLetters: broker.deadLetters,
  });
  // Alerts go out while quakes come in; then what is left.
  const relaying = alertRelay(database, broker.alerts).subscribe();
  const quakes = await lastValueFrom(pipeline.pipe(toArray()));
  await lastValueFrom(alertRelay(database, broker.alerts, { until: 'end' }), { defaultValue: null });
  relaying.unsubscribe();
  const elapsedMs = performance.now() - startedAt;

  return {
    messages: messages.length,
    counts,
    quakes,
    deadLetters: await broker.storedDeadLetters(),
    stored: await database.count(),
    alerts: await broker.storedAlerts(),
    peakSinkCalls: sink.peak(),
    elapsedMs,
  };
}
