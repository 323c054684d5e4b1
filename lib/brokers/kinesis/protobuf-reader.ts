const MOST_BYTES = 10;
// Tags and lengths have 32 bits. Readers differ in what they make of more, so there it is no message that is sound.
const MOST_BYTES_OF_32_BITS = 5;
const LAST_TAG = 2 ** 32 - 1;

/**
 * Walks over a protobuf message. Each step answers -1, or `false`, where the message is cut off or no protobuf; after that
 * nothing more may be asked. Nothing is copied.
 * @internal
 */
export class ProtobufReader {
  /** The next byte. */
  at: number;

  constructor(
    private readonly bytes: Uint8Array,
    from: number,
  ) {
    this.at = from;
  }

  /** A number. It is exact up to 2 ** 53; what is above stays above. */
  varint(end: number, mostBytes = MOST_BYTES): number {
    if (this.at >= end) return -1;
    const first = this.bytes[this.at++] as number;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let weight = 0x80;
    for (let length = 2; length <= mostBytes && this.at < end; length++) {
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) return value;
      weight *= 0x80;
    }
    return -1;
  }

  /** Which field comes, and its wire type. */
  tag(end: number): number {
    const tag = this.varint(end, MOST_BYTES_OF_32_BITS);
    return tag > LAST_TAG ? -1 : tag;
  }

  /** Where the text, bytes or message that begin here end. */
  until(end: number): number {
    const length = this.varint(end, MOST_BYTES_OF_32_BITS);
    return length === -1 || length > end - this.at ? -1 : this.at + length;
  }

  /** Passes over a field of this tag; groups, which the KPL has none of, are no protobuf here. */
  skip(tag: number, end: number): boolean {
    switch (tag % 8) {
      case 0:
        return this.varint(end) !== -1;
      case 1:
        return this.leap(8, end);
      case 2:
        return this.to(this.until(end));
      case 5:
        return this.leap(4, end);
      default:
        return false;
    }
  }

  private leap(length: number, end: number): boolean {
    return this.to(length > end - this.at ? -1 : this.at + length);
  }

  private to(at: number): boolean {
    if (at === -1) return false;
    this.at = at;
    return true;
  }
}
