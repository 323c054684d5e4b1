import { NEVER } from 'rxjs';
import { ackEach, handle } from '../lib/index.js';
import { bareSubscription, sluice } from './pubsub-consume.js';
import type { PubSubTask, Stalled } from './pubsub-contender.js';

const WATCH_MS = 8_000;
const LOOK_MS = 250;

/** Reads with a handler that never ends: how much memory that takes while all that lies there would like to come. */
export async function stall(task: PubSubTask): Promise<Stalled> {
  const before = process.memoryUsage.rss();
  let given = 0;
  if (task.reader === 'bare') {
    bareSubscription(task).on('message', () => void given++);
  } else {
    sluice(task)
      .pipe(
        handle(
          () => {
            given++;
            return NEVER;
          },
          { concurrency: task.bound },
        ),
        ackEach(),
      )
      .subscribe();
  }
  let most = before;
  for (let at = 0; at < WATCH_MS; at += LOOK_MS) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    most = Math.max(most, process.memoryUsage.rss());
  }
  return { rssMb: most / 2 ** 20, grownMb: (most - before) / 2 ** 20, given };
}
