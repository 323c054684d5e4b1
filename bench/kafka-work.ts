import { ackEach, handle, ordered } from '../lib/index.js';
import { fromKafka } from '../lib/kafka.js';
import { kafkaAt } from './kafka-clock.js';
import { newGroup } from './kafka-topic.js';

/** What a run of asynchronous work did. */
export interface Worked {
  readonly perSecond: number;
  /** How long the work took, measured, in milliseconds. */
  readonly meanWorkMs: number;
  /** Of concurrency ÷ mean work time, the most that is possible with independent keys. */
  readonly share: number;
  readonly unordered: number;
}

/** 5 ms of asynchronous work a record, in key order; from the first start to the last end. */
export async function work(
  brokers: readonly string[],
  topic: string,
  records: number,
  concurrency: number,
): Promise<Worked> {
  const stop = new AbortController();
  const last = new Map<string, number>();
  let begun = 0;
  let workMs = 0;
  let done = 0;
  let unordered = 0;
  let ended = 0;
  await new Promise<void>((resolve, reject) => {
    fromKafka(kafkaAt(brokers), {
      groupId: newGroup(),
      topics: [topic],
      stop: stop.signal,
      maxInFlight: Math.max(1_000, concurrency * 4),
    })
      .pipe(
        ordered({ by: 'key' }),
        handle(
          async (_value, { key, position }) => {
            const started = performance.now();
            if (begun === 0) begun = started;
            await new Promise((wake) => setTimeout(wake, 5));
            ended = performance.now();
            workMs += ended - started;
            const lane = `${position.partition}/${String(key)}`;
            const offset = Number(position.offset);
            if ((last.get(lane) ?? -1) > offset) unordered++;
            last.set(lane, offset);
            if (++done === records) stop.abort();
          },
          { concurrency },
        ),
        ackEach(),
      )
      .subscribe({ complete: resolve, error: reject });
  });
  const seconds = (ended - begun) / 1_000;
  const meanWorkMs = workMs / records;
  const perSecond = records / seconds;
  return { perSecond, meanWorkMs, share: perSecond / (concurrency / (meanWorkMs / 1_000)), unordered };
}

/**
 * The seconds that a scheduler would take that knows everything at once: keys in order, each record's work as long as
 * the mean, `concurrency` slots, any record of a free key may start.
 */
export function idealSeconds(keys: readonly string[], concurrency: number, workMs: number): number {
  const counts = new Map<string, number>();
  for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
  // Longest remaining chain first is optimal where all work takes the same time.
  const chains = [...counts.values()].sort((a, b) => b - a);
  let rounds = 0;
  let left = keys.length;
  while (left > 0) {
    chains.sort((a, b) => b - a);
    for (let slot = 0; slot < concurrency && (chains[slot] ?? 0) > 0; slot++) {
      (chains[slot] as number)--;
      left--;
    }
    rounds++;
  }
  return (rounds * workMs) / 1_000;
}
