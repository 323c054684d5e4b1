import { digestsWithin, isWithin, parseHashKey, type HashRange } from './hash-key.js';
import type { KinesisRecordLike } from './kinesis-client.js';
import type { KinesisRecord } from './kinesis-record.js';
import { AGGREGATE, isMarked, MARK, RECORD } from './kpl-format.js';
import { DIGEST_BYTES, md5 } from './md5.js';
import { ProtobufReader } from './protobuf-reader.js';

const NO_DATA = new Uint8Array(0);
// What the KPL gives each of its aggregates as their key; it routes them by the first message in them.
const KPL_KEY = 'a';

// With `ignoreBOM` a mark at the start stays part of the text.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What stands in an aggregate beside its messages. */
interface Tables {
  readonly keys: string[];
  /** Where the keys stand. */
  readonly keysFrom: number[];
  readonly keysTo: number[];
  readonly hashKeys: string[];
  /** How many messages there are. */
  readonly messages: number;
  /** Whether there is no message, but something that we do not know. */
  readonly isForeign: boolean;
}

/**
 * An aggregate of so many messages that they are not to be made all at once: 1 MiB of them may be 174,000, and take a fifth of a
 * second and 50 MB. It is sound: all of it was looked through.
 * @internal
 */
export interface LongAggregate {
  /** The next messages, `most` of them at most. */
  next(most: number): readonly KinesisRecord[];
  /** Nothing is left. */
  readonly isDone: boolean;
}

/** How many messages are made at once. @internal */
export const MESSAGES_AT_ONCE = 5_000;

/** A message in it: indexes and places, -1 for none. */
interface Part {
  key: number;
  hashKey: number;
  from: number;
  to: number;
}

type Belongs = (part: Part) => boolean;

/**
 * The messages in a record: those that it aggregates, else the record itself. A record that is no aggregate, or not a sound
 * one (cut off, altered, an index or a length that lies, a key that is no UTF-8), is one message as it is: this never
 * throws and loses nothing. An aggregate of no messages gives none, and is done with. The messages are views of the
 * record's bytes, so each of them holds all of these.
 *
 * `range` is that of the shard; with `null` everything belongs there, as in a stream that ignores keys. It matters to the
 * aggregates of the KPL itself alone. Those hold what belonged to one shard; where that shard was split before they were
 * stored, the KPL sends what is out of place again, to the sibling, so that is left out here. All others are kept whole:
 * most aggregators know of no shards, and none of them sends anything again. See docs/decisions/0027.
 * @internal
 */
export function deaggregate(record: KinesisRecordLike, range: HashRange | null): readonly KinesisRecord[] {
  const messages = takeApart(record, range);
  return 'next' in messages ? messages.next(Infinity) : messages;
}

/** The same, but for a record of very many messages, which gives them part by part. @internal */
export function takeApart(
  record: KinesisRecordLike,
  range: HashRange | null,
): readonly KinesisRecord[] | LongAggregate {
  const whole: KinesisRecord = {
    // Kinesis gives each record one; only the types of its client know of records without.
    sequenceNumber: record.SequenceNumber as string,
    subSequenceNumber: null,
    key: record.PartitionKey ?? null,
    data: record.Data ?? NO_DATA,
    arrivedAt: record.ApproximateArrivalTimestamp?.getTime() ?? 0,
  };
  return messagesIn(whole, range) ?? [whole];
}

function messagesIn(whole: KinesisRecord, range: HashRange | null): KinesisRecord[] | LongAggregate | null {
  const { data } = whole;
  const end = data.length - DIGEST_BYTES;
  if (end <= MARK.length || !isMarked(data)) return null;
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  if (!isSealed(view, end)) return null;
  const tables = readTables(data, end);
  if (tables === null || tables.isForeign) return null;
  const walk = createWalk(whole, view, end, tables, range);
  if (tables.messages > MESSAGES_AT_ONCE) return isSound(data, end, tables) ? longAggregate(walk) : null;
  const messages: KinesisRecord[] = [];
  return walk.on(messages, Infinity) ? messages : null;
}

function longAggregate(walk: Walk): LongAggregate {
  return {
    next: (most) => {
      const messages: KinesisRecord[] = [];
      walk.on(messages, most);
      return messages;
    },
    get isDone() {
      return walk.isDone;
    },
  };
}

function isSealed(view: DataView, end: number): boolean {
  const digest = md5(view, MARK.length, end);
  for (let at = 0; at < DIGEST_BYTES; at += 4) {
    if (digest.getInt32(at) !== view.getInt32(end + at)) return false;
  }
  return true;
}

