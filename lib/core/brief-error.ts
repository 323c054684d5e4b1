import { cutText } from './cut-text.js';
import { isSluiceError, nameOf } from './errors.js';
import { isError } from './is-error.js';
import { safeWord } from './safe-word.js';
import { whereThrown } from './where-thrown.js';

const MOST_BYTES = 1_024;
const MAX_CAUSES = 3;
const UNREADABLE = 'an error that cannot be read';

/**
 * The words of a process warning for an error, without a full stop: its class and code and those of its causes, our own words,
 * the place in the user's code. Never the text that somebody threw: it may quote a message.
 * @internal
 */
export function briefError(error: unknown, withPlace = true): string {
  if (error === undefined) return 'nacked without a reason';
  try {
    const own = isWrapped(error) ? error.cause : error;
    const place = withPlace && !isSluiceError(own) ? whereThrown(own) : '';
    const head = `${plain(own)}${place === '' ? '' : ` at ${place}`}`;
    return cutText([head, ...causesOf(own)].join(', because of '), MOST_BYTES);
  } catch {
    // A getter of it throws.
    return UNREADABLE;
  }
}

/** Class and code alone: what failures of one kind have in common. @internal */
export function kindOfError(error: unknown): string {
  if (error === undefined) return 'no reason';
  try {
    const own = isWrapped(error) ? error.cause : error;
    const kind = typeof own;
    if (!isError(own)) return `what is no Error (${kind})`;
    const { name, code } = own as { name?: unknown; code?: unknown };
    return [safeWord(name), typeof code === 'number' ? code : safeWord(code)]
      .filter((word) => word !== undefined)
      .join(' ');
  } catch {
    return UNREADABLE;
  }
}

// A wrapper stands for something that was marked and could bear no mark: its text is that of what was thrown.
function isWrapped(error: unknown): error is { readonly cause?: unknown } {
  return isSluiceError(error) && error.code === 'failed';
}

// Our own errors say in their message what of their cause may be told.
function causesOf(error: unknown): readonly string[] {
  const told: string[] = [];
  for (let next = causeOf(error); next !== undefined && told.length < MAX_CAUSES; next = causeOf(next))
    told.push(plain(next));
  return told;
}

function causeOf(error: unknown): unknown {
  const cause = isError(error) && !isSluiceError(error) ? error.cause : undefined;
  return isError(cause) ? cause : undefined;
}

function plain(error: unknown): string {
  return nameOf(error).replace(/\.$/, '');
}
