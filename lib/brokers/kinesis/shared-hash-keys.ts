import { checkOptions } from '../../core/options.js';
import type { Message } from '../../core/message.js';
import { hashKeyOf } from './hash-key.js';

const HASH_KEYS = 2n ** 128n;
const MOST = 65_536;

/**
 * A `hashKey` for `kinesisPublisher` with `aggregate`: gives all partition keys of one of `count` ranges of equal size the
 * same hash key, so that many keys with few messages each fill records too. Each key keeps its order, and its shard until
 * the stream is resharded.
 *
 * ```ts
 * kinesisPublisher(client, { stream: 'clicks', aggregate: true, hashKey: sharedHashKeys(256) })
 * ```
 *
 * Take many more ranges than the stream has shards: a range is in one shard. Whoever else publishes these keys to the
 * stream must route them alike, since near the bounds of a shard a key goes to another one than by itself. `count`: a whole
 * number, 1 to 65,536.
 * @public
 */
export function sharedHashKeys(count: number): (message: Message, partitionKey: string) => string {
  checkOptions('sharedHashKeys', { count }, { count: { required: true, integer: true, min: 1, max: MOST } });
  const ranges = BigInt(count);
  const firstOf = Array.from({ length: count }, (_, range) =>
    String((BigInt(range) * HASH_KEYS + ranges - 1n) / ranges),
  );
  return (_, partitionKey) => firstOf[Number((hashKeyOf(partitionKey) * ranges) / HASH_KEYS)] as string;
}
