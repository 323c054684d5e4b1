import { CANARY, goodValue, type CorpusEntry } from './entry.js';

const NO_JSON = 'x'.charCodeAt(0);
const TRIMMED = 300;

/** Messages as large as a broker takes them: `most` is the largest value with a key of one character and no header. */
export function limits(most: number, digestsOnKinesis: boolean): CorpusEntry[] {
  // These have `{ "headers": …, "value": … }` around them.
  const ofJsonHeaders = digestsOnKinesis ? { kinesis: 'letter SluiceError, its digest alone' } : {};
  const ofSize = (bytes: number): unknown => ({ key: 'k', value: new Uint8Array(bytes).fill(NO_JSON) });
  return [
    {
      name: 'the largest value, that is no JSON',
      fate: 'letter SluiceError',
      on: ofJsonHeaders,
      make: () => ofSize(most),
    },
    { name: 'a value that leaves no room for a stack', fate: 'letter SluiceError', make: () => ofSize(most - TRIMMED) },
    {
      name: 'the largest value, that is JSON',
      fate: 'done',
      make: () => ({ key: 'k', value: padded(most) }),
    },
    {
      name: 'a value near the largest, whose handler throws much',
      fate: 'letter Error',
      make: () => ({ key: 'k', value: padded(most - TRIMMED, { deed: 'throws an error with a message of 5 MB' }) }),
    },
    // Six times as large in the envelope of JSON.
    {
      name: 'a fifth of the largest value, of control characters',
      fate: 'letter SluiceError',
      on: ofJsonHeaders,
      make: () => ({ key: 'k', value: new Uint8Array(Math.floor(most / 5)).fill(1) }),
    },
    { name: 'a value above the largest', fate: 'refused publish-failed', make: () => ofSize(most + 2_000) },
    { name: 'a value twice the largest', fate: 'refused publish-failed', make: () => ofSize(2 * most) },
  ];
}

/** So many of the smallest messages that the pipeline takes. */
export function flood(count: number): CorpusEntry {
  return {
    name: `${count} messages of one byte`,
    fate: `done × ${count}`,
    count,
    make: () => Array.from({ length: count }, () => ({ key: null, value: '0' })),
  };
}

function padded(bytes: number, more: object = {}): string {
  const value = goodValue(CANARY, { ...more, fill: '' });
  return value.replace('"fill":""', `"fill":"${'x'.repeat(bytes - value.length)}"`);
}
