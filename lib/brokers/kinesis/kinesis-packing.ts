import type { Packing } from './kinesis-connection.js';
import type { Entry } from './kinesis-lanes.js';
import type { KinesisEntryLike } from './kinesis-client.js';

/** A record for each message. @internal */
export const oneEach: Packing = {
  runOf: (first) => ({ entries: [first], bytes: requestBytes(first) }),
  recordOf: ([entry]) => recordOf(entry as Entry),
};

function recordOf({ outgoing: { key, hashKey, data } }: Entry): KinesisEntryLike {
  return { Data: data, PartitionKey: key, ...(hashKey === undefined ? {} : { ExplicitHashKey: hashKey }) };
}

// Whether Kinesis counts the hash key is not said.
function requestBytes({ outgoing: { bytes, hashKey } }: Entry): number {
  return bytes + (hashKey?.length ?? 0);
}
