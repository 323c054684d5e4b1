import { environment } from '../../lib/core/environment.js';
import { isSluiceError } from '../../lib/core/errors.js';
import type { TelemetryEvent } from '../../lib/core/telemetry.js';

/** The most bytes of a text of ours: the message of an error, or a warning that tells it. */
export const MOST_TEXT_BYTES = 4_096;

// What a user is given as it was thrown.
const THEIRS: readonly string[] = ['reason', 'error', 'cause'];

/**
 * All that an error of ours says: message, stack and details, and the same of those behind it that are ours too. What else stands
 * behind it is its owner's, and says nothing here.
 */
export function textsOfError(error: unknown): string[] {
  if (!isSluiceError(error)) return [];
  return [error.message, String(error.stack), JSON.stringify(error.details), ...textsOfError(error.cause)];
}

/** All that an event says in words of ours. */
export function textsOfEvent(event: TelemetryEvent): string[] {
  const own = Object.entries(event).filter(([name]) => !THEIRS.includes(name));
  const theirs = Object.entries(event).filter(([name]) => THEIRS.includes(name));
  return [JSON.stringify(Object.fromEntries(own)), ...theirs.flatMap(([, error]) => textsOfError(error))];
}

/** What is printed while `work` runs, the process warnings included. */
export async function printedBy(work: () => unknown): Promise<string[]> {
  const printed: string[] = [];
  const { warn } = environment;
  const [out, err] = [process.stdout.write, process.stderr.write];
  const note = (chunk: unknown): boolean => {
    printed.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array).toString());
    return true;
  };
  environment.warn = note;
  process.stdout.write = note;
  process.stderr.write = note;
  try {
    await work();
  } finally {
    environment.warn = warn;
    process.stdout.write = out;
    process.stderr.write = err;
  }
  return printed;
}
