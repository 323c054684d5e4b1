import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { deaggregate } from '../../../lib/brokers/kinesis/kpl-decode.js';
import { aggregateByAws } from '../../support/aws-kinesis-agg.js';
import { entry, field, hashKeyEntry, keyEntry, numberField, seal, sealed, varint } from '../../support/kpl-wire.js';
import { randomSeed } from '../../support/seed.js';

const seed = randomSeed();

const SequenceNumber = '49590338271490256608559692538361571095921575989136588898';
const arrivedAt = 1_764_000_000_123;
const ApproximateArrivalTimestamp = new Date(arrivedAt);

// An aggregate by aws-kinesis-agg 4.2.8.
const BY_AWS =
  'f3899ac20a066c6973626f610a0a73c3a36f207061756c6f1227313730313431313833343630343639323331373331363837333033373135' +
  '3838343130353732381a0708001a036f6e651a09080110001a0374776f1a0708001a0300ff8091c7e8d111402bce41b2aa5abf3af97d';

const recordOf = (Data: Uint8Array) => ({ SequenceNumber, Data, PartitionKey: 'outer', ApproximateArrivalTimestamp });
const read = (Data: Uint8Array) => deaggregate(recordOf(Data), null);
const told = (Data: Uint8Array) =>
  read(Data).map(({ subSequenceNumber, key, data }) => [subSequenceNumber, key, Buffer.from(data).toString()]);
const wholeOf = (data: Uint8Array) => [
  { sequenceNumber: SequenceNumber, subSequenceNumber: null, key: 'outer', data, arrivedAt },
];

describe('deaggregate: a record that is no aggregate', () => {
  it('is one message, its bytes untouched', () => {
    const data = Buffer.from('{"city":"lisboa"}');
    const [message, ...more] = read(data);
    expect(more).toEqual([]);
    expect(message).toEqual({ sequenceNumber: SequenceNumber, subSequenceNumber: null, key: 'outer', data, arrivedAt });
    expect(message?.data).toBe(data);
  });

  it('may lack what the types of the client let it lack', () => {
    const bare = { SequenceNumber, Data: undefined };
    expect(deaggregate(bare, null)).toEqual([
      { sequenceNumber: SequenceNumber, subSequenceNumber: null, key: null, data: new Uint8Array(0), arrivedAt: 0 },
    ]);
  });
});

