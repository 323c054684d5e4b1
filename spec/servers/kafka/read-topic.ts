import type { Admin, EachBatchPayload, IHeaders, Kafka } from 'kafkajs';

/** A record as the broker holds it. */
export interface StoredRecord {
  readonly partition: number;
  readonly offset: bigint;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: IHeaders;
  /** In milliseconds since 1970. */
  readonly timestamp: number;
}

const STALLED_MS = 30_000;

/**
 * Reads at least all that a topic holds when this is called, by partition, then offset; what aborted transactions wrote is not
 * there. Rejects, rather than answer with a part, where 30 seconds pass without progress, as over an open transaction.
 */
export async function readTopic(kafka: Kafka, admin: Admin, topic: string, groupId: string): Promise<StoredRecord[]> {
  const ends = new Map<number, bigint>();
  for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
    if (low !== high) ends.set(partition, BigInt(high));
  }
  const records: StoredRecord[] = [];
  if (ends.size === 0) return records;

  const consumer = kafka.consumer({ groupId, maxWaitTimeInMs: 100, retry: { restartOnFailure: async () => false } });
  let stalled: NodeJS.Timeout | undefined;
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await new Promise<void>((resolve, reject) => {
      stalled = setTimeout(() => reject(new Error(`Reading ${topic} came to no end.`)), STALLED_MS);
      consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
      // Unlike a batch of records, this comes also for what a transaction's marker or an abort leaves empty.
      consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
        const end = ends.get(partition);
        if (end !== undefined && BigInt(lastOffset) + 1n >= end) ends.delete(partition);
        if (ends.size > 0) stalled?.refresh();
        else resolve();
      });
      const eachBatch = async ({ batch: { partition, messages } }: EachBatchPayload): Promise<void> => {
        for (const { offset, key, value, headers = {}, timestamp } of messages) {
          records.push({ partition, offset: BigInt(offset), key, value, headers, timestamp: Number(timestamp) });
        }
      };
      consumer.run({ autoCommit: false, eachBatch }).catch(reject);
    });
  } finally {
    clearTimeout(stalled);
    await consumer.disconnect();
  }
  return records.sort((a, b) => a.partition - b.partition || Number(a.offset - b.offset));
}
