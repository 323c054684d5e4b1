import type { Observable } from 'rxjs';
import { ackEach, handle, ordered, retryToDlq, type Delivery, type Publisher } from '../lib/index.js';
import { fromKafka } from '../lib/kafka.js';
import { createClock, kafkaAt, watchedKafka, type Taken } from './kafka-clock.js';
import { newGroup } from './kafka-topic.js';

type Bytes = Delivery<Uint8Array | null>;

// All sides commit as often: by time, each 100 ms, or after each batch.
const COMMIT_MS = 100;
const FETCH = { maxWaitTimeInMs: 100, maxBytesPerPartition: 1_048_576 };

const nowhere: Publisher = {
  connect: () => {
    throw new Error('no message of this benchmark fails');
  },
};
let touched = 0;

/** kafkajs alone: iterates each batch, touches each value, and awaits a commit a batch or commits beside the reading. */
export async function raw(
  brokers: readonly string[],
  topic: string,
  records: number,
  commit: 'each batch' | 'beside',
): Promise<Taken> {
  const clock = createClock(records);
  const consumer = kafkaAt(brokers).consumer({ groupId: newGroup(), ...FETCH });
  clock.watch(consumer);
  const last = new Map<number, string>();
  let busy = false;
  const timer = setInterval(() => {
    if (busy || last.size === 0) return;
    busy = true;
    const offsets = [...last].map(([partition, offset]) => ({ topic, partition, offset }));
    last.clear();
    void consumer.commitOffsets(offsets).finally(() => (busy = false));
  }, COMMIT_MS);
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { value } of batch.messages) touched += value === null ? 0 : (value[0] as number);
      const next = { topic, partition: batch.partition, offset: String(BigInt(batch.lastOffset()) + 1n) };
      if (commit === 'each batch') await consumer.commitOffsets([next]);
      else last.set(next.partition, next.offset);
    },
  });
  const taken = await clock.taken;
  clearInterval(timer);
  await consumer.disconnect();
  return taken;
}

/** The same through `fromKafka` and a pipeline. */
export async function ours(
  brokers: readonly string[],
  topic: string,
  records: number,
  pipeline: (source: Observable<Bytes>) => Observable<unknown>,
): Promise<Taken> {
  const clock = createClock(records);
  const stop = new AbortController();
  let ended: () => void;
  const closed = new Promise<void>((resolve) => (ended = resolve));
  fromKafka(watchedKafka(brokers, clock), {
    groupId: newGroup(),
    topics: [topic],
    stop: stop.signal,
    commitIntervalMs: COMMIT_MS,
    commitEvery: records,
    fetchMaxBytesPerPartition: FETCH.maxBytesPerPartition,
    fetchMaxWaitMs: FETCH.maxWaitTimeInMs,
  })
    .pipe(pipeline)
    .subscribe({
      next: (value) => (touched += (value as Uint8Array)[0] as number),
      complete: () => ended(),
    });
  const taken = await clock.taken;
  stop.abort();
  await closed;
  return taken;
}

export const acked = (source: Observable<Bytes>): Observable<unknown> => source.pipe(ackEach());

export const worked = (source: Observable<Bytes>): Observable<unknown> =>
  source.pipe(
    ordered({ by: 'key' }),
    retryToDlq({ deadLetters: nowhere }),
    handle((value) => value),
    ackEach(),
  );
