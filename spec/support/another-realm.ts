import { createContext, runInContext } from 'node:vm';

/** What a script gives in a realm of its own, where each class of the language is another than ours. */
export function inAnotherRealm(script: string): never {
  return runInContext(script, createContext({})) as never;
}