describe(`deaggregate: an aggregate (seed ${seed})`, () => {
  it("is read as aws-kinesis-agg wrote it: keys, order, bytes, the record's position and time", () => {
    const common = { sequenceNumber: SequenceNumber, arrivedAt };
    const messages = read(new Uint8Array(Buffer.from(BY_AWS, 'hex')));
    expect(messages.map((message) => ({ ...message, data: Buffer.from(message.data).toString('latin1') }))).toEqual([
      { ...common, subSequenceNumber: 0, key: 'lisboa', data: 'one' },
      { ...common, subSequenceNumber: 1, key: 'são paulo', data: 'two' },
      { ...common, subSequenceNumber: 2, key: 'lisboa', data: '\x00\xff\x80' },
    ]);
  });

  it('is read as aws-kinesis-agg writes it, whatever its messages', () => {
    const message = fc.record({
      partitionKey: fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }).filter((key) => key in {} === false),
      data: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      explicitHashKey: fc.bigInt({ min: 1n, max: 2n ** 128n - 1n }).map(String),
    });
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 40 }), fc.boolean(), (made, withHashKeys) => {
        const messages = withHashKeys ? made : made.map(({ partitionKey, data }) => ({ partitionKey, data }));
        // Theirs orders keys that look like numbers apart from their indexes.
        fc.pre(messages.every(({ partitionKey }) => !/^\d+$/.test(partitionKey)));
        fc.pre(!withHashKeys || new Set(made.map((each) => each.explicitHashKey)).size === made.length);
        expect(read(aggregateByAws(messages)).map(({ key, data }) => [key, Buffer.from(data)])).toEqual(
          messages.map(({ partitionKey, data }) => [partitionKey, data]),
        );
      }),
      { seed, numRuns: 300 },
    );
  });

  it('gives views of its bytes, wherever these stand in memory', () => {
    const bytes = sealed(keyEntry('k'), entry(0, 'first'), entry(0, ''), entry(0, 'third'));
    const pooled = new Uint8Array(bytes.length + 100).subarray(37, 37 + bytes.length);
    pooled.set(bytes);
    const messages = read(pooled);
    expect(messages.map(({ data }) => Buffer.from(data).toString())).toEqual(['first', '', 'third']);
    expect(messages.every(({ data }) => data.buffer === pooled.buffer)).toBe(true);
  });

  it('is read in any order of its fields, past those that are unknown, and past tags', () => {
    const tags = field(4, [...field(1, 'name'), ...field(2, 'value')]);
    const unknown = [
      ...numberField(5, 2n ** 64n - 1n),
      ...[6 * 8 + 1, 1, 2, 3, 4, 5, 6, 7, 8],
      ...field(7, 'text'),
      ...[8 * 8 + 5, 1, 2, 3, 4],
      ...[...varint((2 ** 29 - 1) * 8), 1],
    ];
    const data = sealed(
      unknown,
      entry(1, 'one', { more: tags }),
      keyEntry('a'),
      field(3, [...field(3, 'two'), ...unknown, ...numberField(1, 0)]),
      keyEntry('b'),
      unknown,
    );
    expect(told(data)).toEqual([
      [0, 'b', 'one'],
      [1, 'a', 'two'],
    ]);
  });

  it('takes the last of what is written twice, and numbers in more bytes than they need, as protobuf has it', () => {
    const data = sealed(
      keyEntry('a'),
      keyEntry('b'),
      field(3, [...numberField(1, 0), ...field(3, 'first'), ...varint(8, 5), ...varint(1, 10), ...field(3, 'last')]),
    );
    expect(told(data)).toEqual([[0, 'b', 'last']]);
  });

  it('keeps a byte order mark in a key', () => {
    expect(told(sealed(keyEntry('\ufeffkey'), entry(0, 'x')))).toEqual([[0, '\ufeffkey', 'x']]);
  });

  it('of no messages gives none', () => {
    expect(read(sealed(keyEntry('a'), hashKeyEntry('1')))).toEqual([]);
  });
});

