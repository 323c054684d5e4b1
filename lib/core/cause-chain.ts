import { readSafely } from './read-safely.js';

// A `cause` may be a getter that makes a new one each time.
const MOST_CAUSES = 16;

/** An error and its causes, from the outside in, as far as they are objects. It never throws, and a cause that leads back ends it. @internal */
export function causeChain(error: unknown): readonly object[] {
  const chain = new Set<object>();
  let next = error;
  while (typeof next === 'object' && next !== null && !chain.has(next) && chain.size < MOST_CAUSES) {
    chain.add(next);
    next = readSafely(next, 'cause');
  }
  return [...chain];
}

/** Some properties of each error of a chain, as they are: anything may be thrown, so anything may be in them. @internal */
export function readChain<K extends string>(
  error: unknown,
  names: readonly K[],
): readonly Readonly<Partial<Record<K, unknown>>>[] {
  return causeChain(error).map(
    (each) => Object.fromEntries(names.map((name) => [name, readSafely(each, name)])) as Partial<Record<K, unknown>>,
  );
}
