const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/**
 * FNV-1a over UTF-16 units or bytes, finished so that the low bits are good: a signed 32-bit number, which needs no box.
 * @internal
 */
export function hashOf(key: string | Uint8Array): number {
  let hash = FNV_OFFSET;
  if (typeof key === 'string') {
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), FNV_PRIME);
  } else {
    for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ (key[i] as number), FNV_PRIME);
  }
  return hash ^ (hash >>> 15);
}
