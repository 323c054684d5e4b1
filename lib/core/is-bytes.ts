/**
 * Whether it is a `Uint8Array`, of any realm: a `Buffer` is one, and is not `instanceof` the `Uint8Array` of a test environment such as
 * jsdom. Other views, such as a `DataView` or a `Uint16Array`, are no bytes: what they hold depends on the machine.
 * @internal
 */
export function isBytes(value: unknown): value is Uint8Array {
  // True for real views alone, so that a Proxy or an object that merely inherits from Uint8Array is none, and nothing can throw.
  return ArrayBuffer.isView(value) && (value as Uint8Array)[Symbol.toStringTag] === 'Uint8Array';
}

/**
 * The same memory as a `Uint8Array` of this realm, for clients that take no other. Bytes whose `length` says something else than they
 * have, which would spoil the request that they share with others, are copied as they are.
 * @internal
 */
export function bytesHere(bytes: Uint8Array): Uint8Array {
  if (bytes.length !== trueLength(bytes)) return new Uint8Array(bytes);
  if (bytes instanceof Uint8Array) return bytes;
  const { buffer, byteOffset, byteLength } = bytes as Uint8Array;
  return new Uint8Array(buffer, byteOffset, byteLength);
}

// An object may have a `length` of its own before that of its class.
function trueLength(bytes: Uint8Array): number {
  return Reflect.get(Object.getPrototypeOf(Uint8Array.prototype) as object, 'length', bytes) as number;
}
