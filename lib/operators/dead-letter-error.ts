import { cutText } from '../core/cut-text.js';
import { isSluiceError } from '../core/errors.js';
import { MOST_TOLD, tellError } from '../core/told-error.js';
import type { DeadLetter } from './dead-letter.js';

/** What a dead letter says of its error. @internal */
export interface LetterError {
  readonly name: string;
  readonly message: string;
  readonly causes: readonly string[];
  /** Empty where there is none. */
  readonly stack: string;
}

const MOST_NAME_BYTES = 256;
// Causes and stack together, for a message of no bytes, and for each byte that it has: else a producer of tiny messages that
// fail would have a dead-letter topic filled hundreds of times as fast as it writes.
const LEAST_BYTES = 512;
const BYTES_PER_BYTE = 4;

/** `atLength`: with causes and stack. Whatever was thrown, this does not fail. @internal */
export function toldOf(letter: DeadLetter, atLength: boolean): LetterError {
  try {
    return tell(letter, atLength);
  } catch {
    // A Proxy that was revoked, or one whose traps throw.
    return { name: 'unknown', message: 'Something was thrown that cannot be read.', causes: [], stack: '' };
  }
}

function tell({ delivery, reason }: DeadLetter, atLength: boolean): LetterError {
  const { name, message, causes, stack } = tellError(reason);
  const { session } = delivery.epoch;
  const room = LEAST_BYTES + BYTES_PER_BYTE * session.shape.bytes(delivery.root.ref);
  const told = atLength ? cutLines(causes, Math.min(room, MOST_TOLD.messageBytes)) : [];
  const left = room - bytesOf(told);
  return {
    name: cutText(name, MOST_NAME_BYTES),
    message,
    causes: told,
    stack: atLength && !saysAll(reason) && left > 0 ? cutText(stack, Math.min(left, MOST_TOLD.stackBytes)) : '',
  };
}

/** An error of ours names the cause and the place in its message; its stack has our own functions alone. */
function saysAll(reason: unknown): boolean {
  return isSluiceError(reason) && reason.code !== 'failed';
}

function cutLines(lines: readonly string[], maxBytes: number): string[] {
  const cut: string[] = [];
  let left = maxBytes;
  for (const line of lines) {
    if (left <= 0) break;
    const text = cutText(line, left);
    cut.push(text);
    left -= bytesOf([text]) + 1;
  }
  return cut;
}

function bytesOf(lines: readonly string[]): number {
  return new TextEncoder().encode(lines.join('\n')).length;
}
