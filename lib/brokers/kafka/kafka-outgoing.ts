import { SluiceError } from '../../core/errors.js';
import { isBytes } from '../../core/is-bytes.js';
import { kindOf } from '../../core/kind-of.js';
import type { HeaderValue, Message, MessageBytes, MessageHeaders } from '../../core/message.js';
import { wrongHeaders } from '../../core/own-message.js';
import { partitionOfKey } from './kafka-partitioner.js';
import { headerBytes } from './kafka-record.js';

/** A message as kafkajs sends it; the partition is chosen once, so that no retry moves it. @internal */
export interface KafkaOutgoing {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: Record<string, Buffer | string | (Buffer | string)[]>;
  readonly partition: number;
  readonly timestamp?: string;
}

// The fields of a record beside its bytes, at their largest.
const RECORD_OVERHEAD_BYTES = 64;

/** Throws `publish-failed` for what is no message. `turn` counts those without a key. @internal */
export function encodeMessage(message: Message, partitions: number, turn: () => number): KafkaOutgoing {
  const key = bytesOf(message.key ?? null, 'key');
  const value = bytesOf(message.value, 'value');
  const partition = message.partition ?? (key === null ? turn() % partitions : partitionOfKey(key, partitions));
  if (!Number.isInteger(partition)) throw refused('a partition must be a whole number');
  if (partition < 0 || partition >= partitions) {
    throw refused(`there is no partition ${partition}, only 0 to ${partitions - 1}`);
  }
  const outgoing = { key, value, headers: headersOf(message.headers ?? {}), partition };
  const { timestamp } = message;
  if (timestamp === undefined) return outgoing;
  if (!Number.isSafeInteger(timestamp)) throw refused('a timestamp must be whole milliseconds');
  return { ...outgoing, timestamp: String(timestamp) };
}

/** How much of a request it takes, in bytes: never less than it will. @internal */
export function sizeOf({ key, value, headers }: KafkaOutgoing): number {
  return RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0) + headerBytes(headers) * 2;
}

function headersOf(headers: MessageHeaders): KafkaOutgoing['headers'] {
  const wrong = wrongHeaders(headers);
  if (wrong !== null) throw refused(wrong);
  const sent: KafkaOutgoing['headers'] = {};
  for (const name of Object.keys(headers)) {
    const value = headers[name];
    if (value === undefined) continue;
    sent[name] = Array.isArray(value) ? value.map(headerOf) : headerOf(value as HeaderValue);
  }
  return sent;
}

function headerOf(value: HeaderValue): Buffer | string {
  if (typeof value === 'string') return value;
  if (isBytes(value)) return bufferOf(value);
  throw refused(`a header must be bytes or text, not ${kindOf(value)}`);
}

function bytesOf(bytes: MessageBytes, what: string): Buffer | null {
  if (bytes === null) return null;
  if (typeof bytes === 'string') return Buffer.from(bytes);
  if (isBytes(bytes)) return bufferOf(bytes);
  throw refused(`a ${what} must be bytes, text or null, not ${kindOf(bytes)}`);
}

// kafkajs asks for a Buffer; this is the same memory.
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A message that will never be taken. @internal */
export function refused(why: string, cause?: unknown): SluiceError {
  return new SluiceError('publish-failed', `kafkaPublisher: ${why}.`, cause === undefined ? {} : { cause });
}
