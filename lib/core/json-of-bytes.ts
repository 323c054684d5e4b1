/** What bytes are, as JSON can hold them. @internal */
export type JsonEncoding = 'json' | 'text' | 'base64' | 'none';

/** A piece of JSON that holds bytes. @internal */
export interface JsonPiece {
  /** The text of a JSON value. */
  readonly json: string;
  readonly encoding: JsonEncoding;
}

/**
 * Bytes as a piece of JSON: JSON as its own text, other text as a string, other bytes as `{ "base64": … }`, `null` as `null`.
 *
 * The text of JSON is taken over as it is, never parsed and written again: that would change a number that a double cannot hold, lose the
 * first of two members of one name, and end in a stack overflow where it is nested deeply, which a parser minds less.
 * @internal
 */
export function jsonPieceOf(bytes: Uint8Array | null): JsonPiece {
  if (bytes === null) return { json: 'null', encoding: 'none' };
  const text = textOrBase64(bytes);
  if (typeof text !== 'string') return { json: JSON.stringify(text), encoding: 'base64' };
  return isJson(text) ? { json: text, encoding: 'json' } : { json: JSON.stringify(text), encoding: 'text' };
}

/** Text as text, byte for byte; other bytes as base64. @internal */
export function textOrBase64(bytes: Uint8Array): string | { readonly base64: string } {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return { base64: base64Of(bytes) };
  }
}

/** @internal */
export function base64Of(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
