/** Where to go on in a shard, as it is kept in a lease. @internal */
export type Checkpoint =
  /** At its oldest record. */
  | { readonly kind: 'oldest' }
  /** Behind all that it has; never kept. */
  | { readonly kind: 'latest' }
  /** At its first record of this time or later: milliseconds since 1970. */
  | { readonly kind: 'time'; readonly ms: number }
  /** At this message. */
  | ({ readonly kind: 'at' } & Place)
  /** Behind this message. */
  | ({ readonly kind: 'after' } & Place)
  /** All of it is done, and nothing comes any more. */
  | { readonly kind: 'end' };

/** A message of a shard. @internal */
export interface Place {
  readonly sequenceNumber: string;
  /** `null` for a record that is a message by itself. */
  readonly subSequenceNumber: number | null;
}

// The names that KCL gives them.
const OLDEST = 'TRIM_HORIZON';
const LATEST = 'LATEST';
const TIME = 'AT_TIMESTAMP';
const END = 'SHARD_END';
// The nine digits of the pattern.
export const MOST_SUB = 999_999_999;
const TIMED = new RegExp(`^${TIME} (\\d{1,15})$`);
const PLACE = /^(AT|AFTER) (\d{1,129})(?:\/(\d{1,9}))?$/;

/** @internal */
export function encodeCheckpoint(checkpoint: Checkpoint): string {
  switch (checkpoint.kind) {
    case 'oldest':
      return OLDEST;
    case 'latest':
      return LATEST;
    case 'time':
      return `${TIME} ${checkpoint.ms}`;
    case 'end':
      return END;
    default: {
      const { kind, sequenceNumber, subSequenceNumber } = checkpoint;
      const sub = subSequenceNumber === null ? '' : `/${subSequenceNumber}`;
      return `${kind === 'at' ? 'AT' : 'AFTER'} ${sequenceNumber}${sub}`;
    }
  }
}

/** `null` for what no version of this library has written. @internal */
export function decodeCheckpoint(text: string): Checkpoint | null {
  if (text === OLDEST) return { kind: 'oldest' };
  if (text === END) return { kind: 'end' };
  const time = TIMED.exec(text);
  if (time !== null) return { kind: 'time', ms: Number(time[1]) };
  const place = PLACE.exec(text);
  if (place === null) return null;
  return {
    kind: place[1] === 'AT' ? 'at' : 'after',
    sequenceNumber: place[2] as string,
    subSequenceNumber: place[3] === undefined ? null : Number(place[3]),
  };
}

/** @internal */
export function isEnd(text: string): boolean {
  return text === END;
}

/** Whether nothing of the shard has been done yet. @internal */
export function isUntouched(text: string): boolean {
  const checkpoint = decodeCheckpoint(text);
  return checkpoint !== null && checkpoint.kind !== 'after' && checkpoint.kind !== 'end';
}

/** Whether it stands at a message or behind one. @internal */
export function isPlaced(checkpoint: Checkpoint): checkpoint is Extract<Checkpoint, Place> {
  return checkpoint.kind === 'at' || checkpoint.kind === 'after';
}

/** Whether a message comes before the checkpoint or is the last one that is done. @internal */
export function isDone(checkpoint: Checkpoint, place: Place): boolean {
  if (!isPlaced(checkpoint)) return false;
  if (checkpoint.sequenceNumber !== place.sequenceNumber) {
    return BigInt(place.sequenceNumber) < BigInt(checkpoint.sequenceNumber);
  }
  const [ours, theirs] = [checkpoint.subSequenceNumber ?? Infinity, place.subSequenceNumber ?? 0];
  return checkpoint.kind === 'after' ? theirs <= ours : checkpoint.subSequenceNumber !== null && theirs < ours;
}
