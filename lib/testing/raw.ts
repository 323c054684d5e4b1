import { isBytes } from '../core/is-bytes.js';
import type { MessageBytes, MessageHeaders } from '../core/message.js';

// What was published and what came back may differ in form (text, bytes, a Buffer), and are compared as bytes.

function bytesOf(value: MessageBytes): Uint8Array | null {
  return typeof value === 'string' ? new TextEncoder().encode(value) : value;
}

/** @internal */
export function textOf(value: MessageBytes): string {
  return typeof value === 'string' ? value : value === null ? 'null' : new TextDecoder().decode(value);
}

/** @internal */
export function sameBytes(left: MessageBytes, right: MessageBytes): boolean {
  const [a, b] = [bytesOf(left), bytesOf(right)];
  if (a === null || b === null) return a === b;
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

/** Bytes to be read in a failure. @internal */
export function show(value: MessageBytes | undefined): string {
  if (value === undefined) return 'nothing';
  const bytes = bytesOf(value);
  if (bytes === null) return 'null';
  const text = textOf(bytes);
  if (text.length <= 80 && /^[\x20-\x7e]*$/.test(text)) return `'${text}'`;
  const start = [...bytes.subarray(0, 8)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `${bytes.length} bytes (${start}${bytes.length > 8 ? ' …' : ''})`;
}

/** One header's values as they were sent. @internal */
export function headerValues(headers: MessageHeaders, name: string): MessageBytes[] {
  const value = headers[name];
  if (value === undefined) return [];
  return typeof value === 'string' || isBytes(value) ? [value] : [...value];
}

/** What is wrong with the headers that came back, or `null`. @internal */
export function headersDiffer(sent: MessageHeaders, came: MessageHeaders): string | null {
  for (const name of Object.keys(sent)) {
    const [wanted, found] = [headerValues(sent, name), headerValues(came, name)];
    if (wanted.length !== found.length || wanted.some((value, index) => !sameBytes(value, found[index] ?? null))) {
      return `header ${name} was sent as ${wanted.map(show).join(', ')} and came as ${found.map(show).join(', ') || 'nothing'}`;
    }
  }
  return null;
}
