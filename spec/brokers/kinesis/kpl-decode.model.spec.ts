import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import type { KinesisRecord } from '../../../lib/brokers/kinesis/kinesis-record.js';
import { RECORD } from '../../../lib/brokers/kinesis/kpl-format.js';
import { deaggregateByAws } from '../../support/aws-kinesis-agg.js';
import { entry, field, hashKeyEntry, keyEntry, numberField, seal, varint } from '../../support/kpl-wire.js';
import { randomSeed } from '../../support/seed.js';

const RUNS = process.env['RXSLUICE_SOAK'] === '1' ? 300_000 : 6_000;
const seed = randomSeed();

// A message takes no less: a tag, a length, an index and data without a byte.
const SMALLEST_MESSAGE = 6;
const FRAME = 20;

const short = fc.string({ unit: 'binary', maxLength: 12 });
const hashKey = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map(String),
  fc.constantFrom('', '-1', 'x', '9'.repeat(200)),
);
const tag = fc.tuple(short, short).map(([key, value]) => field(4, [...field(1, key), ...field(2, value)]));
const unknown = fc.oneof(
  fc.tuple(fc.integer({ min: 5, max: 2 ** 29 - 1 }), short).map(([number, text]) => field(number, text)),
  fc
    .tuple(fc.integer({ min: 5, max: 40 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }))
    .map(([n, value]) => numberField(n, value)),
);
const data = fc.oneof(
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 100, maxLength: 300 }) },
);

/** A sound aggregate's protobuf. */
const protobuf = fc
  .record({
    keys: fc.array(short, { minLength: 1, maxLength: 6 }),
    hashKeys: fc.array(hashKey, { maxLength: 3 }),
    messages: fc.array(
      fc.record({ key: fc.nat(), hashKey: fc.nat(), data, more: fc.oneof(fc.constant([]), tag, unknown) }),
      { maxLength: 8 },
    ),
    unknown: fc.array(unknown, { maxLength: 2 }),
    tablesLast: fc.boolean(),
  })
  .map(({ keys, hashKeys, messages, unknown, tablesLast }) => {
    const tables = [...keys.flatMap(keyEntry), ...hashKeys.flatMap(hashKeyEntry)];
    const entries = messages.flatMap((message) =>
      entry(message.key % keys.length, [...message.data], {
        ...(hashKeys.length === 0 ? {} : { hashKey: message.hashKey % hashKeys.length }),
        more: message.more,
      }),
    );
    const bytes = [...(tablesLast ? [...entries, ...tables] : [...tables, ...entries]), ...unknown.flat()];
    return { bytes, count: messages.length };
  });

// Numbers that a length, an index or a tag should not be.
const lie = fc.oneof(
  fc.constantFrom(
    0n,
    1n,
    127n,
    128n,
    16_383n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 53n,
    2n ** 64n - 1n,
  ),
  fc.bigInt({ min: 0n, max: 300n }),
);

/** At a place some bits are flipped, some bytes taken out, others put in, and some from elsewhere copied. */
interface Damage {
  readonly at: number;
  readonly flip?: number;
  readonly out?: number;
  readonly put?: readonly number[];
  readonly copy?: readonly [from: number, count: number];
}

const place = fc.nat();
/** It happens before the sealing, so that the MD5 is right and the parser itself is attacked. */
const damage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ at: place, flip: fc.nat(7).map((bit) => 1 << bit) }),
  fc.record({ at: place, out: fc.constant(1), put: fc.tuple(fc.nat(255)) }),
  fc.record({ at: place, out: fc.constant(Infinity) }),
  fc.record({ at: place, put: fc.array(fc.nat(255), { maxLength: 12 }) }),
  fc.record({ at: place, out: fc.nat(12) }),
  fc.record({
    at: place,
    out: fc.nat(2),
    put: fc.tuple(lie, fc.integer({ min: 1, max: 12 })).map(([value, width]) => varint(value, width)),
  }),
  fc.record({ at: place, copy: fc.tuple(place, fc.nat(40)) }),
);

function harm(bytes: number[], { at, flip = 0, out = 0, put = [], copy: [from, count] = [0, 0] }: Damage): void {
  const index = at % (bytes.length + 1);
  if (index < bytes.length) bytes[index]! ^= flip;
  const start = from % (bytes.length + 1);
  bytes.splice(index, out, ...put, ...bytes.slice(start, start + count));
}

const record = (Data: Uint8Array) => ({ SequenceNumber: '4959', Data, PartitionKey: 'a' });
const LOW = { start: 0n, end: 2n ** 127n - 1n };

/** Either the record as it is, or messages that are views inside it. */
function expectSound(bytes: Uint8Array, messages: readonly KinesisRecord[]): void {
  if (messages[0]?.subSequenceNumber === null) {
    expect(messages).toHaveLength(1);
    expect(messages[0].data).toBe(bytes);
    return;
  }
  expect(messages.length * SMALLEST_MESSAGE).toBeLessThanOrEqual(Math.max(0, bytes.length - FRAME));
  let last = -1;
  let total = 0;
  for (const { subSequenceNumber, key, data } of messages) {
    expect(subSequenceNumber).toBeGreaterThan(last);
    last = subSequenceNumber as number;
    expect(typeof key).toBe('string');
    expect(data.buffer).toBe(bytes.buffer);
    expect(data.byteOffset).toBeGreaterThan(bytes.byteOffset + 3);
    expect(data.byteOffset + data.length).toBeLessThanOrEqual(bytes.byteOffset + bytes.length - 16);
    total += data.length;
  }
  expect(total).toBeLessThanOrEqual(bytes.length - FRAME);
}

