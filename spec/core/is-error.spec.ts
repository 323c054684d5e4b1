import { describe, expect, it } from '@jest/globals';
import { readFile } from 'node:fs/promises';
import { runInThisContext } from 'node:vm';
import { isBytes, bytesHere } from '../../lib/core/is-bytes.js';
import { isDate } from '../../lib/core/is-date.js';
import { isError } from '../../lib/core/is-error.js';
import { isInstance } from '../../lib/core/is-instance.js';
import { inAnotherRealm } from '../support/another-realm.js';
import { hostile } from '../support/hostile.js';

const ofNode = <T>(call: () => Promise<unknown>): Promise<T> =>
  call().then(
    () => {
      throw new Error('nothing was thrown');
    },
    (error: unknown) => error as T,
  );

describe('isError', () => {
  it.each([
    ['an Error', 'new Error("x")'],
    ['an error of a class', '(class Foo extends RangeError {}, new (class Foo extends RangeError {})("x"))'],
    ['an AggregateError', 'new AggregateError([], "x")'],
    [
      'one with a tag of its own',
      'new (class Foo extends Error { get [Symbol.toStringTag]() { return "Foo"; } })("x")',
    ],
    ['one made without a class', 'function Foo() {} Foo.prototype = Object.create(Error.prototype); new Foo()'],
    ['one without a prototype', 'Object.setPrototypeOf(new Error("x"), null)'],
    ['a frozen one', 'Object.freeze(new Error("x"))'],
  ])('knows %s of another realm', (_, script) => {
    const error: unknown = inAnotherRealm(script);
    expect([error instanceof Error, isError(error)]).toEqual([false, true]);
  });

  it('knows what Node itself throws, here in a realm of Jest', async () => {
    const noFile = await ofNode(() => readFile('/no/such/file'));
    const timeout = await ofNode(() => fetch('http://127.0.0.1:1', { signal: AbortSignal.timeout(0) }));
    const aborted = AbortSignal.abort().reason as unknown;
    for (const error of [noFile, timeout, aborted, new Error('x'), new DOMException('x')]) {
      expect(isError(error)).toBe(true);
    }
    expect(noFile instanceof Error).toBe(false);
  });

  it.each([
    ['text', 'x'],
    ['nothing', undefined],
    ['null', null],
    ['an object', { name: 'Error', message: 'x', stack: 'Error: x' }],
    ['an object without a prototype', Object.create(null)],
    ['the class', Error],
    ['a class of that name', new (class Error {})()],
    ['an object of another realm', inAnotherRealm('({ message: "x" })')],
  ])('is false for %s', (_, value: unknown) => expect(isError(value)).toBe(false));

  it.each(Object.entries(hostile()))('does not throw for %s', (_, make) => {
    expect(() => isError(make())).not.toThrow();
  });

  it('ends where a prototype leads back to itself', () => {
    const proxy: object = new Proxy({}, { getPrototypeOf: () => proxy });
    expect(isError(proxy)).toBe(false);
  });

  it('asks the engine first, where that knows', () => {
    const given: unknown[] = [];
    const told = { told: true };
    const newer = Error as { isError?: (value: unknown) => boolean };
    const own = Object.getOwnPropertyDescriptor(Error, 'isError');
    newer.isError = (value) => given.push(value) > 0 && value === told;
    try {
      expect([isError(told), isError({}), isError(new Error('x'))]).toEqual([true, false, true]);
    } finally {
      if (own === undefined) delete newer.isError;
      else Object.defineProperty(Error, 'isError', own);
    }
    expect(given).toEqual([told, {}]);
  });
});

describe('isBytes', () => {
  it('knows a Uint8Array and a Buffer, of whichever realm', () => {
    const foreign: Uint8Array = inAnotherRealm('new Uint8Array([1, 2, 3]).subarray(1)');
    const sub: unknown = inAnotherRealm('new (class Bytes extends Uint8Array {})(2)');
    const ofNode = runInThisContext('new Uint8Array(1)') as unknown;
    expect([foreign instanceof Uint8Array, isBytes(foreign), isBytes(sub), isBytes(ofNode)]).toEqual([
      false,
      true,
      true,
      true,
    ]);
    expect([Buffer.from('x'), new Uint8Array(0), new TextEncoder().encode('x')].every(isBytes)).toBe(true);
  });

  it.each([
    ['a Uint16Array', new Uint16Array(1)],
    ['a Uint8ClampedArray', new Uint8ClampedArray(1)],
    ['a DataView', new DataView(new ArrayBuffer(1))],
    ['an ArrayBuffer', new ArrayBuffer(1)],
    ['an array', [1, 2]],
    ['what says that it is one', { [Symbol.toStringTag]: 'Uint8Array', length: 1 }],
    ['what inherits from it', Object.create(Uint8Array.prototype)],
    ['a Proxy of one', new Proxy(new Uint8Array(1), {})],
    ['null', null],
  ])('is false for %s', (_, value: unknown) => expect(isBytes(value)).toBe(false));

  it.each(Object.entries(hostile()))('does not throw for %s', (_, make) => expect(isBytes(make())).toBe(false));

  it('gives bytes of another realm as ours, of the same memory', () => {
    const foreign: Uint8Array = inAnotherRealm('new Uint8Array([9, 1, 2, 9]).subarray(1, 3)');
    const here = bytesHere(foreign);
    expect([here instanceof Uint8Array, [...here], here.buffer === foreign.buffer]).toEqual([true, [1, 2], true]);
    const own = Buffer.from('x');
    expect(bytesHere(own)).toBe(own);
  });

  it.each([0, 1, 1e9])('gives bytes that say they are %s as what they are', (length) => {
    const lying = Object.defineProperty(Buffer.from('abc'), 'length', { value: length });
    const subclass = new (class extends Uint8Array {
      override get length(): number {
        return length;
      }
    })([97, 98, 99]);
    for (const bytes of [lying, subclass]) {
      const here = bytesHere(bytes);
      expect([here.length, Buffer.from(here).toString()]).toEqual([3, 'abc']);
    }
  });
});

describe('isDate', () => {
  it('knows a Date of another realm, an invalid one too, and nothing else', () => {
    expect([inAnotherRealm('new Date(0)'), inAnotherRealm('new Date(NaN)'), new Date()].every(isDate)).toBe(true);
    const others = [
      {},
      null,
      undefined,
      0,
      '2026-01-01',
      { [Symbol.toStringTag]: 'Date' },
      Object.create(Date.prototype),
    ];
    expect(others.some(isDate)).toBe(false);
  });

  it.each(Object.entries(hostile()))('does not throw for %s', (_, make) => expect(isDate(make())).toBe(false));
});

describe('isInstance', () => {
  class Own {}

  it('is instanceof', () => {
    expect([isInstance(new Own(), Own), isInstance({}, Own), isInstance(null, Own)]).toEqual([true, false, false]);
  });

  it.each(Object.entries(hostile()))('does not throw for %s', (_, make) => expect(isInstance(make(), Own)).toBe(false));
});
