// floor(2 ** 32 × |sin(i + 1)|)
const SINES = Int32Array.of(
  0xd76aa478,
  0xe8c7b756,
  0x242070db,
  0xc1bdceee,
  0xf57c0faf,
  0x4787c62a,
  0xa8304613,
  0xfd469501,
  0x698098d8,
  0x8b44f7af,
  0xffff5bb1,
  0x895cd7be,
  0x6b901122,
  0xfd987193,
  0xa679438e,
  0x49b40821,
  0xf61e2562,
  0xc040b340,
  0x265e5a51,
  0xe9b6c7aa,
  0xd62f105d,
  0x02441453,
  0xd8a1e681,
  0xe7d3fbc8,
  0x21e1cde6,
  0xc33707d6,
  0xf4d50d87,
  0x455a14ed,
  0xa9e3e905,
  0xfcefa3f8,
  0x676f02d9,
  0x8d2a4c8a,
  0xfffa3942,
  0x8771f681,
  0x6d9d6122,
  0xfde5380c,
  0xa4beea44,
  0x4bdecfa9,
  0xf6bb4b60,
  0xbebfbc70,
  0x289b7ec6,
  0xeaa127fa,
  0xd4ef3085,
  0x04881d05,
  0xd9d4d039,
  0xe6db99e5,
  0x1fa27cf8,
  0xc4ac5665,
  0xf4292244,
  0x432aff97,
  0xab9423a7,
  0xfc93a039,
  0x655b59c3,
  0x8f0ccc92,
  0xffeff47d,
  0x85845dd1,
  0x6fa87e4f,
  0xfe2ce6e0,
  0xa3014314,
  0x4e0811a1,
  0xf7537e82,
  0xbd3af235,
  0x2ad7d2bb,
  0xeb86d391,
);
const BLOCK = 64;

/** How long a digest is, in bytes. @internal */
export const DIGEST_BYTES = 16;

// The last block or two, padded: scratch, since a call ends before another begins.
const tail = new DataView(new ArrayBuffer(2 * BLOCK));

/**
 * MD5 (RFC 1321) of a part of `data`. Kinesis hashes keys with it and the KPL seals aggregates with it; it guards against
 * accidents alone. Our own: WebCrypto has none, and Node in FIPS mode refuses it.
 * @internal
 */
export function md5(
  data: DataView,
  from = 0,
  to = data.byteLength,
  digest = new DataView(new ArrayBuffer(DIGEST_BYTES)),
): DataView {
  const length = to - from;
  const rest = length % BLOCK;
  const whole = to - rest;
  digest.setUint32(0, 0x67452301, true);
  digest.setUint32(4, 0xefcdab89, true);
  digest.setUint32(8, 0x98badcfe, true);
  digest.setUint32(12, 0x10325476, true);
  digestBlocks(data, from, whole, digest);

  const end = rest < BLOCK - 8 ? BLOCK : 2 * BLOCK;
  for (let i = 0; i < rest; i++) tail.setUint8(i, data.getUint8(whole + i));
  tail.setUint8(rest, 0x80);
  for (let i = rest + 1; i < end - 8; i++) tail.setUint8(i, 0);
  // The length in bits, which may pass 32 of them.
  tail.setUint32(end - 8, length << 3, true);
  tail.setUint32(end - 4, length / 2 ** 29, true);
  digestBlocks(tail, 0, end, digest);
  return digest;
}

function digestBlocks(data: DataView, from: number, to: number, digest: DataView): void {
  let a = digest.getInt32(0, true);
  let b = digest.getInt32(4, true);
  let c = digest.getInt32(8, true);
  let d = digest.getInt32(12, true);
  for (let at = from; at < to; at += BLOCK) {
    const a0 = a;
    const b0 = b;
    const c0 = c;
    const d0 = d;
    for (let i = 0; i < 16; i += 4) {
      a = step(a, b, d ^ (b & (c ^ d)), data.getInt32(at + 4 * i, true), SINES[i] as number, 7);
      d = step(d, a, c ^ (a & (b ^ c)), data.getInt32(at + 4 * i + 4, true), SINES[i + 1] as number, 12);
      c = step(c, d, b ^ (d & (a ^ b)), data.getInt32(at + 4 * i + 8, true), SINES[i + 2] as number, 17);
      b = step(b, c, a ^ (c & (d ^ a)), data.getInt32(at + 4 * i + 12, true), SINES[i + 3] as number, 22);
    }
    // From here on words are taken in leaps of 5, 3 and 7: of 20, 12 and 28 bytes.
    for (let i = 16; i < 32; i += 4) {
      a = step(a, b, c ^ (d & (b ^ c)), data.getInt32(at + ((20 * i + 4) & 60), true), SINES[i] as number, 5);
      d = step(d, a, b ^ (c & (a ^ b)), data.getInt32(at + ((20 * i + 24) & 60), true), SINES[i + 1] as number, 9);
      c = step(c, d, a ^ (b & (d ^ a)), data.getInt32(at + ((20 * i + 44) & 60), true), SINES[i + 2] as number, 14);
      b = step(b, c, d ^ (a & (c ^ d)), data.getInt32(at + ((20 * i + 64) & 60), true), SINES[i + 3] as number, 20);
    }
    for (let i = 32; i < 48; i += 4) {
      a = step(a, b, b ^ (c ^ d), data.getInt32(at + ((12 * i + 20) & 60), true), SINES[i] as number, 4);
      d = step(d, a, a ^ (b ^ c), data.getInt32(at + ((12 * i + 32) & 60), true), SINES[i + 1] as number, 11);
      c = step(c, d, d ^ (a ^ b), data.getInt32(at + ((12 * i + 44) & 60), true), SINES[i + 2] as number, 16);
      b = step(b, c, c ^ (d ^ a), data.getInt32(at + ((12 * i + 56) & 60), true), SINES[i + 3] as number, 23);
    }
    for (let i = 48; i < 64; i += 4) {
      a = step(a, b, c ^ (b | ~d), data.getInt32(at + ((28 * i) & 60), true), SINES[i] as number, 6);
      d = step(d, a, b ^ (a | ~c), data.getInt32(at + ((28 * i + 28) & 60), true), SINES[i + 1] as number, 10);
      c = step(c, d, a ^ (d | ~b), data.getInt32(at + ((28 * i + 56) & 60), true), SINES[i + 2] as number, 15);
      b = step(b, c, d ^ (c | ~a), data.getInt32(at + ((28 * i + 84) & 60), true), SINES[i + 3] as number, 21);
    }
    a = (a + a0) | 0;
    b = (b + b0) | 0;
    c = (c + c0) | 0;
    d = (d + d0) | 0;
  }
  digest.setInt32(0, a, true);
  digest.setInt32(4, b, true);
  digest.setInt32(8, c, true);
  digest.setInt32(12, d, true);
}

// `mixed` comes last of the summands: it alone waits for the step before (a third faster than in any order).
function step(a: number, b: number, mixed: number, word: number, sine: number, shift: number): number {
  const sum = (mixed + ((a + word + sine) | 0)) | 0;
  return (((sum << shift) | (sum >>> (32 - shift))) + b) | 0;
}