describe(`deaggregate under attack (RXSLUICE_SEED=${seed}, ${RUNS} runs)`, () => {
  it('never throws, gives the record or what is inside of it, and what it gives protobufjs reads alike', () => {
    const seen = { whole: 0, empty: 0, messages: 0, compared: 0 };
    fc.assert(
      fc.property(protobuf, fc.array(damage, { maxLength: 4 }), ({ bytes: sound, count }, damages) => {
        const bytes = [...sound];
        for (const each of damages) harm(bytes, each);
        const sealed = seal(Uint8Array.from(bytes));
        const messages = deaggregate(record(sealed), null);
        expectSound(sealed, messages);
        expectSound(sealed, deaggregate(record(sealed), LOW));
        if (messages[0]?.subSequenceNumber === null) {
          seen.whole++;
          expect(damages.length === 0 && count > 0).toBe(false);
          return;
        }
        seen[messages.length === 0 ? 'empty' : 'messages']++;
        if (damages.length === 0) expect(messages).toHaveLength(count);
        // We do not look into tags; protobufjs does, and where their lengths lie it goes on in what is behind them.
        if (sealed.includes(RECORD.tag)) return;
        seen.compared++;
        expect(messages.map(({ key, data }) => [key, Buffer.from(data).toString('base64')])).toEqual(
          deaggregateByAws(sealed).map(({ PartitionKey, Data }) => [PartitionKey, Data]),
        );
      }),
      { seed, numRuns: RUNS, endOnFailure: true },
    );
    // Or it would prove nothing.
    for (const count of Object.values(seen)) expect(count).toBeGreaterThan(RUNS / 1_000);
  });

  it('takes what was damaged after it was sealed as it is', () => {
    fc.assert(
      fc.property(protobuf, damage, ({ bytes: sound }, one) => {
        const original = [...seal(Uint8Array.from(sound))];
        const bytes = [...original];
        harm(bytes, one);
        fc.pre(bytes.length !== original.length || bytes.some((byte, at) => byte !== original[at]));
        const damaged = Uint8Array.from(bytes);
        expect(deaggregate(record(damaged), null).map(({ data }) => data)).toEqual([damaged]);
      }),
      { seed, numRuns: RUNS / 3, endOnFailure: true },
    );
  });

  it.each<[string, number[], number]>([
    ['keys without a letter', [0x0a, 0], 0],
    ['messages without a byte', [0x1a, 4, 0x08, 0, 0x1a, 0], 1],
    ['unknown fields', [0x28, 0], 0],
    ['numbers that do not end', [0x80], 0],
  ])(
    'is done in time, and in memory, that goes with the bytes of a record of 4 MiB full of %s',
    (_, unit, messages) => {
      const fullOf = (size: number) => {
        const units = Math.floor((size - 30) / unit.length);
        const body = Buffer.alloc(units * unit.length, Buffer.from(unit));
        return { units, sealed: record(seal(Buffer.concat([Buffer.from(keyEntry('k')), body]))) };
      };
      const large = fullOf(4 * 1024 * 1024);
      const read = deaggregate(large.sealed, LOW);
      if (messages > 0) expect(read).toHaveLength(large.units);
      else expect(read.length).toBeLessThanOrEqual(1);
      // 16 times as long: what grows with the square of it takes 256 times as much.
      const small = fullOf(256 * 1024).sealed;
      const cpuOf = (sealed: typeof small): number => leastCpuOf(3, () => deaggregate(sealed, LOW));
      expect(cpuOf(large.sealed) / Math.max(cpuOf(small), 500)).toBeLessThan(16 * 6);
    },
  );

  it('allocates nothing for a length that lies', () => {
    const lies = [2n ** 31n - 1n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 64n - 1n].flatMap((length) => [
      seal(Uint8Array.from([...keyEntry('k'), 0x1a, ...varint(length)])),
      seal(Uint8Array.from([0x0a, ...varint(length)])),
      seal(Uint8Array.from([...keyEntry('k'), ...field(3, [0x08, 0, 0x1a, ...varint(length)])])),
    ]);
    const before = process.memoryUsage().arrayBuffers;
    for (let round = 0; round < 500; round++) {
      for (const bytes of lies) expect(deaggregate(record(bytes), null)[0]?.data).toBe(bytes);
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1024 * 1024);
  });
});

/** In microseconds, that of others on the machine left out. */
function leastCpuOf(rounds: number, work: () => unknown): number {
  let least = Infinity;
  for (let round = 0; round < rounds; round++) {
    const begun = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(begun);
    least = Math.min(least, user + system);
  }
  return least;
}
