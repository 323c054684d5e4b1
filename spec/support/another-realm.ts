import { createContext, runInContext } from 'node:vm';

/** Runs a script in a realm of its own, where each class of the language is another than ours. */
export function inAnotherRealm(script: string): never {
  return runInContext(script, createContext({})) as never;
}
