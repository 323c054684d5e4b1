import { environment } from './environment.js';

/** The random words of a process. @internal */
export interface HashWords {
  readonly high: Int32Array;
  readonly low: Int32Array;
}

const WORDS = 64;
// The result: 29 bits, which needs no box and leaves two for a state beside it.
const HIGH_SHIFT = 17;
const LOW_SHIFT = 18;
const LOW_BITS = 32 - LOW_SHIFT;

let ofProcess: HashWords | null = null;

/** Made at the first use, and the same from then on. @internal */
export function hashWords(): HashWords {
  return (ofProcess ??= makeHashWords());
}

/** @internal */
export function makeHashWords(): HashWords {
  const words = new Int32Array(2 * WORDS);
  environment.secret(words);
  return { high: words.subarray(0, WORDS), low: words.subarray(WORDS) };
}

/**
 * A hash whose collisions nobody can foresee: for what lives in this process alone, and is chosen by strangers, such as the keys of
 * messages. It is another one in each process, so nothing of it may be stored or sent: for that there is `hashOf`.
 *
 * Each UTF-16 unit, or byte, is multiplied by a random word of its place, and the upper half of the sum is the hash ("multilinear", by
 * Lemire and Kaser). Two keys that differ collide by chance alone, once in 2 ** 29, whatever they look like. FNV-1a with a random start has
 * no such bound: there are keys that collide from many starts. It is faster too, since no multiplication waits for the one before.
 * @internal
 */
export function secretHashOf(key: string | Uint8Array, words: HashWords): number {
  const { length } = key;
  if (length >= WORDS - 1) return hashOfLong(key, words);
  const { high, low } = words;
  // The end is a unit too, or a key would collide with itself and zeros behind it.
  let a = high[length] as number;
  let b = low[length] as number;
  // Text and bytes in loops of their own: to ask for each unit which of them it is costs as much as the hash.
  if (typeof key === 'string') {
    for (let i = 0; i < length; i++) {
      const unit = key.charCodeAt(i);
      a = (a + Math.imul(high[i] as number, unit)) | 0;
      b = (b + Math.imul(low[i] as number, unit)) | 0;
    }
  } else {
    for (let i = 0; i < length; i++) {
      const unit = key[i] as number;
      a = (a + Math.imul(high[i] as number, unit)) | 0;
      b = (b + Math.imul(low[i] as number, unit)) | 0;
    }
  }
  return upperHalves(a, b);
}

/** A key of several blocks: each goes on with what it has so far as the first units of its next one. */
function hashOfLong(key: string | Uint8Array, { high, low }: HashWords): number {
  let a = 0;
  let b = 0;
  let place = 0;
  for (let i = 0; i < key.length; i++) {
    if (place === WORDS - 1) {
      const upper = a >>> 16;
      const lower = b >>> 16;
      a = (Math.imul(high[0] as number, upper) + Math.imul(high[1] as number, lower)) | 0;
      b = (Math.imul(low[0] as number, upper) + Math.imul(low[1] as number, lower)) | 0;
      place = 2;
    }
    const unit = typeof key === 'string' ? key.charCodeAt(i) : (key[i] as number);
    a = (a + Math.imul(high[place] as number, unit)) | 0;
    b = (b + Math.imul(low[place] as number, unit)) | 0;
    place++;
  }
  return upperHalves((a + (high[place] as number)) | 0, (b + (low[place] as number)) | 0);
}

function upperHalves(a: number, b: number): number {
  return ((a >>> HIGH_SHIFT) << LOW_BITS) | (b >>> LOW_SHIFT);
}
