import type { KinesisEntryLike } from './kinesis-client.js';
import { nextLive, type Entry, type Packing, type Run } from './kinesis-lanes.js';
import type { KinesisOutgoing } from './kinesis-outgoing.js';
import { createAggregator, type Aggregator } from './kpl-encode.js';

/** A record for each message. @internal */
export const oneEach: Packing = {
  laneOf: ({ key, keyless }) => (keyless ? null : key),
  runOf: (first) => alone(first),
  sharedBytes: 0,
};

/**
 * Messages that wait behind one another share a record, as the KPL aggregates them: those of one key, or of one explicit
 * hash key where they have one. A message beyond `maxBytes` goes alone.
 * @internal
 */
export function aggregating(maxBytes: number, maxRecordBytes: number): Packing {
  return {
    laneOf: ({ key, keyless, hashKey }) => hashKey ?? (keyless ? null : key),
    runOf: (first) => {
      const aggregator = createAggregator({ maxBytes });
      const entries: Entry[] = [];
      // Nobody made up the key of a message that has none: it may as well be that of the first.
      for (let entry: Entry | null = first; entry !== null; entry = nextLive(entry.next)) {
        if (!add(aggregator, entry.outgoing, first.outgoing)) break;
        entries.push(entry);
      }
      if (entries.length > 0) return runOf(entries, aggregator);
      const largest = createAggregator({ maxBytes: maxRecordBytes });
      return add(largest, first.outgoing, first.outgoing) ? runOf([first], largest) : alone(first);
    },
    sharedBytes: maxBytes,
  };
}

function add(
  aggregator: Aggregator,
  { key, keyless, hashKey, data }: KinesisOutgoing,
  first: KinesisOutgoing,
): boolean {
  return aggregator.add(keyless && first.keyless ? first.key : key, data, hashKey);
}

function runOf(entries: readonly Entry[], aggregator: Aggregator): Run {
  const { outgoing } = entries[0] as Entry;
  return {
    entries,
    bytes: aggregator.bytes + hashKeyBytes(outgoing),
    // Alone it goes as it is, except if it looks like an aggregate.
    isAggregate: entries.length > 1 || aggregator.bytes > outgoing.bytes,
    record: () => aggregator.finish() as KinesisEntryLike,
  };
}

function alone(entry: Entry): Run {
  const { outgoing } = entry;
  const { key, hashKey, data, bytes } = outgoing;
  return {
    entries: [entry],
    bytes: bytes + hashKeyBytes(outgoing),
    isAggregate: false,
    record: () => ({ Data: data, PartitionKey: key, ...(hashKey === undefined ? {} : { ExplicitHashKey: hashKey }) }),
  };
}

// Whether Kinesis counts the hash key is not said.
function hashKeyBytes({ hashKey }: KinesisOutgoing): number {
  return hashKey?.length ?? 0;
}