describe('deaggregate: what is no sound aggregate is one message as it is', () => {
  const sound = sealed(keyEntry('a'), hashKeyEntry('1'), entry(0, 'one', { hashKey: 0 }), entry(0, 'two'));
  const altered = (change: (bytes: Uint8Array) => void): Uint8Array => {
    const bytes = sound.slice();
    change(bytes);
    return bytes;
  };
  const inside = (...more: readonly number[]): Uint8Array => sealed(keyEntry('a'), entry(0, 'fine'), more);
  const message = (...fields: readonly number[]): Uint8Array => inside(...field(3, fields));
  const key = numberField(1, 0);
  const text = field(3, 'x');

  it('but the sound one that these are made of is read', () => {
    expect(told(sound)).toHaveLength(2);
    expect(told(message(...key, ...text))).toHaveLength(2);
  });

  it.each<[string, Uint8Array]>([
    ['nothing but the mark', sound.slice(0, 4)],
    ['less than the mark', sound.slice(0, 3)],
    ['no protobuf between mark and MD5', sealed()],
    ['another mark', altered((bytes) => void (bytes[3] = 0xc3))],
    ['another MD5', altered((bytes) => void (bytes[bytes.length - 1]! ^= 1))],
    ['an MD5 with another first byte', altered((bytes) => void (bytes[bytes.length - 16]! ^= 1))],
    ['altered bytes', altered((bytes) => void (bytes[20]! ^= 1))],
    ['a cut off end', sound.slice(0, -1)],
    ['a byte too many', new Uint8Array([...sound, 0])],
    ['a message that is longer than what is left', inside(0x1a, 5, ...key, ...[0x1a, 1])],
    ['a key that is longer than what is left', inside(0x0a, 2, 0x61)],
    ['a hash key that is longer than what is left', inside(0x12, 100)],
    ['data that is longer than its message', message(...key, 0x1a, 9, 0x78)],
    [
      'data that is longer than its message, not than the aggregate',
      inside(...[0x1a, 5, ...key, 0x1a, 9, 0x78], ...Array<number>(20).fill(0)),
    ],
    ['a length of 2 ** 32', inside(0x1a, ...varint(2n ** 32n))],
    ['a length of 2 ** 64 - 1', inside(0x1a, ...varint(2n ** 64n - 1n))],
    ['a length that is cut off', inside(0x1a, 0x80)],
    ['a length in eleven bytes', inside(0x1a, ...varint(0, 11))],
    ['a tag in eleven bytes', inside(...varint(8 * 9, 11), 0)],
    ['a tag of more than 32 bits', inside(...varint(2n ** 32n + 0x1an), 0)],
    ['a field 0', inside(0x02, 0)],
    ['a group', inside(8 * 5 + 3, 8 * 5 + 4)],
    ['a wire type that there is not', inside(8 * 5 + 6)],
    ['eight bytes that are cut off', inside(8 * 5 + 1, 1, 2, 3, 4, 5, 6, 7)],
    ['four bytes that are cut off', inside(8 * 5 + 5, 1, 2, 3)],
    ['unknown text that is cut off', inside(8 * 5 + 2, 1)],
    ['a key that is a number', inside(...numberField(1, 0))],
    ['a hash key that is eight bytes', inside(2 * 8 + 1, 0, 0, 0, 0, 0, 0, 0, 0)],
    ['a message that is four bytes', inside(3 * 8 + 5, 0, 0, 0, 0)],
    ['an index of a key that is text', message(...field(1, 'a'), ...text)],
    ['an index of a hash key that is text', message(...key, ...field(2, '1'), ...text)],
    ['data that is a number', message(...key, ...numberField(3, 1))],
    ['a tag that is a number', message(...key, ...text, ...numberField(4, 1))],
    ['a message without a key', message(...text)],
    ['a message without data', message(...key)],
    ['an empty message', message()],
    ['an index behind the keys', message(...numberField(1, 1), ...text)],
    ['an index of 2 ** 64 - 1', message(...numberField(1, 2n ** 64n - 1n), ...text)],
    ['an index that is cut off', message(...text, 0x08)],
    ['an index of a hash key behind them', message(...key, ...numberField(2, 0), ...text)],
    ['an index of a hash key that is cut off', message(...key, ...text, 0x10, 0xff)],
    ['an unknown field in a message that is cut off', message(...key, ...text, 8 * 9 + 2, 1)],
    ['a key that is no UTF-8', sealed(field(1, [0xc3, 0x28]), entry(0, 'x'))],
    ['a hash key that is no UTF-8', sealed(keyEntry('a'), field(2, [0xff]), entry(0, 'x'))],
    ['nothing but what we do not know', sealed(field(9, 'messages of a later version'))],
  ])('%s', (_, data) => {
    expect(read(data)).toEqual(wholeOf(data));
    expect(read(data)[0]?.data).toBe(data);
  });

  it('cut off anywhere, with an MD5 that fits: never half of its messages', () => {
    const protobuf = sound.slice(4, -16);
    const counts = new Set<number>();
    for (let length = 1; length < protobuf.length; length++) {
      const data = seal(protobuf.slice(0, length));
      const messages = read(data);
      if (messages[0]?.subSequenceNumber !== null) counts.add(messages.length);
      else expect(messages).toEqual(wholeOf(data));
    }
    // At the end of a field a shorter one is sound: both keys, and one message.
    expect([...counts]).toEqual([0, 1]);
  });
});
