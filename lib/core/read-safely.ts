/**
 * Reads a property of something that anybody may have thrown or handed in. A getter of it may throw, and so may a Proxy, a revoked
 * one always: the answer is `undefined` then, as it is where there is no such property.
 *
 * Code that looks at a thrown value reads it by this. An error that is thrown while another one is looked at would end a pipeline, or
 * be taken for an outage.
 * @internal
 */
export function readSafely(from: unknown, property: PropertyKey): unknown {
  try {
    return (from as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[property];
  } catch {
    return undefined;
  }
}
