import { int16, int32 } from '../servers/kafka/raw-produce.js';

// Record batches of Kafka by hand, so that a spec can write what no encoder would.

/** A number as a record has it: zigzag, in as few bytes as it takes. */
export function zigzag(value: number | bigint): Buffer {
  const given = BigInt(value);
  let left = given >= 0n ? given * 2n : -given * 2n - 1n;
  const bytes: number[] = [];
  for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  bytes.push(Number(left));
  return Buffer.from(bytes);
}

/** A record; each length may say something else than is true. */
export interface WireRecord {
  readonly value?: string;
  readonly key?: string;
  readonly offsetDelta?: number;
  readonly timestampDelta?: number | bigint;
  readonly keyLength?: number;
  readonly valueLength?: number;
  /** Names and values as they stand there, with their lengths. */
  readonly headers?: Uint8Array;
  readonly headerCount?: number;
  /** Added to what its length says. */
  readonly longer?: number;
}

export function recordBytes(record: WireRecord): Buffer {
  const { value = '', key = 'k', offsetDelta = 0, timestampDelta = 0, headers = new Uint8Array(), longer = 0 } = record;
  const body = Buffer.concat([
    Buffer.of(0),
    zigzag(timestampDelta),
    zigzag(offsetDelta),
    zigzag(record.keyLength ?? Buffer.byteLength(key)),
    Buffer.from(key),
    zigzag(record.valueLength ?? Buffer.byteLength(value)),
    Buffer.from(value),
    zigzag(record.headerCount ?? 0),
    headers,
  ]);
  return Buffer.concat([zigzag(body.length + longer), body]);
}

/** A header, with its lengths. */
export function headerBytes(name: string | Uint8Array, value: string | null): Buffer {
  const bytes = Buffer.from(name as string);
  const content = value === null ? zigzag(-1) : Buffer.concat([zigzag(Buffer.byteLength(value)), Buffer.from(value)]);
  return Buffer.concat([zigzag(bytes.length), bytes, content]);
}

/** A batch says this of itself, and it is not true. */
export interface WireBatch {
  readonly count?: number;
  readonly lastOffsetDelta?: number;
  readonly magic?: number;
  readonly attributes?: number;
  readonly longer?: number;
  readonly wrongChecksum?: boolean;
  readonly maxTimestamp?: bigint;
}

/** A record batch of version 2 with `count` records, which `records` holds, perhaps packed. */
export function batchBytes(records: Uint8Array, batch: WireBatch = {}): Buffer {
  const { count = 1, magic = 2, attributes = 0, longer = 0, wrongChecksum = false } = batch;
  const now = BigInt(Date.now());
  const summed = Buffer.concat([
    int16(attributes),
    int32(batch.lastOffsetDelta ?? count - 1),
    int64(now),
    int64(batch.maxTimestamp ?? now),
    int64(-1n),
    int16(-1),
    int32(-1),
    int32(count),
    records,
  ]);
  const checksum = int32(crc32c(summed) ^ (wrongChecksum ? 1 : 0));
  const body = Buffer.concat([int32(-1), Buffer.of(magic), checksum, summed]);
  return Buffer.concat([int64(0n), int32(body.length + longer), body]);
}

function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
}

function crc32c(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc;
}
