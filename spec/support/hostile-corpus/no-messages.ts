import { CANARY, goodValue, type CorpusEntry } from './entry.js';

const boom = (): never => {
  throw new Error(CANARY);
};

const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};

const trap = (): object => new Proxy({}, { get: boom, has: boom, ownKeys: boom, getPrototypeOf: boom });

const withGetter = (property: string): object =>
  Object.defineProperty({ key: 'k', value: goodValue(property) }, property, { get: boom, enumerable: true });

/** Answers with a value first, and with something else each time after. */
const changing = (property: string, first: unknown): object => {
  let asked = 0;
  const get = (): unknown => (asked++ === 0 ? first : {});
  return Object.defineProperty({ key: 'k', value: goodValue(property) }, property, { get, enumerable: true });
};

const NO_MESSAGES: Readonly<Record<string, () => unknown>> = {
  'null in the place of a message': () => null,
  'undefined in the place of a message': () => undefined,
  'text in the place of a message': () => CANARY,
  'an array in the place of a message': () => [],
  'a message without a value': () => ({ key: 'k' }),
  'a Proxy that throws in the place of a message': trap,
  'a revoked Proxy in the place of a message': revoked,
  'a message whose value throws': () => withGetter('value'),
  'a message whose key throws': () => withGetter('key'),
  'a message whose partition throws': () => withGetter('partition'),
  'a message whose timestamp throws': () => withGetter('timestamp'),
  ...Object.fromEntries(
    Object.entries<() => unknown>({
      'a number': () => 4111,
      'an object': () => ({ card: CANARY }),
      'an array of bytes': () => [1, 2, 3],
      'a Map': () => new Map([['card', CANARY]]),
      'a function': () => () => CANARY,
      'a symbol': () => Symbol(CANARY),
      'a Promise': () => Promise.resolve(CANARY),
      'a DataView': () => new DataView(new ArrayBuffer(8)),
      'a Uint16Array': () => Uint16Array.of(1, 2),
      'an ArrayBuffer': () => new ArrayBuffer(8),
      'a Proxy of bytes': () => new Proxy(new Uint8Array(8), {}),
      'a Proxy that throws': trap,
      'a revoked Proxy': revoked,
      'what only inherits from bytes': () => Object.create(Uint8Array.prototype) as object,
    }).map(([name, make]) => [`a value that is ${name}`, () => ({ key: 'k', value: make() })] as const),
  ),
  'a key that is an object': () => ({ key: { id: CANARY }, value: goodValue('x') }),
  'a key that is a revoked Proxy': () => ({ key: revoked(), value: goodValue('x') }),
  'a partition that there is not': () => ({ key: 'k', value: goodValue('x'), partition: 4_111 }),
  'a partition below 0': () => ({ key: 'k', value: goodValue('x'), partition: -1 }),
  'half a partition': () => ({ key: 'k', value: goodValue('x'), partition: 0.5 }),
  'a partition that is text': () => ({ key: 'k', value: goodValue('x'), partition: '0' }),
  'a partition that is no number': () => ({ key: 'k', value: goodValue('x'), partition: NaN }),
  'a time that is no number': () => ({ key: 'k', value: goodValue('x'), timestamp: NaN }),
  'a time of parts of a millisecond': () => ({ key: 'k', value: goodValue('x'), timestamp: 1.5 }),
  'a time beyond all': () => ({ key: 'k', value: goodValue('x'), timestamp: 1e300 }),
  'a time that is a bigint': () => ({ key: 'k', value: goodValue('x'), timestamp: 1n }),
};

// Kinesis has no headers: they are left out, whatever they are.
const NO_HEADERS: Readonly<Record<string, () => unknown>> = {
  'headers that are a Map': () => new Map([['h', CANARY]]),
  'headers that are those of fetch': () => new Headers({ h: CANARY }),
  'headers that are a list': () => [CANARY],
  'headers that are text': () => CANARY,
  'a header that is a number': () => ({ h: 4111 }),
  'a header that is null': () => ({ h: null }),
  'a header that is an object': () => ({ h: { a: CANARY } }),
  'headers that are a Proxy that throws': trap,
  'headers that are a revoked Proxy': revoked,
  'a header that throws': () => Object.defineProperty({}, 'h', { get: boom, enumerable: true }),
  'a list of a header with a number in it': () => ({ h: [CANARY, 4111] }),
};

/** Code that is not compiled or not careful hands these to a publisher in the place of messages. */
export function noMessages(): CorpusEntry[] {
  return [
    ...Object.entries(NO_MESSAGES).map(([name, make]): CorpusEntry => ({
      name,
      fate: 'refused publish-failed',
      on: differing(name),
      make,
    })),
    ...Object.entries(NO_HEADERS).map(([name, make]): CorpusEntry => ({
      name,
      fate: 'refused publish-failed',
      on: { kinesis: 'done' },
      make: () => ({ key: 'k', value: goodValue(name), headers: make() }),
    })),
    {
      name: 'a message whose headers throw',
      fate: 'refused publish-failed',
      on: { kinesis: 'done' },
      make: () => withGetter('headers'),
    },
    {
      name: 'a value that is another each time',
      fate: 'done',
      make: () => changing('value', goodValue('changing')),
    },
    {
      name: 'a key that is another each time',
      fate: 'done',
      make: () => changing('key', 'key-7'),
    },
    lying('bytes that say that they are more', 1e9),
    lying('bytes that say that they are fewer', 3),
    {
      name: 'bytes of a shared memory',
      fate: 'done',
      make: () => {
        const text = Buffer.from(goodValue('shared'));
        const bytes = new Uint8Array(new SharedArrayBuffer(text.length));
        bytes.set(text);
        return { key: 'k', value: bytes };
      },
    },
    {
      name: 'bytes whose memory was given away',
      fate: 'refused publish-failed',
      // An empty record.
      on: { kinesis: 'letter SluiceError' },
      make: () => {
        const bytes = new Uint8Array(100);
        structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
        return { key: 'k', value: bytes };
      },
    },
  ];
}

// Keys of both are text alone, which is asked of each part of a message by its own rule.
function differing(name: string): CorpusEntry['on'] {
  return name.startsWith('a key that is') ? { kinesis: 'refused invalid-key', pubsub: 'refused invalid-key' } : {};
}

function lying(name: string, length: number): CorpusEntry {
  const make = (): unknown => ({
    key: 'k',
    value: Object.defineProperty(Buffer.from(goodValue(name)), 'length', { value: length }),
  });
  return { name, fate: 'done', make };
}
