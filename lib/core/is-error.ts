/** Newer engines have it: Node 24, browsers of 2025. */
interface NewerErrors {
  isError?(value: unknown): boolean;
}

// More than any class of errors has.
const MOST_PROTOTYPES = 32;

/**
 * Whether it is an Error, of any realm. Where tests run in a realm of their own (the default of Jest, `vmThreads` of Vitest,
 * `node:vm`) `instanceof Error` is false for all that Node itself throws: a file that is not there, a connection that is refused, a
 * `fetch` that fails.
 *
 * It never throws, whatever it is given.
 * @internal
 */
export function isError(value: unknown): value is Error {
  try {
    return value instanceof Error || (typeof value === 'object' && value !== null && isErrorOfAnyRealm(value));
  } catch {
    // A Proxy may throw where it is asked for its prototype.
    return false;
  }
}

function isErrorOfAnyRealm(value: object): boolean {
  if ((Error as NewerErrors).isError?.(value) === true) return true;
  return Object.prototype.toString.call(value) === '[object Error]' || inheritsFromError(value);
}

// A DOMException, such as that of an `AbortSignal.timeout`; a class with a tag of its own; one that was made without `class`.
function inheritsFromError(value: object): boolean {
  let prototype: unknown = value;
  for (let depth = 0; depth < MOST_PROTOTYPES; depth++) {
    prototype = Object.getPrototypeOf(prototype);
    if (prototype === null) return false;
    if (isErrorPrototype(prototype as object)) return true;
  }
  return false;
}

function isErrorPrototype(prototype: object): boolean {
  const own = (name: string): unknown => Object.getOwnPropertyDescriptor(prototype, name)?.value;
  return (
    own('name') === 'Error' && own('message') === '' && (own('constructor') as Error | undefined)?.name === 'Error'
  );
}
