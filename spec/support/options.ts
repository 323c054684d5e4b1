import { expect } from '@jest/globals';
import { isSluiceError } from '../../lib/core/errors.js';

/** The message of the `invalid-options` error that a call throws: it names the option, what was given and what is allowed. */
export function refusal(call: () => unknown): string {
  let thrown: unknown;
  try {
    call();
  } catch (error) {
    thrown = error;
  }
  if (!isSluiceError(thrown)) throw new Error('nothing was refused');
  expect(thrown.code).toBe('invalid-options');
  return thrown.message;
}

/** For options that the types refuse already. */
export function untyped(value: unknown): never {
  return value as never;
}
