/** Bytes as JSON can hold them: JSON as itself, other text as text, other bytes as base64. @internal */
export function jsonOfBytes(bytes: Uint8Array | null): unknown {
  const text = bytes === null ? null : textOrBase64(bytes);
  if (typeof text !== 'string') return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Text as text, other bytes as base64. @internal */
export function textOrBase64(bytes: Uint8Array): string | { readonly base64: string } {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return { base64: base64Of(bytes) };
  }
}

function base64Of(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
