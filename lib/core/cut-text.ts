/** The beginning of a text: as many whole characters as take `maxBytes` of UTF-8 at most. @internal */
export function cutText(text: string, maxBytes: number): string {
  const bytes = new Uint8Array(maxBytes);
  const { written } = new TextEncoder().encodeInto(text, bytes);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(0, written));
}
