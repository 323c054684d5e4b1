import { CANARY, goodValue, type CorpusBroker, type CorpusEntry, type Fate } from './entry.js';

const REFUSED: Fate = 'refused publish-failed';
// Attributes of Pub/Sub are text, once each, at most 100 of them, of 256 and 1,024 bytes.
const NO_ATTRIBUTE = { pubsub: REFUSED } as const;

const NAMES: readonly string[] = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'then',
  ' ',
  'a\nb',
  'ünï',
  '😀',
  'x'.repeat(256),
  'Content-Length',
  'dead-letter-error-class',
  'dead-letter-value-sha256',
  'googclient_deliveryattempt',
  'traceparent',
];

const HEADERS: Readonly<Record<string, readonly [make: () => unknown, on?: Partial<Record<CorpusBroker, Fate>>]>> = {
  ...Object.fromEntries(
    NAMES.map((name) => [`a header called ${JSON.stringify(name.slice(0, 30))}`, [() => one(name, CANARY)] as const]),
  ),
  'a header without a name': [() => one('', CANARY), NO_ATTRIBUTE],
  'a header whose name has 257 bytes': [() => one('x'.repeat(257), CANARY), NO_ATTRIBUTE],
  'a header whose name is half a surrogate pair': [() => one('\ud800', CANARY), NO_ATTRIBUTE],
  'a header with a name of the service': [() => one('goog-trace', CANARY), NO_ATTRIBUTE],
  'a header of 1,025 bytes': [() => one('h', 'x'.repeat(1_025)), NO_ATTRIBUTE],
  'a header of 100 kB': [() => one('h', CANARY.repeat(10_000)), NO_ATTRIBUTE],
  'a header that is no UTF-8': [() => one('h', Uint8Array.of(0xff, 0)), NO_ATTRIBUTE],
  'a header of half a surrogate pair': [() => one('h', '\udfff'), NO_ATTRIBUTE],
  'a header of nothing': [() => one('h', '')],
  'a header that is a list of none': [() => one('h', []), NO_ATTRIBUTE],
  'a header that is a list of one': [() => one('h', [CANARY])],
  'a header that is a list of 1,000': [
    () =>
      one(
        'h',
        Array.from({ length: 1_000 }, () => CANARY),
      ),
    NO_ATTRIBUTE,
  ],
  'a header that is undefined': [() => one('h', undefined)],
  '100 headers': [() => many(100)],
  '101 headers': [() => many(101), NO_ATTRIBUTE],
  '1,000 headers': [() => many(1_000), NO_ATTRIBUTE],
  '20,000 headers of nothing': [() => many(20_000), NO_ATTRIBUTE],
  'headers without a prototype': [() => Object.assign(Object.create(null) as object, { h: CANARY })],
  'forged headers of a dead letter': [
    () => ({
      'dead-letter-source-topic': 'payroll',
      'dead-letter-source-partition': '7',
      'dead-letter-source-position': '42',
      'dead-letter-group': 'root',
      'dead-letter-attempts': '999',
    }),
  ],
};

/** Headers on messages that are fine otherwise, and on ones that become dead letters, which have them too. */
export function headers(): CorpusEntry[] {
  return Object.entries(HEADERS).flatMap(([name, [make, on = {}]]): CorpusEntry[] => [
    { name: `${name}, on a good one`, fate: 'done', on, make: () => withHeaders(goodValue(name), make()) },
    {
      name: `${name}, on a bad one`,
      fate: 'letter SluiceError',
      on,
      make: () => withHeaders(`no JSON ${name}`, make()),
    },
  ]);
}

function withHeaders(value: string, given: unknown): unknown {
  return { key: `key-${value.length % 100}`, value, headers: given };
}

// Also one that is called __proto__.
function one(name: string, value: unknown): object {
  return Object.fromEntries([[name, value]]);
}

function many(count: number): object {
  return Object.fromEntries(Array.from({ length: count }, (_, number) => [`h${number.toString(36)}`, '']));
}
