import { isError } from './is-error.js';
import { readSafely } from './read-safely.js';

const MAX_READ = 8_192;
const MAX_FRAMES = 16;
const FRAME = /^\s+at /;
// The file alone, without its folders: letters of no payload, and few of them.
const PLACE = /[/\\ (]([\w.@+~-]{1,80}:\d{1,7}:\d{1,7})\)?$/;
const FOREIGN = /node_modules|node:|\(native|<anonymous>/;

/**
 * The place in the user's code at which an error was made, as `billing.ts:12:9`; empty where it is not known.
 *
 * A warning must not show the text that somebody threw, and "Error" alone helps nobody. A stack begins with that text, so what is read
 * is only what follows the message, and only where the message still stands at the head of the stack.
 * @internal
 */
export function whereThrown(error: unknown): string {
  if (!isError(error)) return '';
  const [message, stack] = [readSafely(error, 'message'), readSafely(error, 'stack')];
  if (typeof message !== 'string' || typeof stack !== 'string') return '';
  for (const frame of framesOf(message, stack)) {
    if (!FRAME.test(frame)) return '';
    const place = FOREIGN.test(frame) ? null : PLACE.exec(frame);
    if (place?.[1] !== undefined) return place[1];
  }
  return '';
}

function framesOf(message: string, stack: string): readonly string[] {
  const start = stack.indexOf(message);
  // Somebody has changed the message since: nobody knows which lines of the stack are its text.
  if (start < 0 || (message === '' && !/^[\w.$[\] ]*\n/.test(stack))) return [];
  const end = start + message.length;
  return stack
    .slice(end, end + MAX_READ)
    .split('\n')
    .slice(1, 1 + MAX_FRAMES);
}
