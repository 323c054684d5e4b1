import type { Position } from '../../core/position.js';
import type { RecordShape } from '../../core/record-shape.js';

/** Where a message stands in Kinesis. @public */
export interface KinesisPosition extends Position {
  /** The discriminant. */
  readonly broker: 'kinesis';
  /** The stream's name. */
  readonly stream: string;
  /** The shard's id. */
  readonly shard: string;
  /** As text: some 56 digits. */
  readonly sequenceNumber: string;
  /** Its place in an aggregated record, from 0; `null` where the record is a message by itself. */
  readonly subSequenceNumber: number | null;
}

/** A message, as it came: a record, or a part of an aggregated one. @internal */
export interface KinesisRecord {
  readonly sequenceNumber: string;
  readonly subSequenceNumber: number | null;
  /** `null` in streams that ignore keys. */
  readonly key: string | null;
  data: Uint8Array;
  /** Milliseconds since 1970. */
  readonly arrivedAt: number;
  /** Its number among what follows the checkpoint that its reading began at; set by that. */
  ordinal?: number;
}

/** The object and its texts. @internal */
export const RECORD_OVERHEAD_BYTES = 256;

/** @internal */
export const kinesisShape: RecordShape<KinesisRecord, KinesisPosition> = {
  value: ({ data }) => data,
  key: ({ key }) => key,
  headers: () => ({}),
  timestamp: ({ arrivedAt }) => arrivedAt,
  positionText: positionTextOf,
  position: ({ sequenceNumber, subSequenceNumber }, { topic, partition }) => ({
    broker: 'kinesis',
    stream: topic,
    shard: partition as string,
    sequenceNumber,
    subSequenceNumber,
  }),
  detach: (record) => {
    // A message of an aggregate is a view of all of it.
    if (record.data.buffer.byteLength > 2 * record.data.length) record.data = record.data.slice();
  },
  bytes: ({ key, data }) => RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + data.length,
};

// `4959…` or, of an aggregated record, `4959…/3`.
function positionTextOf({
  sequenceNumber,
  subSequenceNumber,
}: Pick<KinesisRecord, 'sequenceNumber' | 'subSequenceNumber'>): string {
  return subSequenceNumber === null ? sequenceNumber : `${sequenceNumber}/${subSequenceNumber}`;
}
