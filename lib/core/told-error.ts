import { cutText } from './cut-text.js';
import { errorClass } from './error-class.js';
import { isSluiceError, systemText } from './errors.js';
import { isError } from './is-error.js';
import { kindOf } from './kind-of.js';
import { readSafely } from './read-safely.js';
import { safeWord } from './safe-word.js';
import { withoutSecrets } from './without-secrets.js';

/** The text of a failure that is kept where a message ends up: in a dead letter, in a row of an outbox. @internal */
export interface ToldError {
  /** The name of its class, at most 64 characters. */
  readonly name: string;
  readonly message: string;
  /** Empty where there is none. */
  readonly stack: string;
  /** The errors behind it, the nearest first, one line each: class and code, and the message where that may be told. */
  readonly causes: readonly string[];
}

/** The most UTF-8 that each takes. @internal */
export const MOST_TOLD = { messageBytes: 1_024, stackBytes: 4_096 } as const;

const MAX_DEPTH = 8;
const MAX_CAUSES = 16;
// More than is told, and little enough to be searched.
const MAX_READ_BYTES = 8_192;
// Data exceptions of SQL databases quote the value.
const DATA_EXCEPTION = /^22[0-9A-Z]{3}$/;

/**
 * Tells an error: its own message and those of its causes, the members of an `AggregateError` included. Whatever it is, this must not
 * fail: getters may throw, a stack may be no text, a cause may be its own cause.
 *
 * Errors that are not ours are told as they are, but for credentials. Behind one of ours stands an error of a client or a server,
 * whose message may quote the message's content: of that class and code are told, and a system error by its parts.
 * @internal
 */
export function tellError(given: unknown): ToldError {
  const reason = unwrapped(given);
  const { name, message } = ownTextOf(reason);
  const stack = isError(reason) ? readSafely(reason, 'stack') : undefined;
  return {
    name,
    message: cutText(message, MOST_TOLD.messageBytes),
    stack: typeof stack === 'string' ? cutText(safeText(reason, stack), MOST_TOLD.stackBytes) : '',
    causes: causesOf(reason),
  };
}

/** The same as one text, at most so long. @internal */
export function errorText(given: unknown, maxBytes: number): string {
  const reason = unwrapped(given);
  const { message, causes } = tellError(reason);
  const own = isSluiceError(reason) ? message : lineOf(reason, message);
  return cutText([own, ...causes].join('\n'), maxBytes);
}

/** Ours says only that something was wrapped to be marked: what it was is told in its place. */
function unwrapped(reason: unknown): unknown {
  return isSluiceError(reason) && reason.code === 'failed' ? reason.cause : reason;
}

function causesOf(reason: unknown): string[] {
  const seen = new Set<unknown>([reason]);
  const lines: string[] = [];
  let last = isError(reason) ? readSafely(reason, 'message') : reason;
  const tell = (error: unknown, depth: number, ofOurs: boolean): void => {
    const behindOurs = ofOurs || isSluiceError(error);
    for (const cause of behind(error)) {
      if (depth >= MAX_DEPTH || lines.length >= MAX_CAUSES || seen.has(cause)) return;
      seen.add(cause);
      const message = isError(cause) ? readSafely(cause, 'message') : cause;
      // People who wrap an error often say the same again.
      if (message !== last) lines.push(lineOf(cause, behindOurs ? ownWordsOf(cause) : ownTextOf(cause).message));
      last = message;
      tell(cause, depth + 1, behindOurs);
    }
  };
  tell(reason, 0, false);
  return lines;
}

function behind(error: unknown): unknown[] {
  if (!isError(error)) return [];
  const cause = readSafely(error, 'cause');
  const members = membersOf(readSafely(error, 'errors'));
  return (cause === undefined || cause === null ? members : [cause, ...members]).map(unwrapped);
}

function membersOf(errors: unknown): unknown[] {
  try {
    return Array.isArray(errors) ? errors.slice(0, MAX_CAUSES).filter(isError) : [];
  } catch {
    return [];
  }
}

/** Our own words of what stands behind an error of ours; empty where we have none. */
function ownWordsOf(cause: unknown): string {
  if (isSluiceError(cause)) return cause.message;
  return (isError(cause) ? systemText(cause) : undefined) ?? '';
}

function lineOf(error: unknown, message: string): string {
  const code = codeOf(error);
  const head = [ownTextOf(error).name, ...(code === '' || code === message ? [] : [code])].join(' ');
  return cutText(message === '' ? head : `${head}: ${message}`, MOST_TOLD.messageBytes);
}

function ownTextOf(reason: unknown): { readonly name: string; readonly message: string } {
  if (!isError(reason)) return { name: reason === undefined ? 'none' : typeof reason, message: plainText(reason) };
  const message = readSafely(reason, 'message');
  // That of several tries to connect has none.
  const text = message === '' ? codeOf(reason) : message;
  const told = typeof text === 'string' ? safeText(reason, text) : plainText(text);
  return { name: errorClass(reason), message: told };
}

function plainText(reason: unknown): string {
  if (reason === undefined) return 'nacked without a reason';
  if (typeof reason === 'string') return withoutSecrets(cutText(reason, MAX_READ_BYTES));
  const plain = reason === null || typeof reason === 'number' || typeof reason === 'boolean';
  return plain ? String(reason) : kindOf(reason);
}

function safeText(error: unknown, text: string): string {
  const safe = withoutSecrets(cutText(text, MAX_READ_BYTES));
  return DATA_EXCEPTION.test(codeOf(error)) ? safe.replace(/"[^"]*"/g, '"…"') : safe;
}

function codeOf(error: unknown): string {
  const code = isError(error) && !isOfDom(error) ? readSafely(error, 'code') : undefined;
  return typeof code === 'number' ? String(code) : (safeWord(code) ?? '');
}

// Its number is a relic: 23 for a TimeoutError.
function isOfDom(error: Error): boolean {
  return readSafely(readSafely(error, 'constructor'), 'name') === 'DOMException';
}
