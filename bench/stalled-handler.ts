import { NEVER } from 'rxjs';
import { ackEach, handle, publish } from 'rxsluice';
import { fromMemory, memoryBroker, memoryPublisher } from 'rxsluice/memory';

const MESSAGES = 1_000_000;
const BATCH = 10_000;
const WATCH_MS = 5_000;

/** A handler that never ends over a backlog of a million: how much memory grows once the bound is reached. */
export async function stalledHandler(): Promise<{ readonly grownMb: number; readonly inFlight: number }> {
  const broker = memoryBroker({ topics: { backlog: { partitions: 4 } } });
  const publisher = memoryPublisher(broker, { topic: 'backlog' });
  for (let i = 0; i < MESSAGES; i += BATCH) {
    const messages = Array.from({ length: BATCH }, (_, n) => ({
      key: `key-${(i + n) % 10_000}`,
      value: `value ${i + n}`,
    }));
    publish(publisher, messages).subscribe();
  }
  let inFlight = 0;
  const subscription = fromMemory(broker, {
    groupId: 'stalled',
    topics: ['backlog'],
    telemetry: ({ type }) => void (type === 'received' && inFlight++),
  })
    .pipe(
      handle(() => NEVER, { concurrency: 64 }),
      ackEach(),
    )
    .subscribe();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const before = settledRss();
  await new Promise((resolve) => setTimeout(resolve, WATCH_MS));
  const grownMb = (settledRss() - before) / 2 ** 20;
  subscription.unsubscribe();
  return { grownMb, inFlight };
}

function settledRss(): number {
  (globalThis as { gc?: () => void }).gc?.();
  return process.memoryUsage().rss;
}
