const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const MINUS = 0x2d;
const POINT = 0x2e;
const FIRST_PRINTABLE = 0x20;

const ESCAPED = bytesOf('"\\/bfnrt');
const UNICODE = 0x75;
const WORDS = ['true', 'false', 'null'].map(bytesOf);

/** What may come next: a value, the first one of an array or its end, the same of names, a name, a colon, or what ends a value. */
type Next = 'value' | 'item or end' | 'name or end' | 'name' | 'colon' | 'end of value';

/**
 * Where bytes stop being JSON (RFC 8259): the index of the first byte that cannot be where it is, or their number where more
 * would have to come; `null` where they are JSON. Of UTF-8, which is checked before.
 *
 * Engines say the place in their messages alone, in words of their own beside a piece of the text, which could say another place.
 * This is for messages that have failed already. It does not call itself, so that no depth ends it.
 * @internal
 */
export function jsonFault(bytes: Uint8Array): number | null {
  const closers: number[] = [];
  let next: Next = 'value';
  let at = pastSpace(bytes, pastMark(bytes));
  while (at < bytes.length) {
    const byte = bytes[at] as number;
    const closer = closers.at(-1);
    let end: number;
    if (closer === byte && (next === 'item or end' || next === 'name or end' || next === 'end of value')) {
      closers.pop();
      [end, next] = [at + 1, 'end of value'];
    } else if (next === 'end of value') {
      if (closer === undefined || byte !== COMMA) return at;
      [end, next] = [at + 1, closer === CLOSE_OBJECT ? 'name' : 'value'];
    } else if (next === 'colon') {
      if (byte !== COLON) return at;
      [end, next] = [at + 1, 'value'];
    } else if (next === 'name' || next === 'name or end') {
      if (byte !== QUOTE) return at;
      [end, next] = [pastString(bytes, at), 'colon'];
    } else if (byte === OPEN_ARRAY) {
      closers.push(CLOSE_ARRAY);
      [end, next] = [at + 1, 'item or end'];
    } else if (byte === OPEN_OBJECT) {
      closers.push(CLOSE_OBJECT);
      [end, next] = [at + 1, 'name or end'];
    } else [end, next] = [pastScalar(bytes, at, byte), 'end of value'];
    if (end < 0) return ~end;
    at = pastSpace(bytes, end);
  }
  return next === 'end of value' && closers.length === 0 ? null : bytes.length;
}

// These give the index behind what they read or, where it is at fault, the complement of that place: below zero.

function pastScalar(bytes: Uint8Array, from: number, byte: number): number {
  if (byte === QUOTE) return pastString(bytes, from);
  const word = WORDS.find(([first]) => first === byte);
  return word === undefined ? pastNumber(bytes, from) : pastWord(bytes, from, word);
}

function pastWord(bytes: Uint8Array, from: number, word: Uint8Array): number {
  const wrong = word.findIndex((byte, index) => bytes[from + index] !== byte);
  return wrong === -1 ? from + word.length : ~(from + wrong);
}

function pastString(bytes: Uint8Array, from: number): number {
  for (let at = from + 1; at < bytes.length; at++) {
    const byte = bytes[at] as number;
    if (byte === QUOTE) return at + 1;
    if (byte < FIRST_PRINTABLE) return ~at;
    if (byte !== BACKSLASH) continue;
    const escaped = bytes[++at];
    if (escaped === UNICODE) for (let digits = 0; digits < 4; digits++) if (!isHex(bytes[++at])) return ~at;
    if (escaped !== UNICODE && (escaped === undefined || !ESCAPED.includes(escaped))) return ~at;
  }
  return ~bytes.length;
}

function pastNumber(bytes: Uint8Array, from: number): number {
  let at = bytes[from] === MINUS ? from + 1 : from;
  // None but 0 itself begins with it.
  const whole = bytes[at] === 0x30 ? at + 1 : pastDigits(bytes, at);
  if (whole === at) return ~at;
  at = whole;
  if (bytes[at] === POINT) {
    const end = pastDigits(bytes, at + 1);
    if (end === at + 1) return ~end;
    at = end;
  }
  if (bytes[at] === 0x65 || bytes[at] === 0x45) {
    const first = bytes[at + 1] === MINUS || bytes[at + 1] === 0x2b ? at + 2 : at + 1;
    const end = pastDigits(bytes, first);
    if (end === first) return ~end;
    at = end;
  }
  return at;
}

function pastDigits(bytes: Uint8Array, from: number): number {
  let at = from;
  while (isDigit(bytes[at])) at++;
  return at;
}

function pastSpace(bytes: Uint8Array, from: number): number {
  let at = from;
  while (bytes[at] === 0x20 || bytes[at] === 0x0a || bytes[at] === 0x0d || bytes[at] === 0x09) at++;
  return at;
}

/** Behind the mark of UTF-8 that may stand at the beginning, and is no part of the text. */
function pastMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}

function isHex(byte: number | undefined): boolean {
  return isDigit(byte) || (byte !== undefined && ((byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)));
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
