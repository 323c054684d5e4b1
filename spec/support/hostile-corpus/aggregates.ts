import { createHash } from 'node:crypto';
import { entry, field, hashKeyEntry, keyEntry, numberField, seal, sealed, varint } from '../kpl-wire.js';
import { CANARY, goodValue, type CorpusEntry, type Fate } from './entry.js';

const WHOLE: Fate = 'letter SluiceError';
const good = (name: string): number[] => entry(0, goodValue(name));

/** Records that look like those of the KPL and lie: what is no sound aggregate is one message, as it is. */
const LYING: Readonly<Record<string, () => Uint8Array>> = {
  'the mark alone': () => Uint8Array.of(0xf3, 0x89, 0x9a, 0xc2),
  'the mark, and less than a digest': () => Uint8Array.of(0xf3, 0x89, 0x9a, 0xc2, ...new Uint8Array(15)),
  'a digest of something else': () => {
    const record = Uint8Array.from(sealed(keyEntry('a'), good(CANARY)));
    record[record.length - 1] = (record.at(-1) as number) ^ 1;
    return record;
  },
  'a message that ends behind the end': () => sealed(keyEntry('a'), [0x1a, 100, ...Buffer.from(CANARY)]),
  'a message of 2 GB': () => sealed(keyEntry('a'), [0x1a, ...varint(2 ** 31), ...Buffer.from(CANARY)]),
  'a message of 2 ** 63 bytes': () => sealed(keyEntry('a'), [0x1a, ...varint(2n ** 63n), ...Buffer.from(CANARY)]),
  'a length in eleven bytes': () => sealed(keyEntry('a'), [0x1a, ...varint(1, 11), 0]),
  'data that end behind their message': () => sealed(keyEntry('a'), field(3, [...numberField(1, 0), 0x1a, 50, 1])),
  'a message without data': () => sealed(keyEntry('a'), field(3, numberField(1, 0))),
  'a message without a key': () => sealed(keyEntry('a'), field(3, field(3, goodValue(CANARY)))),
  'a key that is not in the table': () => sealed(keyEntry('a'), entry(7, goodValue(CANARY))),
  'a key of 2 ** 53': () => sealed(keyEntry('a'), field(3, [...numberField(1, 2n ** 53n), ...field(3, 'x')])),
  'a hash key that is not in the table': () => sealed(keyEntry('a'), entry(0, goodValue(CANARY), { hashKey: 3 })),
  'a key that is no UTF-8': () => sealed(field(1, [0xff]), good(CANARY)),
  'a group, which nobody writes': () => sealed(keyEntry('a'), [0x1b, 0x1c], good(CANARY)),
  'a field of the wrong type': () => sealed(keyEntry('a'), numberField(3, 4_111)),
  'the number of no field': () => sealed(keyEntry('a'), [0x02, 0]),
  'bytes by chance': () => seal(createHash('sha512').update(CANARY).digest()),
};

/** Records of Kinesis that no producer of ours would write. */
export function aggregates(flood: number): CorpusEntry[] {
  const raw = 'kinesis';
  return [
    ...Object.entries(LYING).map(([name, make]): CorpusEntry => ({
      name: `an aggregate: ${name}`,
      fate: WHOLE,
      raw,
      make,
    })),
    {
      name: 'an aggregate: good ones beside a bad one and a hash key that is none',
      fate: 'done × 2, letter SluiceError × 1',
      raw,
      count: 3,
      make: () =>
        sealed(keyEntry('a'), hashKeyEntry('no number'), good('x'), entry(0, CANARY, { hashKey: 0 }), good('y')),
    },
    {
      name: 'an aggregate: one in another',
      fate: WHOLE,
      raw,
      make: () => sealed(keyEntry('a'), entry(0, [...sealed(keyEntry('a'), good('x'))])),
      count: 1,
    },
    {
      name: `an aggregate: ${flood} messages of one byte`,
      fate: `done × ${flood}`,
      raw,
      count: flood,
      make: () => sealed(keyEntry('a'), Array.from({ length: flood }, () => entry(0, '0')).flat()),
    },
  ];
}
