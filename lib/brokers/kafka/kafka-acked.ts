import * as above from '../../core/acked-above.js';

// What a broker takes as metadata by default: `offset.metadata.max.bytes`.
const MOST_CHARACTERS = 4_096;

/** The offsets (sorted, all at or above `committed`) as metadata of the commit; what does not fit comes again. @internal */
export function encodeAcked(committed: bigint, acked: readonly bigint[]): string {
  return above.encodeAcked(
    acked.map((offset) => Number(offset - committed)),
    MOST_CHARACTERS,
  );
}

/** The offsets that `encodeAcked` wrote, 250,000 at most; anything else has none. @internal */
export function decodeAcked(committed: bigint, metadata: string | null | undefined): Set<string> {
  return new Set(Array.from(above.decodeAcked(metadata), (distance) => String(committed + BigInt(distance))));
}
