import type { KinesisShardLike } from './kinesis-client.js';
import { md5 } from './md5.js';

/** The hash keys of a shard, both ends among them: 128 bits, unsigned. @internal */
export interface HashRange {
  readonly start: bigint;
  readonly end: bigint;
}

const HASH_KEYS = 2n ** 128n;

/** Where a record with this partition key, and no explicit hash key, belongs. @internal */
export function hashKeyOf(partitionKey: string): bigint {
  const { buffer, byteOffset, byteLength } = new TextEncoder().encode(partitionKey);
  return hashKeyOfDigest(md5(new DataView(buffer, byteOffset, byteLength)));
}

/** The digest of a partition key as a hash key. @internal */
export function hashKeyOfDigest(digest: DataView): bigint {
  return (digest.getBigUint64(0) << 64n) | digest.getBigUint64(8);
}

/** An explicit hash key, or an end of a range, from its decimal text; `null` for any other text. @internal */
export function parseHashKey(text: string | undefined): bigint | null {
  if (text === undefined || !/^\d{1,39}$/.test(text)) return null;
  const hashKey = BigInt(text);
  return hashKey < HASH_KEYS ? hashKey : null;
}

/** The range that a shard tells; `null` where it tells none. @internal */
export function hashRange(told: KinesisShardLike['HashKeyRange']): HashRange | null {
  const start = parseHashKey(told?.StartingHashKey);
  const end = parseHashKey(told?.EndingHashKey);
  return start === null || end === null ? null : { start, end };
}

/** @internal */
export function isWithin({ start, end }: HashRange, hashKey: bigint): boolean {
  return start <= hashKey && hashKey <= end;
}
