import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { jsonFault } from '../../lib/operators/json-fault.js';
import { randomSeed } from '../support/seed.js';

const seed = randomSeed();

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const faultOf = (text: string): number | null => jsonFault(bytesOf(text));

const isJson = (text: string): boolean => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

describe(`where bytes stop being JSON (seed ${seed})`, () => {
  it.each([
    ['position 4111', 0],
    ['{"card": position 4111', 9],
    ['{"a":1', 6],
    ['{"secret":"x",}', 14],
    ['{"a": NaN}', 6],
    ['"\\u00zz"', 5],
    ['"\\x"', 2],
    ['"a\nb"', 2],
    ['"a', 2],
    ['', 0],
    ['  ', 2],
    ['nulx', 3],
    ['tru', 3],
    ['01', 1],
    ['-', 1],
    ['-a', 1],
    ['1.', 2],
    ['1.x', 2],
    ['1e', 2],
    ['1e+', 3],
    ['.5', 0],
    ['[1,]', 3],
    ['[1 2]', 3],
    ['{,}', 1],
    ['{"a" 1}', 5],
    ['{"a":}', 5],
    ['{a:1}', 1],
    ['[}', 1],
    ['1 2', 2],
    ['"ü" x', 5],
    ['\ufeffx', 3],
    ['/* */ 1', 0],
  ])('%j: at byte %d', (text, at) => expect(faultOf(text)).toBe(at));

  it.each(['0', '-0.5e-7', '[]', '{}', ' { "a" : [ 1 , null ] } ', '"\\u12aF\\n"', '\ufeff[true,false]'])(
    '%j: nowhere',
    (text) => expect(faultOf(text)).toBeNull(),
  );

  it('finds one in what JSON.parse does not take, and in nothing else', () => {
    const json = fc.json({ maxDepth: 4 });
    const broken = fc
      .tuple(
        json,
        fc.nat(),
        fc.constantFrom('', '"', '\\', ',', ':', '[', '}', '0', '-', '.', 'e', 't', 'u', ' ', '\n'),
      )
      .map(([text, place, piece]) => {
        const at = place % (text.length + 1);
        return `${text.slice(0, at)}${piece}${text.slice(at + 1)}`;
      });
    const odd = fc.string({ unit: fc.constantFrom(...'{}[]:,"\\0123456789.eE+-truefalsn u\n') });
    fc.assert(
      fc.property(fc.oneof(json, broken, odd), (text) => {
        const bytes = bytesOf(text);
        const at = jsonFault(bytes);
        expect(at === null).toBe(isJson(text));
        if (at === null) return;
        expect(at).toBeLessThanOrEqual(bytes.length);
        // What stands before it can be the beginning of JSON: it has no fault but its end.
        expect([at, null]).toContain(jsonFault(bytes.subarray(0, at)));
      }),
      { numRuns: 3_000, seed },
    );
  });

  it('takes a megabyte that is a million deep', () => {
    const open = '['.repeat(1_000_000);
    expect(faultOf(open)).toBe(1_000_000);
    expect(faultOf(`${open}${']'.repeat(999_999)}x`)).toBe(1_999_999);
    expect(faultOf('{"a":'.repeat(200_000))).toBe(1_000_000);
  });
});
