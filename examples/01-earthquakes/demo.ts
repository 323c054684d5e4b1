import { lastValueFrom, toArray } from 'rxjs';
import { publish } from 'rxsluice';
import { count, newCounts, settledOf, type Counts } from './counts.js';
import type { DeadLetter, DemoBroker } from './demo-broker.js';
import { feedMessages } from './feed.js';
import { flakySink } from './flaky-sink.js';
import { memoryDemo } from './memory-demo.js';
import { quakePipeline } from './pipeline.js';
import type { Quake } from './quake.js';

export const MAX_IN_FLIGHT = 256;

export interface DemoResult {
  readonly messages: number;
  readonly counts: Counts;
  readonly quakes: readonly Quake[];
  readonly deadLetters: readonly DeadLetter[];
  readonly peakSinkCalls: number;
  readonly elapsedMs: number;
}

/** Publishes the feed to a broker, runs the pipeline to its end and tells what came of it. */
export async function runDemo(
  onProgress: (settled: number, messages: number) => void,
  broker: DemoBroker = memoryDemo(),
): Promise<DemoResult> {
  const messages = await feedMessages();
  const outcomes = await lastValueFrom(publish(broker.quakes, messages));
  if (outcomes.some(({ status }) => status !== 'ok')) throw new Error('The broker refused a part of the feed.');

  const counts = newCounts();
  const sink = flakySink({ seed: 'rxsluice', failureRate: 0.06 });
  const startedAt = performance.now();
  const pipeline = quakePipeline({
    source: broker.source({
      maxInFlight: MAX_IN_FLIGHT,
      until: 'end',
      telemetry: (event) => {
        count(counts, event);
        if (event.type === 'settled') onProgress(settledOf(counts), messages.length);
      },
    }),
    sink: sink.store,
    deadLetters: broker.deadLetters,
  });
  const quakes = await lastValueFrom(pipeline.pipe(toArray()));
  const elapsedMs = performance.now() - startedAt;

  return {
    messages: messages.length,
    counts,
    quakes,
    deadLetters: await broker.readDeadLetters(),
    peakSinkCalls: sink.peak(),
    elapsedMs,
  };
}
