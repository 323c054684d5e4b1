import { hashOf } from '../../../lib/core/hash.js';
import { CANARY, goodValue, type CorpusEntry, type CorpusBroker, type Fate } from './entry.js';

const INVALID: Fate = 'refused invalid-key';
// A key is text in Kinesis and in Pub/Sub.
const BINARY = { kinesis: INVALID, pubsub: INVALID } as const;
const LANES = 0xfff;

const KEYS: Readonly<Record<string, readonly [make: () => unknown, on?: Partial<Record<CorpusBroker, Fate>>]>> = {
  'no key': [() => null],
  'a key that is left out': [() => undefined],
  'a key of nothing': [() => '', BINARY],
  'a key of no bytes': [() => new Uint8Array(), BINARY],
  'a key of one NUL': [() => '\0'],
  'a key that is no UTF-8': [() => Uint8Array.of(0xff, 0xfe, 0), BINARY],
  'a key of half a surrogate pair': [() => '\ud800', { pubsub: INVALID }],
  'a key of 256 characters': [() => 'k'.repeat(256)],
  'a key of 257 characters': [() => 'k'.repeat(257), { kinesis: INVALID }],
  // The test servers count each as two characters.
  'a key of 256 faces': [() => '😀'.repeat(256), { kinesis: 'refused publish-failed' }],
  'a key of 1,025 bytes': [() => 'k'.repeat(1_025), BINARY],
  'a key of 1 MB': [() => CANARY.repeat(100_000), BINARY],
  'a key of 900 kB of binary': [() => new Uint8Array(900_000).fill(255), BINARY],
  'a key called __proto__': [() => '__proto__'],
  'a key called constructor': [() => 'constructor'],
  'a key called toString': [() => 'toString'],
  'a key called hasOwnProperty': [() => 'hasOwnProperty'],
  'a key of line ends': [() => `a\r\n${CANARY}`],
  'a key of slashes, as an id has': [() => 'orders/0/17'],
  'a key that is JSON': [() => '{"__proto__":1}'],
};

/** Keys on messages that are fine otherwise. */
export function keys(): CorpusEntry[] {
  return [
    ...Object.entries(KEYS).map(([name, [make, on = {}]]) => ({
      name,
      fate: 'done',
      on,
      make: () => ({ key: make(), value: goodValue(name) }),
    })),
    {
      name: '40 keys that share a lane without a seed',
      fate: 'done × 40',
      count: 40,
      make: () => collidingKeys(40).map((key) => ({ key, value: goodValue(key) })),
    },
  ];
}

function collidingKeys(count: number): string[] {
  const victim = hashOf('key-7') & LANES;
  const found: string[] = [];
  for (let number = 0; found.length < count; number++) {
    if ((hashOf(`c${number}`) & LANES) === victim) found.push(`c${number}`);
  }
  return found;
}
