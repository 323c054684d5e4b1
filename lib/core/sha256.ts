const BLOCK_BYTES = 64;
const LENGTH_BYTES = 8;
const WORDS = 8;

/** The SHA-256 of bytes (FIPS 180-4), in hexadecimal. Web Crypto has it too, but answers by a Promise. @internal */
export function sha256(bytes: Uint8Array): string {
  const { state, round } = constants();
  const words = new Int32Array(BLOCK_BYTES);
  const addBlocks = (view: DataView, end: number): void => {
    for (let at = 0; at < end; at += BLOCK_BYTES) {
      schedule(words, view, at);
      compress(state, words, round);
    }
  };
  const whole = bytes.length - (bytes.length % BLOCK_BYTES);
  addBlocks(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), whole);
  const rest = padded(bytes, whole);
  addBlocks(rest, rest.byteLength);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

function schedule(words: Int32Array, view: DataView, at: number): void {
  for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i);
  for (let i = 16; i < BLOCK_BYTES; i++) {
    const early = words[i - 15] as number;
    const late = words[i - 2] as number;
    const s0 = turned(early, 7) ^ turned(early, 18) ^ (early >>> 3);
    const s1 = turned(late, 17) ^ turned(late, 19) ^ (late >>> 10);
    words[i] = ((words[i - 16] as number) + s0 + (words[i - 7] as number) + s1) | 0;
  }
}

/** The names are those of the standard. */
function compress(state: Int32Array, words: Int32Array, round: Int32Array): void {
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < BLOCK_BYTES; i++) {
    const s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + (round[i] as number) + (words[i] as number)) | 0;
    const s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  const added = [a, b, c, d, e, f, g, h];
  for (let i = 0; i < WORDS; i++) state[i] = ((state[i] as number) + (added[i] as number)) | 0;
}

function turned(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by));
}

/** The bytes from there on, a one, zeros, and the length of all in bits. */
function padded(bytes: Uint8Array, from: number): DataView {
  const left = bytes.subarray(from);
  const blocks = Math.ceil((left.length + 1 + LENGTH_BYTES) / BLOCK_BYTES);
  const last = new Uint8Array(blocks * BLOCK_BYTES);
  last.set(left);
  last[left.length] = 0x80;
  const view = new DataView(last.buffer);
  view.setBigUint64(last.length - LENGTH_BYTES, BigInt(bytes.length) * 8n);
  return view;
}

/** The first 32 bits of the fractions of roots of the first primes. */
function constants(): { readonly state: Int32Array; readonly round: Int32Array } {
  const primes: number[] = [];
  for (let n = 2; primes.length < BLOCK_BYTES; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  const fraction = (root: number): number => ((root % 1) * 2 ** 32) | 0;
  return {
    state: Int32Array.from(primes.slice(0, WORDS), (prime) => fraction(Math.sqrt(prime))),
    round: Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime))),
  };
}
