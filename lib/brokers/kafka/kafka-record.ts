import { isBytes } from '../../core/is-bytes.js';
import type { HeaderValue, MessageHeaders } from '../../core/message.js';
import type { Position } from '../../core/position.js';
import type { RecordShape } from '../../core/record-shape.js';
import type { KafkaRecord } from './kafka-client.js';

/** Where a message stands in Kafka. @public */
export interface KafkaPosition extends Position {
  /** The discriminant. */
  readonly broker: 'kafka';
  /** The topic's name. */
  readonly topic: string;
  /** From 0. */
  readonly partition: number;
  /** As text: it may pass what a number holds. */
  readonly offset: string;
}

// What kafkajs makes of a record beside its bytes: the object, two Buffers, texts (heap snapshot of 2.2.4, Node 20).
const RECORD_OVERHEAD_BYTES = 256;

/** How to read what kafkajs decoded. @internal */
export const kafkaShape: RecordShape<KafkaRecord, KafkaPosition> = {
  value: (record) => record.value,
  key: (record) => record.key,
  headers: ({ headers = {} }) =>
    Object.values(headers).some(lacksValue) ? withValues(headers) : (headers as MessageHeaders),
  timestamp: (record) => Number(record.timestamp),
  positionText: (record) => record.offset,
  position: ({ offset }, { topic, partition }) => ({ broker: 'kafka', topic, partition: partition as number, offset }),
  bytes: ({ key, value, headers }) =>
    RECORD_OVERHEAD_BYTES +
    (key === null ? 0 : key.length) +
    (value === null ? 0 : value.length) +
    (headers === undefined ? 0 : headerBytes(headers)),
  detach: (record) => {
    const { key, value, headers = {} } = record;
    const copies: Record<string, unknown> = {};
    for (const name of Object.keys(headers)) {
      const header = headers[name];
      copies[name] = isList(header) ? header.map(ownOf) : ownOf(header);
    }
    Object.assign(record, { key: ownOf(key), value: ownOf(value), headers: copies });
  },
};

// kafkajs slices all bytes from the answer to a fetch, or from what it unpacked.
function ownOf<T>(bytes: T): T | Buffer {
  if (!isBytes(bytes) || bytes.byteLength === bytes.buffer.byteLength) return bytes;
  const copy = Buffer.allocUnsafeSlow(bytes.byteLength);
  copy.set(bytes);
  return copy;
}

type RawHeaders = NonNullable<KafkaRecord['headers']>;

/** How much headers weigh, in bytes; text counts a byte a character. @internal */
export function headerBytes(headers: RawHeaders | MessageHeaders): number {
  let bytes = 0;
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined) continue;
    bytes += name.length;
    if (isList(value)) for (const one of value) bytes += one?.length ?? 0;
    else bytes += value?.length ?? 0;
  }
  return bytes;
}

// Kafka has headers without a value; kafkajs reads them as null and cannot send them, so empty bytes stand for them.
function withValues(headers: RawHeaders): MessageHeaders {
  const filled: Record<string, HeaderValue | readonly HeaderValue[] | undefined> = {};
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    filled[name] = isList(value) ? value.map(orEmpty) : value === undefined ? value : orEmpty(value);
  }
  return filled;
}

function lacksValue(value: RawHeaders[string]): boolean {
  return value === null || (isList(value) && value.includes(null));
}

function orEmpty(value: HeaderValue | null): HeaderValue {
  return value ?? new Uint8Array(0);
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}