// A pass of its own: nothing says that the tables stand before the messages.
function readTables(data: Uint8Array, end: number): Tables | null {
  const keys: string[] = [];
  const keysFrom: number[] = [];
  const keysTo: number[] = [];
  const hashKeys: string[] = [];
  const reader = new ProtobufReader(data, MARK.length);
  let others = 0;
  let messages = 0;
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag === AGGREGATE.record) {
      if (!reader.skip(tag, end)) return null;
      messages++;
    } else if (tag === AGGREGATE.partitionKey || tag === AGGREGATE.explicitHashKey) {
      const to = reader.until(end);
      const text = to === -1 ? null : readText(data, reader.at, to);
      if (text === null) return null;
      if (tag === AGGREGATE.partitionKey) {
        keys.push(text);
        keysFrom.push(reader.at);
        keysTo.push(to);
      } else hashKeys.push(text);
      reader.at = to;
    } else {
      if (tag < AGGREGATE.unknown || !reader.skip(tag, end)) return null;
      others++;
    }
  }
  return { keys, keysFrom, keysTo, hashKeys, messages, isForeign: messages === 0 && others > 0 };
}

function readText(data: Uint8Array, from: number, to: number): string | null {
  try {
    return utf8.decode(new Uint8Array(data.buffer, data.byteOffset + from, to - from));
  } catch {
    return null;
  }
}

/** Goes through the messages of an aggregate. */
interface Walk {
  /** Makes `most` of them at most; `false` where one is not sound. */
  on(into: KinesisRecord[], most: number): boolean;
  readonly isDone: boolean;
}

function createWalk(whole: KinesisRecord, view: DataView, end: number, tables: Tables, range: HashRange | null): Walk {
  const { sequenceNumber, data, arrivedAt } = whole;
  const reader = new ProtobufReader(data, MARK.length);
  const part: Part = { key: -1, hashKey: -1, from: -1, to: -1 };
  let belongs: Belongs | null = null;
  let index = 0;
  return {
    get isDone() {
      return reader.at >= end;
    },
    on: (into, most) => {
      let left = most;
      while (reader.at < end && left > 0) {
        const tag = reader.tag(end);
        if (tag !== AGGREGATE.record) {
          reader.skip(tag, end);
          continue;
        }
        left--;
        const key = readMessage(reader, end, part, tables);
        if (key === undefined) return false;
        if (index === 0 && range !== null && whole.key === KPL_KEY && key !== KPL_KEY) {
          belongs = belongingTo(range, view, tables);
          // It is not here by its first message, so the KPL did not send it.
          if (!belongs(part)) belongs = null;
        }
        if (belongs === null || belongs(part)) {
          into.push({
            sequenceNumber,
            subSequenceNumber: index,
            key,
            data: new Uint8Array(data.buffer, data.byteOffset + part.from, part.to - part.from),
            arrivedAt,
          });
        }
        index++;
      }
      return true;
    },
  };
}

/** Whether all of its messages are, without making them. */
function isSound(data: Uint8Array, end: number, tables: Tables): boolean {
  const reader = new ProtobufReader(data, MARK.length);
  const part: Part = { key: -1, hashKey: -1, from: -1, to: -1 };
  while (reader.at < end) {
    const tag = reader.tag(end);
    if (tag !== AGGREGATE.record) reader.skip(tag, end);
    else if (readMessage(reader, end, part, tables) === undefined) return false;
  }
  return true;
}

/** Its key; `undefined` where it is not sound. */
function readMessage(reader: ProtobufReader, end: number, part: Part, { keys, hashKeys }: Tables): string | undefined {
  if (!readPart(reader, reader.until(end), part)) return undefined;
  // An index of -1 stands for none: `keys` has nothing there, and a record needs no hash key.
  return part.hashKey >= hashKeys.length ? undefined : keys[part.key];
}

function readPart(reader: ProtobufReader, until: number, part: Part): boolean {
  part.key = part.hashKey = part.from = part.to = -1;
  while (reader.at < until) {
    const tag = reader.tag(until);
    switch (tag) {
      case RECORD.partitionKeyIndex:
        part.key = reader.varint(until);
        if (part.key === -1) return false;
        break;
      case RECORD.explicitHashKeyIndex:
        part.hashKey = reader.varint(until);
        if (part.hashKey === -1) return false;
        break;
      case RECORD.data:
        part.to = reader.until(until);
        if (part.to === -1) return false;
        part.from = reader.at;
        reader.at = part.to;
        break;
      default:
        if ((tag < RECORD.unknown && tag !== RECORD.tag) || !reader.skip(tag, until)) return false;
    }
  }
  return part.from !== -1;
}

// Few keys have many messages: each is hashed once.
function belongingTo(range: HashRange, view: DataView, { keysFrom, keysTo, hashKeys }: Tables): Belongs {
  const digest = new DataView(new ArrayBuffer(DIGEST_BYTES));
  const byKey: (boolean | undefined)[] = [];
  const byHashKey: (boolean | undefined)[] = [];
  const isDigestWithin = digestsWithin(range);
  const isKeyWithin = (key: number): boolean => isDigestWithin(md5(view, keysFrom[key], keysTo[key], digest));
  // What is no hash key can be nowhere else.
  const isHashKeyWithin = (text: string | undefined): boolean => {
    const hashKey = parseHashKey(text);
    return hashKey === null || isWithin(range, hashKey);
  };
  return ({ key, hashKey }) =>
    hashKey === -1 ? (byKey[key] ??= isKeyWithin(key)) : (byHashKey[hashKey] ??= isHashKeyWithin(hashKeys[hashKey]));
}
