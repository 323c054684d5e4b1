/**
 * Acks above the committed offset, kept in the metadata of the commit: the next owner does not run them again. Text,
 * since the broker takes text: a mark, the form, and base64 of either a bitmap or run lengths, whichever is shorter.
 */
const MARK = 'rxsluice:1';

/** What a broker takes as metadata by default: `offset.metadata.max.bytes`. */
const MOST_BYTES = 4_096;
const MOST_BASE64 = Math.floor((MOST_BYTES - MARK.length - 3) / 4) * 3;
// A run length may say anything: what is read of it is held in memory.
const MOST_DECODED = 250_000;

/** The offsets (sorted, all at or above `committed`) as metadata; what does not fit comes again. @internal */
export function encodeAcked(committed: bigint, acked: readonly bigint[]): string {
  if (acked.length === 0) return '';
  const distances = acked.map((offset) => Number(offset - committed));
  const bits = bitmapOf(distances);
  const runs = runsOf(distances);
  const form = bits.covers >= runs.covers && (bits.covers > runs.covers || bits.bytes.length <= runs.bytes.length);
  const best = form ? bits : runs;
  return `${MARK}:${form ? 'b' : 'r'}:${Buffer.from(best.bytes).toString('base64')}`;
}

/** The offsets that `encodeAcked` wrote, 250,000 at most; anything else has none. @internal */
export function decodeAcked(committed: bigint, metadata: string | null | undefined): Set<string> {
  const acked = new Set<string>();
  if (metadata === null || metadata === undefined || !metadata.startsWith(`${MARK}:`)) return acked;
  const form = metadata[MARK.length + 1];
  const bytes = Buffer.from(metadata.slice(MARK.length + 3), 'base64');
  const add = (distance: number): void => void acked.add(String(committed + BigInt(distance)));
  if (form === 'b') {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      if ((((bytes[bit >> 3] as number) >> (bit & 7)) & 1) === 1) add(bit);
    }
  } else if (form === 'r') {
    const numbers = readNumbers(bytes);
    let at = 0;
    for (let i = 0; i + 1 < numbers.length; i += 2) {
      at += numbers[i] as number;
      for (let left = numbers[i + 1] as number; left > 0 && acked.size < MOST_DECODED; left--) add(at++);
    }
  }
  return acked;
}

interface Encoded {
  readonly bytes: Uint8Array;
  /** How many of the offsets are in it. */
  readonly covers: number;
}

function bitmapOf(distances: readonly number[]): Encoded {
  const last = Math.min(distances.at(-1) as number, MOST_BASE64 * 8 - 1);
  const bytes = new Uint8Array((last >> 3) + 1);
  let covers = 0;
  for (const distance of distances) {
    if (distance > last) break;
    bytes[distance >> 3] = (bytes[distance >> 3] as number) | (1 << (distance & 7));
    covers++;
  }
  return { bytes, covers };
}

// Pairs of a gap and a length, as variable-length numbers.
function runsOf(distances: readonly number[]): Encoded {
  const bytes: number[] = [];
  let covers = 0;
  let end = 0;
  for (let i = 0; i < distances.length;) {
    const start = distances[i] as number;
    let length = 1;
    while (distances[i + length] === start + length) length++;
    const pair = [...numberOf(start - end), ...numberOf(length)];
    if (bytes.length + pair.length > MOST_BASE64) break;
    bytes.push(...pair);
    covers += length;
    end = start + length;
    i += length;
  }
  return { bytes: Uint8Array.from(bytes), covers };
}

function numberOf(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80) {
    bytes.push((left % 0x80) | 0x80);
    left = Math.floor(left / 0x80);
  }
  return [...bytes, left];
}

function readNumbers(bytes: Uint8Array): number[] {
  const numbers: number[] = [];
  let value = 0;
  let scale = 1;
  for (const byte of bytes) {
    value += (byte & 0x7f) * scale;
    scale *= 0x80;
    // Not written by us: what follows means nothing.
    if (!Number.isSafeInteger(value)) return [];
    if (byte >= 0x80) continue;
    numbers.push(value);
    value = 0;
    scale = 1;
  }
  return numbers;
}
