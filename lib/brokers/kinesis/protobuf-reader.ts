const LONGEST_VARINT = 10;
const FIRST_TAG = 8;
// Others read no more than 32 bits of a tag, and would see another field in a longer one.
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
  varint(end: number): number {
    if (this.at >= end) return -1;
    const first = this.bytes[this.at++] as number;
    if (first < 0x80) return first;
    let value = first & 0x7f;
    let weight = 0x80;
    for (let length = 2; length <= LONGEST_VARINT && this.at < end; length++) {
      const byte = this.bytes[this.at++] as number;
      value += (byte & 0x7f) * weight;
      if (byte < 0x80) return value;
      weight *= 0x80;
    }
    return -1;
  }

  /** Where the text, bytes or message that begin here end. */
  until(end: number): number {
    const length = this.varint(end);
    return length === -1 || length > end - this.at ? -1 : this.at + length;
  }

  /** Passes over a field; groups, which the KPL has none of, are no protobuf here. */
  skip(tag: number, end: number): boolean {
    if (tag < FIRST_TAG || tag > LAST_TAG) return false;
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
