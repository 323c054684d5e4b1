/** What a sequence number of Kinesis tells; the parts are in the places where the service has them. */
export interface SequenceParts {
  /** When its shard came to be, in seconds since 1970. */
  readonly created: number;
  readonly shard: number;
  /** One more with each record of the shard. */
  readonly index: bigint;
  /** In seconds since 1970. */
  readonly at: number;
}

/** The index of the number that closes a shard. */
export const LAST_INDEX = 2n ** 63n - 1n;

/** A sequence number: 56 digits, ascending by shard and index. */
export function sequenceNumber({ created, shard, index, at }: SequenceParts): string {
  const number = hex(shard, 8);
  return BigInt(`0x2${hex(created, 9)}${number.at(-1)}${hex(index, 16)}00${hex(at, 9)}${number}2`).toString();
}

/** The parts of a sequence number; undefined where it is none. */
export function sequenceParts(text: string): SequenceParts | undefined {
  if (!/^[1-9]\d{55}$/.test(text)) return undefined;
  const digits = BigInt(text).toString(16);
  if (!/^2.{45}2$/.test(digits)) return undefined;
  const number = (from: number, to: number): number => parseInt(digits.slice(from, to), 16);
  return {
    created: number(1, 10),
    index: BigInt(`0x${digits.slice(11, 27)}`),
    at: number(29, 38),
    shard: number(38, 46),
  };
}

/** The least number above this one. */
export function after(text: string): string {
  return String(BigInt(text) + 1n);
}

function hex(number: number | bigint, digits: number): string {
  return number.toString(16).padStart(digits, '0');
}
