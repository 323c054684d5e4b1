import { SluiceError } from '../core/errors.js';
import { permanent } from '../core/failures.js';
import type { Codec } from './decode.js';

/** A codec for text in UTF-8; a tombstone is `null`. Other bytes are a permanent failure. @public */
export function text(): Codec<string | null> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  return (bytes) => {
    if (bytes === null) return null;
    try {
      return decoder.decode(bytes);
    } catch {
      throw permanent(new SluiceError('undecodable', `The value is ${bytes.length} bytes that are not UTF-8.`));
    }
  };
}
