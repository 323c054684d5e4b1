import { createHash } from 'node:crypto';

// The KPL's format by hand, so that a spec can write what no encoder would.

/** A number as protobuf writes it; with `length`, in more bytes than it needs. */
export function varint(value: number | bigint, length = 1): number[] {
  const bytes: number[] = [];
  let left = BigInt(value);
  do {
    bytes.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  } while (left > 0n || bytes.length < length);
  bytes.push((bytes.pop() as number) & 0x7f);
  return bytes;
}

/** A field of bytes, of text or of a message. */
export function field(number: number, content: string | readonly number[]): number[] {
  const bytes = typeof content === 'string' ? [...Buffer.from(content)] : content;
  return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

/** A field of a number. */
export function numberField(number: number, value: number | bigint): number[] {
  return [...varint(number * 8), ...varint(value)];
}

export const keyEntry = (key: string): number[] => field(1, key);
export const hashKeyEntry = (hashKey: string): number[] => field(2, hashKey);

/** A message of an aggregate. */
export function entry(
  key: number,
  data: string | readonly number[],
  { hashKey, more = [] }: { readonly hashKey?: number; readonly more?: readonly number[] } = {},
): number[] {
  return field(3, [
    ...numberField(1, key),
    ...(hashKey === undefined ? [] : numberField(2, hashKey)),
    ...field(3, data),
    ...more,
  ]);
}

/** The protobuf between its mark and its MD5. */
export function sealed(...protobuf: readonly (readonly number[])[]): Uint8Array {
  return seal(Buffer.from(protobuf.flat()));
}

export function seal(protobuf: Uint8Array): Uint8Array {
  const digest = createHash('md5').update(protobuf).digest();
  return new Uint8Array(Buffer.concat([Buffer.from([0xf3, 0x89, 0x9a, 0xc2]), protobuf, digest]));
}
