const boom = (): never => {
  throw new RangeError('secret');
};
const withGetter = (): object => Object.defineProperty({}, 'h', { get: boom, enumerable: true });

/** No store takes these messages; the last element is what the error says. */
export const REFUSED_MESSAGES: readonly (readonly [string, unknown, string])[] = [
  ['no object', 'text', 'a message is an object with topic and value'],
  ['NUL in the topic', { topic: 'a\0b', value: 'x' }, 'topic must be text without NUL'],
  ['half of a surrogate pair in the topic', { topic: 'a\ud800', value: 'x' }, 'half of a surrogate pair'],
  [
    'a partition of more than 32 bits',
    { topic: 'out', value: 'x', partition: 3e9 },
    'partition must be a whole number',
  ],
  ['a time before 1970', { topic: 'out', value: 'x', timestamp: -1 }, 'timestamp must be whole milliseconds'],
  ['a number for a header', { topic: 'out', value: 'x', headers: { n: 5 } }, 'header n must be bytes or text'],
  ['null for a header', { topic: 'out', value: 'x', headers: { n: null } }, 'header n must be bytes or text'],
  ['an object for a header', { topic: 'out', value: 'x', headers: { n: { a: 1 } } }, 'not an object'],
  ['a number in a list of a header', { topic: 'out', value: 'x', headers: { n: ['a', 5] } }, 'not a number'],
  ['a Map of headers', { topic: 'out', value: 'x', headers: new Map([['n', 'v']]) }, 'not Map'],
  ['the headers of fetch', { topic: 'out', value: 'x', headers: new Headers({ n: 'v' }) }, 'not Headers'],
  ['a list of headers', { topic: 'out', value: 'x', headers: ['a'] }, 'not Array'],
  [
    'a value that throws',
    Object.defineProperty({ topic: 'out' }, 'value', { get: boom }),
    'cannot be read: RangeError',
  ],
  ['a header that throws', { topic: 'out', value: 'x', headers: withGetter() }, 'cannot be read: RangeError'],
  ['a Proxy that throws', new Proxy({}, { get: boom }), 'cannot be read: RangeError'],
  ['null for headers', { topic: 'out', value: 'x', headers: null }, 'not Null'],
];
