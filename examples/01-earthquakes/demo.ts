import { lastValueFrom, toArray } from 'rxjs';
import { publish } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher, type MemoryRecord } from 'rxsluice/memory';
import { count, newCounts, settledOf, type Counts } from './counts.js';
import { feedMessages } from './feed.js';
import { flakySink } from './flaky-sink.js';
import { quakePipeline } from './pipeline.js';
import type { Quake } from './quake.js';

export const MAX_IN_FLIGHT = 256;

export interface DemoResult {
  readonly messages: number;
  readonly counts: Counts;
  readonly quakes: readonly Quake[];
  readonly deadLetters: readonly MemoryRecord[];
  readonly peakSinkCalls: number;
  readonly elapsedMs: number;
}

/** Publishes the feed to a broker in this process, runs the pipeline to its end and tells what came of it. */
export async function runDemo(onProgress: (settled: number, messages: number) => void): Promise<DemoResult> {
  const broker = memoryBroker({ topics: { quakes: { partitions: 4 }, 'quakes-dlq': { partitions: 4 } } });
  const messages = await feedMessages();
  const outcomes = await lastValueFrom(publish(memoryPublisher(broker, { topic: 'quakes' }), messages));
  if (outcomes.some(({ status }) => status !== 'ok')) throw new Error('The broker refused a part of the feed.');

  const counts = newCounts();
  const sink = flakySink({ seed: 'rxsluice', failureRate: 0.06 });
  const startedAt = performance.now();
  const pipeline = quakePipeline({
    source: fromMemory(broker, {
      groupId: 'quake-watch',
      topics: ['quakes'],
      maxInFlight: MAX_IN_FLIGHT,
      until: 'end',
      telemetry: (event) => {
        count(counts, event);
        if (event.type === 'settled') onProgress(settledOf(counts), messages.length);
      },
    }),
    sink: sink.store,
    deadLetters: memoryPublisher(broker, { topic: 'quakes-dlq' }),
  });
  const quakes = await lastValueFrom(pipeline.pipe(toArray()));

  return {
    messages: messages.length,
    counts,
    quakes,
    deadLetters: broker.messages('quakes-dlq'),
    peakSinkCalls: sink.peak(),
    elapsedMs: performance.now() - startedAt,
  };
}
