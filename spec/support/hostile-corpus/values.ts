import { bytesOf, CANARY, goodValue, type CorpusEntry, type Fate } from './entry.js';
import type { Choices } from '../../model/random.js';

const DEPTH = 100_000;
const LETTER: Fate = 'letter SluiceError';

/** Bytes that are no JSON. */
const NO_JSON: Readonly<Record<string, string | readonly number[]>> = {
  'white space alone': ' \n\t ',
  'a mark of the byte order alone': [0xef, 0xbb, 0xbf],
  'a NUL': '\0',
  text: `hello ${CANARY}`,
  XML: `<order id="${CANARY}"/>`,
  'a form': `id=${CANARY}&cents=1`,
  YAML: `id: ${CANARY}\ncents: 1`,
  'single quotes': `{'id':'${CANARY}','cents':1}`,
  'a comma at the end': `{"id":"${CANARY}","cents":1,}`,
  'a comment': `{"id":"${CANARY}",/* one */"cents":1}`,
  NaN: `{"id":"${CANARY}","cents":NaN}`,
  Infinity: `{"id":"${CANARY}","cents":Infinity}`,
  undefined: `{"id":"${CANARY}","cents":undefined}`,
  'a number in base 16': `{"id":"${CANARY}","cents":0x10}`,
  'a number that begins with 0': `{"id":"${CANARY}","cents":01}`,
  'a number with a plus': `{"id":"${CANARY}","cents":+1}`,
  'a number that ends in its point': `{"id":"${CANARY}","cents":1.}`,
  'two values': '{"id":"a","cents":1}{"id":"b","cents":2}',
  'values by lines': '{"id":"a","cents":1}\n{"id":"b","cents":2}\n',
  'text that does not end': `{"id":"${CANARY}`,
  'a control character in text': `{"id":"${CANARY}\u0001","cents":1}`,
  'a line end in text': `{"id":"${CANARY}\n","cents":1}`,
  'an escape that is none': `{"id":"${CANARY}\\x41","cents":1}`,
  'half an escape': `{"id":"${CANARY}\\u12","cents":1}`,
  'a name without quotes': `{id:"${CANARY}","cents":1}`,
  'no colon': `{"id" "${CANARY}","cents":1}`,
  'no comma': `{"id":"${CANARY}" "cents":1}`,
  'the wrong bracket': `{"id":"${CANARY}","cents":1]`,
  'an array that does not end': '[1,2,3',
  'a position in words': `position ${CANARY} 4111`,
  'UTF-16': [...Buffer.from(goodValue(CANARY), 'utf16le')],
  'UTF-16 with its mark': [0xff, 0xfe, ...Buffer.from(goodValue(CANARY), 'utf16le')],
  'Latin-1': [...Buffer.from(`{"id":"é ${CANARY}","cents":1}`, 'latin1')],
  'a slash in too many bytes': [...Buffer.from('{"id":"'), 0xc0, 0xaf, ...Buffer.from('","cents":1}')],
  'half of a surrogate pair in UTF-8': [...Buffer.from('{"id":"'), 0xed, 0xa0, 0x80, ...Buffer.from('","cents":1}')],
  'a character above the last': [...Buffer.from('{"id":"'), 0xf4, 0x90, 0x80, 0x80, ...Buffer.from('","cents":1}')],
  'half a character': [...Buffer.from('{"id":"'), 0xe2, 0x82],
  gzip: [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  'a message of protobuf': [0x0a, 0x03, 0x61, 0x62, 0x63, 0x10, 0x01],
  'an object of Java': [0xac, 0xed, 0x00, 0x05, 0x74, 0x00, 0x01, 0x61],
  'Avro of a registry': [0, 0, 0, 0, 1, 6, 0x61, 0x62, 0x63],
};

/** JSON, and not what the schema wants. */
const WRONG: Readonly<Record<string, () => string>> = {
  null: () => 'null',
  true: () => 'true',
  'a number': () => '17',
  'text in quotes': () => `"${CANARY}"`,
  'an empty array': () => '[]',
  'an empty object': () => '{}',
  'cents as text': () => `{"id":"${CANARY}","cents":"1"}`,
  'cents that are null': () => `{"id":"${CANARY}","cents":null}`,
  'an id that is a number': () => '{"id":4111,"cents":1}',
  'an id that is an array of itself': () => `{"id":["${CANARY}"],"cents":1}`,
  'a number above all': () => `{"id":"${CANARY}","cents":1e400}`,
  'a number below all': () => `{"id":"${CANARY}","cents":-1e400}`,
  'a member twice, the last one wrong': () => `{"id":"${CANARY}","cents":1,"cents":"no"}`,
  'what is asked for, under __proto__': () => `{"__proto__":${goodValue(CANARY)}}`,
  'what is asked for, under constructor': () => `{"constructor":{"prototype":${goodValue(CANARY)}}}`,
  'arrays, 100,000 deep': () => '['.repeat(DEPTH) + ']'.repeat(DEPTH),
  'objects, 100,000 deep': () => '{"a":'.repeat(DEPTH) + '1' + '}'.repeat(DEPTH),
  'an array of 400,000 zeros': () => `[${'0,'.repeat(400_000)}0]`,
  'an object of 50,000 names': () =>
    `{${Array.from({ length: 50_000 }, (_, name) => `"${CANARY}${name}":0`).join(',')}}`,
  'a name of 500 kB': () => `{"${CANARY.repeat(50_000)}":1}`,
};

/** JSON that is odd, and what the schema wants. */
const ODD: Readonly<Record<string, () => string>> = {
  'a mark of the byte order before it': () => `\ufeff${goodValue(CANARY)}`,
  '100 kB of white space around it': () => ' '.repeat(50_000) + goodValue(CANARY) + '\n'.repeat(50_000),
  'an id of 900 kB': () => goodValue(CANARY.repeat(90_000)),
  'an id of nothing': () => '{"id":"","cents":1}',
  'an id of half a surrogate pair': () => '{"id":"\\ud800","cents":1}',
  'an id with a NUL': () => '{"id":"\\u0000","cents":1}',
  'an id that turns the line around': () => goodValue(`\u202e${CANARY}`),
  'an id of colours for a terminal': () => goodValue(`\u001b[31m${CANARY}`),
  'an id of lines for a log': () => goodValue(`x\r\nERROR ${CANARY}`),
  'an id of a format': () => goodValue('%s%n%d${7*7}{{7*7}}'),
  'an id of a path': () => goodValue('../../../../etc/passwd'),
  'an id of a script': () => goodValue('<script>alert(1)</script>'),
  'an id of SQL': () => goodValue("'; DROP TABLE orders; --"),
  'an id called __proto__': () => goodValue('__proto__'),
  'an id called constructor': () => goodValue('constructor'),
  'a number beyond 2 ** 53': () => `{"id":"${CANARY}","cents":12345678901234567890}`,
  'a number next to nothing': () => `{"id":"${CANARY}","cents":1e-400}`,
  'the other zero': () => `{"id":"${CANARY}","cents":-0}`,
  'a number of 10,000 digits': () => `{"id":"${CANARY}","cents":0.${'1'.repeat(10_000)}}`,
  'a member twice, the first one wrong': () => `{"id":"${CANARY}","cents":"no","cents":1}`,
  '__proto__ beside it': () => `{"id":"${CANARY}","cents":1,"__proto__":{"polluted":true}}`,
  'a constructor beside it': () => `{"id":"${CANARY}","cents":1,"constructor":{"prototype":{"polluted":true}}}`,
  'methods of objects beside it': () =>
    `{"id":"${CANARY}","cents":1,"toString":1,"valueOf":2,"hasOwnProperty":3,"then":4,"toJSON":5}`,
  'arrays beside it, 100,000 deep': () =>
    `{"id":"${CANARY}","cents":1,"more":${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}}`,
  '40,000 names beside it': () =>
    `{"id":"${CANARY}","cents":1,${Array.from({ length: 40_000 }, (_, name) => `"n${name}":0`).join(',')}}`,
};

/** Values that are no JSON, that are none of the schema, and odd ones that are. */
export function values(random: Choices): CorpusEntry[] {
  return [
    ...Object.entries(NO_JSON).map(([name, value]) =>
      valueEntry(`no JSON: ${name}`, LETTER, () => (typeof value === 'string' ? value : Uint8Array.from(value))),
    ),
    valueEntry('no JSON: a million open arrays', LETTER, () => '['.repeat(1_000_000)),
    valueEntry('no JSON: arrays, 100,000 deep, and one that is not closed', LETTER, () =>
      ['['.repeat(DEPTH), ']'.repeat(DEPTH - 1)].join(''),
    ),
    // Kinesis and Pub/Sub have no tombstones; a message of Pub/Sub needs a byte or an attribute.
    {
      ...valueEntry('a tombstone', LETTER, () => null),
      on: { kinesis: 'refused publish-failed', pubsub: 'refused publish-failed' },
    },
    { ...valueEntry('no bytes', LETTER, () => ''), on: { pubsub: 'refused publish-failed' } },
    ...Object.entries(WRONG).map(([name, make]) => valueEntry(`not of the schema: ${name}`, LETTER, make)),
    ...Object.entries(ODD).map(([name, make]) => valueEntry(`odd JSON: ${name}`, 'done', make)),
    ...randomBytes(random),
    ...cutOff(random),
  ];
}

function valueEntry(name: string, fate: Fate, make: () => string | Uint8Array | null): CorpusEntry {
  return { name, fate, make: () => ({ key: `key-${name.length % 100}`, value: make() }) };
}

/** Begins with a byte that UTF-8 does not have. */
function randomBytes(random: Choices): CorpusEntry[] {
  return Array.from({ length: 15 }, (_, number) => {
    const bytes = Uint8Array.from({ length: 1 + random.below(300) }, () => random.below(256));
    bytes[0] = 0xff;
    return valueEntry(`random bytes, no. ${number}`, LETTER, () => bytes);
  });
}

function cutOff(random: Choices): CorpusEntry[] {
  const whole = bytesOf(goodValue(CANARY, { more: [1, { deep: [true, null, 'ü'] }] }));
  return Array.from({ length: 15 }, (_, number) => {
    const length = 1 + random.below(whole.length - 1);
    return valueEntry(`JSON that is cut off, no. ${number}`, LETTER, () => whole.slice(0, length));
  });
}
