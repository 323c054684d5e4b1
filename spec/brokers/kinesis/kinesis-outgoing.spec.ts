import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { encodeMessage, type EncodeOptions } from '../../../lib/brokers/kinesis/kinesis-outgoing.js';
import { isSluiceError } from '../../../lib/core/errors.js';
import type { Message } from '../../../lib/core/message.js';

const MAX = 1_000;
const encode = (message: Partial<Message>, options: Partial<EncodeOptions> = {}) =>
  encodeMessage(
    { value: 'v', ...message },
    { partitionKey: undefined, hashKey: undefined, headers: 'drop', maxRecordBytes: MAX, ...options },
  );
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** Code and message of what is refused. */
function refusal(message: object, options: Partial<EncodeOptions> = {}): string {
  try {
    encode(message, options);
  } catch (error) {
    if (isSluiceError(error)) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error('nothing was refused');
}

describe('a key', () => {
  it('is the partition key: text as it is, bytes that are UTF-8 as text', () => {
    for (const key of ['a', 'ü 鍵 😀', '\ufeffbom', ' ', '0'.repeat(256), '😀'.repeat(256)]) {
      expect(encode({ key }, { maxRecordBytes: 2_000 })).toMatchObject({ key, keyless: false });
      expect(encode({ key: utf8(key) }, { maxRecordBytes: 2_000 })).toMatchObject({ key, keyless: false });
    }
  });

  it.each([
    [
      'bytes that are no UTF-8',
      Uint8Array.of(0xc3, 0x28),
      'these bytes are no UTF-8; partitionKey can make text of them',
    ],
    ['empty text', '', 'a key must not be empty'],
    ['no bytes', new Uint8Array(0), 'a key must not be empty'],
    ['257 characters', 'x'.repeat(257), 'a key has at most 256 characters'],
    ['257 characters of two units', '😀'.repeat(257), 'a key has at most 256 characters'],
    ['a number', 5, 'a key must be text, bytes or null, not a number'],
  ])('of %s is refused', (_, key, why) => {
    expect(refusal({ key })).toMatch(/^invalid-key: kinesisPublisher: /);
    expect(refusal({ key })).toContain(why);
  });

  it('has U+FFFD for half of a surrogate pair, as its UTF-8 has', () => {
    for (const key of ['\ud800', 'a\udfffb', '😀\ud83d']) {
      const expected = text(utf8(key));
      expect(encode({ key }).key).toBe(expected);
      expect(encode({}, { partitionKey: () => key }).key).toBe(expected);
    }
  });

  it("that is missing is made up, another each time, and nobody's order", () => {
    const made = Array.from({ length: 1_000 }, () => encode({ key: null }));
    expect(new Set(made.map(({ key }) => key)).size).toBe(1_000);
    for (const { key, keyless } of made)
      expect([keyless, key]).toEqual([true, expect.stringMatching(/^[0-9a-z]{11}$/)]);
    expect(encode({}).keyless).toBe(true);
  });

  it('is what partitionKey gives, for messages whose own cannot be one too', () => {
    const partitionKey = ({ key }: Message) =>
      key instanceof Uint8Array ? Buffer.from(key).toString('hex') : undefined;
    expect(encode({ key: Uint8Array.of(0xff, 0) }, { partitionKey })).toMatchObject({ key: 'ff00', keyless: false });
    expect(encode({ key: 'text' }, { partitionKey })).toMatchObject({ keyless: true });
    expect(refusal({ key: 'k' }, { partitionKey: () => '' })).toBe(
      'invalid-key: kinesisPublisher: a key must not be empty.',
    );
    expect(refusal({ key: 'k' }, { partitionKey: () => Promise.resolve('k') as never })).toContain('not a Promise');
  });

  it.each(['partitionKey', 'hashKey'] as const)('whose %s throws is refused, with the cause', (option) => {
    const mishap = new Error('mine');
    const fail = () => {
      throw mishap;
    };
    expect(refusal({ key: 'k' }, { [option]: fail })).toBe(`publish-failed: kinesisPublisher: ${option} threw.`);
    expect(() => encode({ key: 'k' }, { [option]: fail })).toThrow(expect.objectContaining({ cause: mishap }));
  });
});

describe('a hash key', () => {
  const MOST = 2n ** 128n - 1n;

  it('is a whole number of 128 bits in decimal', () => {
    for (const hashKey of ['0', '1', String(MOST)])
      expect(encode({}, { hashKey: () => hashKey }).hashKey).toBe(hashKey);
    expect(encode({}, { hashKey: () => undefined }).hashKey).toBeUndefined();
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 129n }), (number) => {
        const given = String(number);
        if (number <= MOST) expect(encode({}, { hashKey: () => given }).hashKey).toBe(given);
        else expect(refusal({}, { hashKey: () => given })).toMatch(/^invalid-key/);
      }),
    );
  });

  it.each([String(MOST + 1n), '-1', '00', '1.5', '0x10', '', ' 1', 5, null])('of %j is refused', (given) => {
    expect(refusal({}, { hashKey: () => given as never })).toBe(
      'invalid-key: kinesisPublisher: hashKey must give a whole number from 0 to 2 ** 128 - 1, in decimal, as text.',
    );
  });
});

