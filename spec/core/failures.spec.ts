import { describe, expect, it } from '@jest/globals';
import { inAnotherRealm } from '../support/another-realm.js';
import { hostile } from '../support/hostile.js';
import { classifyFailure, isSluiceError, permanent, SluiceError, transient, unavailable } from 'rxsluice';

class InvalidOrder extends Error {}

describe('failure classes', () => {
  it('are transient where nothing is marked, whatever was thrown', () => {
    expect([new Error('x'), 'text', 7, null, undefined, {}].map(classifyFailure)).toEqual(Array(6).fill('transient'));
  });

  it('are the mark of the error, which stays the error that it is', () => {
    const error = new InvalidOrder('no lines');
    expect(permanent(error)).toBe(error);
    expect([classifyFailure(error), error instanceof InvalidOrder, Object.keys(error)]).toEqual([
      'permanent',
      true,
      [],
    ]);
    expect(classifyFailure(unavailable(error))).toBe('unavailable');
  });

  it('are found in the causes, the nearest mark first', () => {
    const cause = unavailable(new Error('connection refused'));
    expect(classifyFailure(new Error('order 7', { cause }))).toBe('unavailable');
    expect(classifyFailure(transient(new Error('order 7', { cause })))).toBe('transient');
  });

  it('end the search in a chain of causes that bites its tail', () => {
    const error = new Error('a') as Error & { cause?: unknown };
    error.cause = error;
    expect(classifyFailure(error)).toBe('transient');
  });

  it('mark what cannot carry a mark by an error around it', () => {
    for (const thrown of ['text', null, Object.freeze(new Error('frozen'))]) {
      const marked = permanent(thrown);
      expect([classifyFailure(marked), isSluiceError(marked) && marked.code, marked.cause]).toEqual([
        'permanent',
        'failed',
        thrown,
      ]);
    }
  });

  it('mark an error of another realm itself, and one of the platform', () => {
    const ofRealm: Error = inAnotherRealm('new RangeError("x")');
    const timeout = new DOMException('too late', 'TimeoutError');
    for (const error of [ofRealm, timeout]) {
      expect([transient(error) === error, classifyFailure(error)]).toEqual([true, 'transient']);
      expect([unavailable(error) === error, classifyFailure(new Error('x', { cause: error }))]).toEqual([
        true,
        'unavailable',
      ]);
    }
    const frozen: Error = inAnotherRealm('Object.freeze(new Error("frozen"))');
    expect(permanent(frozen)).toMatchObject({ code: 'failed', cause: frozen });
  });

  it('take no mark that is none', () => {
    const marked = Object.assign(new Error('x'), { [Symbol.for('rxsluice.failure')]: 'of a later version' });
    expect(classifyFailure(marked)).toBe('transient');
  });

  it.each(Object.entries(hostile()))('never throw: %s', (_, make) => {
    expect(classifyFailure(make())).toBe('transient');
    for (const [failure, mark] of Object.entries({ permanent, transient, unavailable })) {
      expect(classifyFailure(mark(make()))).toBe(failure);
    }
    expect(isSluiceError(make())).toBe(false);
  });
});

describe('isSluiceError', () => {
  it('knows an error of another copy of the library by its brand', () => {
    const foreign = Object.defineProperty(new Error('x'), Symbol.for('rxsluice.error'), { value: true });
    expect([
      isSluiceError(foreign),
      isSluiceError(new SluiceError('failed', 'x')),
      isSluiceError(new Error('x')),
      isSluiceError(null),
    ]).toEqual([true, true, false, false]);
  });
});
