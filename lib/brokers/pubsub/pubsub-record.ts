import type { Position } from '../../core/position.js';
import type { RecordShape } from '../../core/record-shape.js';

/** Where a message stands in Google Pub/Sub, which knows no order but that of a key: its id. @public */
export interface PubSubPosition extends Position {
  /** The discriminant. */
  readonly broker: 'pubsub';
  /** The topic, without its project; the subscription's name where the client may not look at that. */
  readonly topic: string;
  /** The subscription, without its project. */
  readonly subscription: string;
  /** Unique in the topic, and the same for each redelivery. */
  readonly messageId: string;
}

/** A message that we hold, however often it came: `H` is what it is settled by. @internal */
export interface PubSubRecord<H = unknown> {
  readonly id: string;
  data: Uint8Array;
  readonly attributes: Readonly<Record<string, string>>;
  /** `null` where it has none. */
  readonly orderingKey: string | null;
  /** The key in whose order the service sends it; `null` where it keeps none. */
  readonly orderedBy: string | null;
  /** Milliseconds since 1970. */
  readonly publishedAt: number;
  readonly attempt: number;
  readonly bytes: number;
  /** One an arrival, the newest last. */
  readonly handles: H[];
}

/** A message as it arrived, whichever way. @internal */
export interface PubSubArrival<H> extends Pick<PubSubRecord, 'id' | 'data' | 'attributes' | 'publishedAt'> {
  readonly orderingKey: string | null | undefined;
  /** 0 where the service does not count. */
  readonly deliveryAttempt: number;
  readonly handle: H;
}

// The object and its texts.
const RECORD_OVERHEAD_BYTES = 512;

/** @internal */
export const pubsubShape: RecordShape<PubSubRecord, PubSubPosition> = {
  value: ({ data }) => data,
  key: ({ orderingKey }) => orderingKey,
  headers: ({ attributes }) => attributes,
  timestamp: ({ publishedAt }) => publishedAt,
  positionText: ({ id }) => id,
  position: ({ id }, { topic, partition }) => ({
    broker: 'pubsub',
    topic,
    subscription: partition as string,
    messageId: id,
  }),
  attempt: ({ attempt }) => attempt,
  orderedBy: ({ orderedBy }) => orderedBy,
  detach: (record) => {
    // A view of all that came with it.
    if (record.data.buffer.byteLength > 2 * record.data.length) record.data = new Uint8Array(record.data);
  },
  bytes: ({ bytes }) => bytes,
};

/** @internal */
export function recordOf<H>(arrival: PubSubArrival<H>, attempt: number, isOrdered: boolean): PubSubRecord<H> {
  const { id, data, attributes, orderingKey, publishedAt, handle } = arrival;
  let bytes = RECORD_OVERHEAD_BYTES + data.length;
  for (const name of Object.keys(attributes)) bytes += name.length + (attributes[name]?.length ?? 0);
  const key = typeof orderingKey === 'string' && orderingKey !== '' ? orderingKey : null;
  const orderedBy = isOrdered ? key : null;
  return { id, data, attributes, orderingKey: key, orderedBy, publishedAt, attempt, bytes, handles: [handle] };
}
