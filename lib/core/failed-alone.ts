import { nameOf, SluiceError, type SluiceErrorCode } from './errors.js';
import { permanent } from './failures.js';

/**
 * The failure of a message whose calls failed again and again while those of others went well. Permanent: it was tried more often
 * than a retry would try it, and each further try would hold up others again.
 * @internal
 */
export function failedAlone(code: SluiceErrorCode, owner: string, id: string, cause: unknown): Error {
  const text =
    `${owner}: ${id} makes each call fail that it is in, while others go through: ${toldOf(cause)}. ` +
    'It is given up; look at its size, its key and its headers.';
  return permanent(new SluiceError(code, text, { cause, details: { id } }));
}

function toldOf(cause: unknown): string {
  try {
    return nameOf(cause).replace(/\.$/, '');
  } catch {
    return 'an error that cannot be read';
  }
}
