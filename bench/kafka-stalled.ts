import { NEVER } from 'rxjs';
import { ackEach, handle } from '../lib/index.js';
import { fromKafka } from '../lib/kafka.js';
import { kafkaAt } from './kafka-clock.js';
import { filledTopic, MILLION, newGroup, onKafka } from './kafka-topic.js';

const SETTLE_MS = 3_000;
const WATCH_MS = 15_000;

// A handler that never ends over a topic of a million: how much memory grows once the bound is reached.
void onKafka(async (client) => {
  const topic = await filledTopic(client, MILLION);
  let inFlight = 0;
  const subscription = fromKafka(kafkaAt(client.brokers), {
    groupId: newGroup(),
    topics: [topic],
    drainTimeoutMs: 100,
    telemetry: ({ type }) => void (type === 'received' && inFlight++),
  })
    .pipe(
      handle(() => NEVER, { concurrency: 64 }),
      ackEach(),
    )
    .subscribe();
  await pause(SETTLE_MS);
  const before = process.memoryUsage().rss;
  const seen: number[] = [];
  for (let at = 0; at < WATCH_MS; at += 1_000) {
    await pause(1_000);
    seen.push((process.memoryUsage().rss - before) / 2 ** 20);
  }
  subscription.unsubscribe();
  console.log(
    `Stalled handler on a topic of 1,000,000: ${inFlight} in flight, RSS ${(before / 2 ** 20).toFixed(0)} MB after ` +
      `${SETTLE_MS / 1_000} s, then at most ${Math.max(...seen).toFixed(1)} MB more in ${WATCH_MS / 1_000} s (bar: 20).`,
  );
});

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
