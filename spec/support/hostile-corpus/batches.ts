import { gzipSync } from 'node:zlib';
import { batchBytes, headerBytes, recordBytes, zigzag, type WireBatch, type WireRecord } from '../kafka-batch-wire.js';
import { CANARY, goodValue, type CorpusEntry, type Fate } from './entry.js';

const REFUSED: Fate = 'refused by the broker';
const MOST = 2 ** 31 - 1;
const GZIP = 1;

const value = goodValue(CANARY);
const record = (more: WireRecord = {}): Buffer => recordBytes({ value, ...more });
const withHeaders = (...all: readonly Uint8Array[]): Buffer =>
  record({ headers: Buffer.concat(all), headerCount: all.length });

/** Batches that lie of themselves. */
const BATCHES: Readonly<Record<string, () => Uint8Array>> = {
  'with a wrong checksum': () => batchBytes(record(), { wrongChecksum: true }),
  'that says it is longer': () => batchBytes(record(), { longer: 100 }),
  'that says it is shorter': () => batchBytes(record(), { longer: -10 }),
  'that says it has 2 GB': () => batchBytes(record(), { longer: MOST - 1_000 }),
  'of a version to come': () => batchBytes(record(), { magic: 3 }),
  'of a codec to come': () => batchBytes(record(), { attributes: 7 }),
  'of a control record': () => batchBytes(record(), { attributes: 0x20 }),
  'that says it is gzip': () => batchBytes(record(), { attributes: GZIP }),
  'of gzip that is cut off': () => batchBytes(gzipSync(record()).subarray(0, -12), { attributes: GZIP }),
};

/**
 * Records that lie, or of which the batch does. A broker looks at each record that is not packed. Of packed ones it reads lengths alone, and
 * the fate beside them is what becomes of those that it lets in.
 */
const RECORDS: Readonly<
  Record<string, readonly [records: () => Buffer, batch?: WireBatch, packed?: Fate, plain?: Fate]>
> = {
  'with more records': [record, { count: 2 }],
  'with 2 ** 31 records': [record, { count: MOST }],
  'with no record, and it has one': [record, { count: 0 }],
  'with fewer records than none': [record, { count: -5 }],
  'with more offsets than records': [record, { lastOffsetDelta: 1_000 }],
  'with fewer records than it has': [() => Buffer.concat([record(), record({ offsetDelta: 1 })])],
  'with two records of one offset': [() => Buffer.concat([record(), record()]), { count: 2 }, REFUSED, 'done'],
  'with bytes behind its records': [() => Buffer.concat([record(), Buffer.alloc(100, 1)])],
  // The length of a packed record is looked at by no broker (4.1). kafkajs takes it for true where it is less.
  'whose record says it is longer': [() => record({ longer: 50 }), {}, 'done'],
  'whose record says it is shorter': [() => record({ longer: -5 }), {}, 'letter SluiceError'],
  'whose record is below 0': [() => record({ longer: -10_000 }), {}, 'letter SluiceError'],
  'whose key ends behind the end': [() => record({ keyLength: 10_000 })],
  'whose value ends behind the end': [() => record({ valueLength: 10_000 })],
  'whose value is below nothing': [() => record({ valueLength: -5 })],
  'with 2 ** 31 headers': [() => record({ headerCount: MOST })],
  'with fewer headers than none': [() => record({ headerCount: -1 })],
  'with a header that has no name': [() => withHeaders(Buffer.concat([zigzag(-1), zigzag(0)]))],
  'with a name that ends behind the end': [() => withHeaders(Buffer.concat([zigzag(1_000), zigzag(0)]))],
  'that is true': [record, {}, 'done', 'done'],
  'with a header that is null': [() => withHeaders(headerBytes('h', null)), {}, 'done', 'done'],
  'with a name that is no UTF-8': [
    () => withHeaders(headerBytes(Uint8Array.of(0xff, 0xfe), CANARY)),
    {},
    'done',
    'done',
  ],
  'with a name of nothing': [() => withHeaders(headerBytes('', CANARY)), {}, 'done', 'done'],
  'with a name three times': [
    () => withHeaders(...['1', '2', '3'].map((each) => headerBytes('h', each))),
    {},
    'done',
    'done',
  ],
};

/** Record batches of Kafka that no producer would write, sent to the broker as they are. */
export function batches(): CorpusEntry[] {
  const plain = Object.entries(RECORDS).map(([name, [records, batch = {}, , fate = REFUSED]]) =>
    entryOf(name, fate, () => batchBytes(records(), batch)),
  );
  const packed = Object.entries(RECORDS).map(([name, [records, batch = {}, fate = REFUSED]]) =>
    entryOf(`of gzip ${name}`, fate, () => batchBytes(gzipSync(records()), { attributes: GZIP, ...batch })),
  );
  return [...Object.entries(BATCHES).map(([name, make]) => entryOf(name, REFUSED, make)), ...plain, ...packed];
}

function entryOf(name: string, fate: Fate, make: () => Uint8Array): CorpusEntry {
  return { name: `a batch ${name}`, fate, raw: 'kafka', make };
}
