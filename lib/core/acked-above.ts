/**
 * Acks above a watermark as text, kept beside it: the next owner does not run them again. A mark, the form, and base64 of
 * either a bitmap or run lengths, whichever is shorter.
 */
const MARK = 'rxsluice:1';
// A run length may say anything: what is read of it is held in memory.
const MOST_DECODED = 250_000;

/** Distances from the watermark (sorted, from 0) in at most so many characters; what does not fit comes again. @internal */
export function encodeAcked(distances: readonly number[], mostCharacters: number): string {
  if (distances.length === 0) return '';
  const mostBytes = Math.floor((mostCharacters - MARK.length - 3) / 4) * 3;
  const bits = bitmapOf(distances, mostBytes);
  const runs = runsOf(distances, mostBytes);
  const form = bits.covers >= runs.covers && (bits.covers > runs.covers || bits.bytes.length <= runs.bytes.length);
  const best = form ? bits : runs;
  return `${MARK}:${form ? 'b' : 'r'}:${btoa(String.fromCharCode(...best.bytes))}`;
}

/** The distances that `encodeAcked` wrote, 250,000 at most; any other text has none. @internal */
export function decodeAcked(text: string | null | undefined): Set<number> {
  const acked = new Set<number>();
  if (text === null || text === undefined || !text.startsWith(`${MARK}:`)) return acked;
  const form = text[MARK.length + 1];
  const bytes = bytesOf(text.slice(MARK.length + 3));
  if (form === 'b') {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      if ((((bytes[bit >> 3] as number) >> (bit & 7)) & 1) === 1) acked.add(bit);
    }
  } else if (form === 'r') {
    const numbers = readNumbers(bytes);
    let at = 0;
    for (let i = 0; i + 1 < numbers.length; i += 2) {
      at += numbers[i] as number;
      for (let left = numbers[i + 1] as number; left > 0 && acked.size < MOST_DECODED; left--) acked.add(at++);
    }
  }
  return acked;
}

function bytesOf(base64: string): Uint8Array {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    return new Uint8Array();
  }
}

interface Encoded {
  readonly bytes: Uint8Array;
  /** How many of the distances are in it. */
  readonly covers: number;
}

function bitmapOf(distances: readonly number[], mostBytes: number): Encoded {
  const last = Math.min(distances.at(-1) as number, mostBytes * 8 - 1);
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
function runsOf(distances: readonly number[], mostBytes: number): Encoded {
  const bytes: number[] = [];
  let covers = 0;
  let end = 0;
  for (let i = 0; i < distances.length;) {
    const start = distances[i] as number;
    let length = 1;
    while (distances[i + length] === start + length) length++;
    const pair = [...numberOf(start - end), ...numberOf(length)];
    if (bytes.length + pair.length > mostBytes) break;
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
