import type { CorpusBroker } from './entry.js';

const both = (names: readonly string[], why: string): Record<string, string> =>
  Object.fromEntries(
    names.flatMap((name) => [`${name}, on a good one`, `${name}, on a bad one`]).map((name) => [name, why]),
  );

const each = (names: readonly string[], why: string): Record<string, string> =>
  Object.fromEntries(names.map((name) => [name, why]));

/**
 * Entries that a broker's spec leaves out today, by name, with the reason: the one place to look at for who mends them. A name that
 * the corpus does not have fails the spec.
 */
export const LEFT_OUT: Readonly<Partial<Record<CorpusBroker, Readonly<Record<string, string>>>>> = {
  kafka: {
    ...both(
      [
        'a header called "__proto__"',
        'a header called "constructor"',
        'a header called "toString"',
        'a header called "hasOwnProperty"',
      ],
      'kafkajs reads headers into an object that has a prototype, so that these names are taken',
    ),
    ...both(['20,000 headers of nothing'], 'kafkajs decodes headers in a time that grows faster than their number'),
    ...each(
      [
        'null in the place of a message',
        'undefined in the place of a message',
        'a Proxy that throws in the place of a message',
        'a revoked Proxy in the place of a message',
        'a message whose partition throws',
      ],
      'kafkaPublisher asks a message for its partition outside of its own try, so that the whole call fails',
    ),
    'a batch of gzip whose record is below 0': 'the broker takes it, and kafkajs ends the source of each reader by it',
    ...each(
      ['bytes that say that they are more', 'bytes that say that they are fewer'],
      'kafkajs believes the length that bytes say, and spoils the request',
    ),
  },
};