describe('a value', () => {
  it('is stored as it is: bytes, and text as UTF-8', () => {
    const bytes = Uint8Array.of(0, 255, 254);
    expect(encode({ value: bytes }).data).toBe(bytes);
    expect(encode({ value: 'ü' }).data).toEqual(utf8('ü'));
    expect(encode({ value: '' }).data).toHaveLength(0);
  });

  it('that is a tombstone is refused, for Kinesis has none', () => {
    expect(refusal({ value: null })).toBe(
      "publish-failed: kinesisPublisher: Kinesis has no tombstones: a value must be bytes or text, or take headers: 'json'.",
    );
  });

  it.each<[unknown, string]>([
    [5, 'a number'],
    [undefined, 'undefined'],
    [{}, 'an object'],
    [['a'], 'an array'],
  ])('of %j is refused', (value, kind) => {
    expect(refusal({ value })).toBe(`publish-failed: kinesisPublisher: a value must be bytes or text, not ${kind}.`);
  });

  it('and its key, in UTF-8, have at most maxRecordBytes', () => {
    expect(encode({ key: 'ü', value: 'x'.repeat(MAX - 2) }).bytes).toBe(MAX);
    expect(refusal({ key: 'ü', value: 'x'.repeat(MAX - 1) })).toBe(
      'publish-failed: kinesisPublisher: 1001 bytes are more than maxRecordBytes, 1000.',
    );
    expect(refusal({ value: 'x'.repeat(MAX - 10) })).toContain('1001 bytes');
  });
});

describe('what a record has no place for', () => {
  it('is refused where it was given for this message: a partition, a time', () => {
    expect(refusal({ partition: 0 })).toBe(
      'publish-failed: kinesisPublisher: a shard has no number, so no partition can be given; hashKey chooses one.',
    );
    expect(refusal({ timestamp: 1 })).toBe(
      'publish-failed: kinesisPublisher: Kinesis gives each record its time itself, so none can be given.',
    );
  });

  it('is left out or stored with the value where it is headers', () => {
    const headers = {
      text: 'ü',
      bytes: utf8('b'),
      binary: Uint8Array.of(255),
      twice: ['1', Uint8Array.of(254)],
      none: undefined,
    };
    expect(text(encode({ value: 'v', headers }).data)).toBe('v');
    expect(JSON.parse(text(encode({ value: '{"a":1}', headers }, { headers: 'json' }).data))).toEqual({
      headers: { text: 'ü', bytes: 'b', binary: { base64: '/w==' }, twice: ['1', { base64: '/g==' }] },
      value: { a: 1 },
    });
  });

  it.each([
    ['text', 'no JSON', 'no JSON'],
    ['JSON', '[1]', [1]],
    ['bytes', Uint8Array.of(255), { base64: '/w==' }],
    ['a tombstone', null, null],
    ['nothing', '', ''],
  ])('by json stores %s', (_, value, stored) => {
    expect(JSON.parse(text(encode({ value }, { headers: 'json' }).data))).toEqual({ headers: {}, value: stored });
  });

  it.each(['{"id":12345678901234567890,"a":1,"a":2}', '['.repeat(20_000) + ']'.repeat(20_000)])(
    'by json changes nothing of JSON: %.30s',
    (value) => {
      expect(text(encode({ value }, { headers: 'json', maxRecordBytes: 100_000 }).data)).toBe(
        `{"headers":{},"value":${value}}`,
      );
    },
  );

  it('by json counts as a whole against maxRecordBytes, and wants headers that are some', () => {
    expect(refusal({ key: 'k', value: 'x'.repeat(MAX - 10) }, { headers: 'json' })).toContain(
      'are more than maxRecordBytes',
    );
    expect(refusal({ headers: { a: 1 } }, { headers: 'json' })).toContain(
      'a header must be bytes or text, not a number',
    );
    expect(refusal({ headers: new Map([['a', 'b']]) }, { headers: 'json' })).toContain('not Map');
    const headers = JSON.parse('{"__proto__":"p"}') as Record<string, string>;
    expect(text(encode({ headers }, { headers: 'json' }).data)).toBe('{"headers":{"__proto__":"p"},"value":"v"}');
  });
});
