import { throwError } from 'rxjs';
import { ackEach } from '../../operators/ack-each.js';
import { handle } from '../../operators/handle.js';
import { retryToDlq } from '../../operators/retry-to-dlq.js';
import { messages, names } from '../numbered.js';
import type { Pipeline, Probe } from '../probe.js';
import { textOf } from '../raw.js';
import { scriptedPublisher } from '../scripted-publisher.js';
import type { SourceCase } from '../source-case.js';
import { leavesNothingOpen, type SourceWorld } from '../source-world.js';

const drained: Pipeline = (source) => source.pipe(ackEach());

// Retries wait, a handler hangs, dead letters are tried: each has a timer.
const busy: Pipeline = (source) => {
  const deadLetters = scriptedPublisher();
  deadLetters.answer = 'transient';
  return source.pipe(
    retryToDlq({ deadLetters, maxRetries: 1 }),
    handle(
      (value) => {
        if (textOf(value) === 'm1') return new Promise<never>(() => undefined);
        return throwError(() => new Error('fails on purpose'));
      },
      { concurrency: 4, timeoutMs: 60_000 },
    ),
    ackEach(),
  );
};

/** 35: nothing is left. @internal */
export const leftoverCases: readonly SourceCase[] = [
  {
    behaviours: [35],
    title: 'leaves no timer and no socket after a stop',
    guarantees: ['I8'],
    needs: ['openHandles'],
    run: (world) => leavesNothing(world, drained, (probe) => probe.stop()),
  },
  {
    behaviours: [35],
    title: 'leaves no timer and no socket after an unsubscribe in the middle of the work',
    guarantees: ['I8'],
    needs: ['openHandles'],
    run: (world) => leavesNothing(world, busy, (probe) => probe.unsubscribe()),
  },
];

async function leavesNothing(world: SourceWorld, pipeline: Pipeline, end: (probe: Probe) => void): Promise<void> {
  // What the driver's own clients keep open is there before.
  const place = await world.place();
  await world.publish(place.topic, messages(names(10)));
  const before = await world.openHandles();
  const probe = world.open(place, pipeline);
  await world.receives(probe, names(10));
  end(probe);
  await world.closes(probe);
  await leavesNothingOpen(world, before);
}
