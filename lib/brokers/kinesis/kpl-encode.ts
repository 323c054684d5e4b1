import type { KinesisEntryLike } from './kinesis-client.js';
import { AGGREGATE, isMarked, MARK, RECORD } from './kpl-format.js';
import { DIGEST_BYTES, md5 } from './md5.js';

/** @internal */
export interface AggregatorOptions {
  /** How much a record may weigh as Kinesis counts it, data and key, in bytes. */
  readonly maxBytes: number;
}

/** Gathers messages for one record. @internal */
export interface Aggregator {
  /** How many messages it has. */
  readonly count: number;
  /** What `finish` would give now, data and key, in bytes; 0 without a message. */
  readonly bytes: number;
  /**
   * Takes a message in. `false`, and nothing is changed, where the record would pass `maxBytes`, or where the message has
   * another route than those before it: `finish`, and add it to the next. If it is refused as the first, it fits nowhere.
   */
  add(key: string, data: Uint8Array, explicitHashKey?: string): boolean;
  /** The record, and begins the next; `null` without a message. */
  finish(): KinesisEntryLike | null;
}

interface Member {
  readonly keyIndex: number;
  readonly data: Uint8Array;
  /** Of its fields. */
  readonly bytes: number;
}

const utf8 = new TextEncoder();
const FRAME_BYTES = MARK.length + DIGEST_BYTES;

/**
 * The messages of a record come in the order in which they were added, and all of them have one *route*: the explicit hash
 * key that they share, whatever their keys, or without one the key itself. So the record belongs where each of its messages
 * does, also after any split and merge: no shard need be known, no message is out of place (the KCL would lose it), and
 * what keeps the order of the records of a route keeps that of its messages.
 *
 * Where keys have few messages each, an explicit hash key shared by many of them fills records: `hashKeyOf(key)` with all
 * but its first 8 bits cleared is one of 256. Then all messages of the stream must go that way, also those sent alone, or
 * a key is in two shards.
 *
 * A message that is alone goes as it is, except if a reader would take it for an aggregate.
 * @internal
 */
export function createAggregator({ maxBytes }: AggregatorOptions): Aggregator {
  let keys = new Map<string, number>();
  let keyBytes: Uint8Array[] = [];
  let members: Member[] = [];
  let route: { readonly key: string; readonly hashKey: string | undefined } | null = null;
  let protobufBytes = 0;
  let bytes = 0;

  return {
    get count() {
      return members.length;
    },
    get bytes() {
      return bytes;
    },

    add: (key, data, hashKey) => {
      if (route !== null && (hashKey !== route.hashKey || (hashKey === undefined && key !== route.key))) return false;
      let more = 0;
      let keyIndex = keys.get(key);
      let encoded: Uint8Array | null = null;
      if (keyIndex === undefined) {
        keyIndex = keys.size;
        encoded = utf8.encode(key);
        more += fieldBytes(encoded.length);
      }
      // The table of explicit hash keys has one entry, and its index is 0.
      if (route === null && hashKey !== undefined) more += fieldBytes(hashKey.length);
      const memberBytes = 1 + varintBytes(keyIndex) + (hashKey === undefined ? 0 : 2) + fieldBytes(data.length);
      more += fieldBytes(memberBytes);

      const isAlone = route === null && !isMarked(data);
      const ownKey = (keyBytes[0] ?? encoded) as Uint8Array;
      const then = ownKey.length + (isAlone ? data.length : FRAME_BYTES + protobufBytes + more);
      if (then > maxBytes) return false;

      if (encoded !== null) {
        keys.set(key, keyIndex);
        keyBytes.push(encoded);
      }
      route ??= { key, hashKey };
      members.push({ keyIndex, data, bytes: memberBytes });
      protobufBytes += more;
      bytes = then;
      return true;
    },

    finish: () => {
      const [first] = members;
      if (first === undefined || route === null) return null;
      const { key, hashKey } = route;
      const isAlone = members.length === 1 && !isMarked(first.data);
      const entry = {
        Data: isAlone ? first.data : encode(keyBytes, hashKey, members, FRAME_BYTES + protobufBytes),
        PartitionKey: key,
        ...(hashKey === undefined ? {} : { ExplicitHashKey: hashKey }),
      };
      keys = new Map();
      keyBytes = [];
      members = [];
      route = null;
      protobufBytes = bytes = 0;
      return entry;
    },
  };
}

function encode(
  keys: readonly Uint8Array[],
  hashKey: string | undefined,
  members: readonly Member[],
  length: number,
): Uint8Array {
  const out = new Uint8Array(length);
  out.set(MARK);
  let at = MARK.length;
  const varint = (value: number): void => {
    let left = value;
    for (; left >= 0x80; left = Math.floor(left / 0x80)) out[at++] = (left % 0x80) | 0x80;
    out[at++] = left;
  };
  const field = (tag: number, content: Uint8Array): void => {
    out[at++] = tag;
    varint(content.length);
    out.set(content, at);
    at += content.length;
  };

  for (const key of keys) field(AGGREGATE.partitionKey, key);
  if (hashKey !== undefined) field(AGGREGATE.explicitHashKey, utf8.encode(hashKey));
  for (const member of members) {
    out[at++] = AGGREGATE.record;
    varint(member.bytes);
    out[at++] = RECORD.partitionKeyIndex;
    varint(member.keyIndex);
    if (hashKey !== undefined) {
      out[at++] = RECORD.explicitHashKeyIndex;
      varint(0);
    }
    field(RECORD.data, member.data);
  }
  const digest = md5(new DataView(out.buffer), MARK.length, at);
  out.set(new Uint8Array(digest.buffer), at);
  return out;
}

// Its tag is one byte: no number of a field here passes 15.
function fieldBytes(length: number): number {
  return 1 + varintBytes(length) + length;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let left = value; left >= 0x80; left = Math.floor(left / 0x80)) bytes++;
  return bytes;
}
