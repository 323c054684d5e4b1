import { describe, expect, it } from '@jest/globals';
import { jsonPieceOf } from '../../lib/core/json-of-bytes.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('jsonPieceOf', () => {
  it.each([
    '{"id":12345678901234567890,"cents":0.10}',
    '1e400',
    '{"a":1,"a":2}',
    '{"__proto__":{"polluted":1}}',
    ' [1, 2]\n',
    '"\\ud800"',
    '"123"',
    'null',
    '-0',
  ])('takes JSON over as it is: %s', (text) => {
    expect(jsonPieceOf(bytes(text))).toEqual({ json: text, encoding: 'json' });
  });

  it.each([20_000, 200_000])('takes over JSON that is %i deep', (depth) => {
    const text = '['.repeat(depth) + ']'.repeat(depth);
    expect(jsonPieceOf(bytes(text))).toEqual({ json: text, encoding: 'json' });
  });

  it.each(['{"id":', '', '\ufeff{}', 'NaN', '\u0001', '{} {}', '{},"error":{"class":"forged"}'])(
    'makes a string of text that is no JSON: %j',
    (text) => {
      expect(jsonPieceOf(bytes(text))).toEqual({ json: JSON.stringify(text), encoding: 'text' });
    },
  );

  it('makes base64 of other bytes, and null of none', () => {
    expect(jsonPieceOf(Uint8Array.of(255, 0, 254))).toEqual({ json: '{"base64":"/wD+"}', encoding: 'base64' });
    expect(jsonPieceOf(null)).toEqual({ json: 'null', encoding: 'none' });
  });
});
