import { describe, expect, it } from '@jest/globals';
import { kindOf } from '../../lib/core/kind-of.js';
import { inAnotherRealm } from '../support/another-realm.js';
import { hostile } from '../support/hostile.js';

describe('the kind of what was given', () => {
  it.each<[unknown, string]>([
    [undefined, 'undefined'],
    [null, 'null'],
    [NaN, 'NaN'],
    ['secret', 'a string'],
    [5, 'a number'],
    [5n, 'a bigint'],
    [true, 'a boolean'],
    [Symbol('secret'), 'a symbol'],
    [() => 'secret', 'a function'],
    [{ secret: 1 }, 'an object'],
    [['secret'], 'an array'],
    [new Map(), 'an object'],
    [Promise.resolve(), 'a Promise'],
    [{ then: () => undefined }, 'a Promise'],
    [Buffer.from('secret'), 'bytes'],
    [new Date(), 'a Date'],
    [new TypeError('secret'), 'an Error'],
    [inAnotherRealm('new Uint8Array(1)'), 'bytes'],
    [inAnotherRealm('new Date()'), 'a Date'],
    [inAnotherRealm('new Error("secret")'), 'an Error'],
    [inAnotherRealm('[1]'), 'an array'],
    [inAnotherRealm('Promise.resolve()'), 'a Promise'],
    [inAnotherRealm('({})'), 'an object'],
  ])('of %p is %s', (value, kind) => expect(kindOf(value)).toBe(kind));

  it.each(Object.entries(hostile()))('is told of %s too', (_, make) => {
    expect(['an object', 'an array', 'an Error']).toContain(kindOf(make()));
  });
});
